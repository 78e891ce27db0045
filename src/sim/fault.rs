//! Trouble that the simulated provider makes on purpose: `[provider_faults]` of a scenario.

use serde::Deserialize;

/// What goes wrong at the provider. By default nothing does.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderFaults {
    /// How many calls of a world have the trouble, from the first on; all others go well.
    pub calls: u32,
    /// How many copies of each webhook are sent, all at once.
    pub webhook_copies: u32,
    /// The webhook is sent this much later.
    pub webhook_delay_ms: u64,
    /// The webhook says that the call came in this many seconds ago.
    pub webhook_age_s: u64,
    /// The webhook is never sent.
    pub webhook_never: bool,
    /// The webhook is signed with another secret.
    pub webhook_forged: bool,
    /// Another product's webhook for the same call is sent as well.
    pub webhook_other_family: bool,
    /// The INVITE gets this final answer at once, and no webhook is sent.
    pub leg_status: Option<u16>,
    /// An INVITE for encrypted sound is answered 488, one for plain sound is taken.
    pub srtp_refused: bool,
    /// The INVITE gets no answer at all: no TCP, no TLS, no name.
    pub leg_unreachable: bool,
    /// A call that was accepted gets this final answer in place of 200.
    pub leg_status_after_accept: Option<u16>,
    /// An answered leg is ended so many milliseconds after the answer, whatever is being said.
    pub leg_ends_after_ms: Option<u64>,
    /// Accepts are answered this much later.
    pub accept_delay_ms: u64,
    /// The first accepts are answered with this status instead.
    pub accept_status: Option<u16>,
    /// How many accepts that concerns.
    pub accept_status_times: u32,
    /// Accepts that are answered with another status work all the same.
    pub accept_works_anyway: bool,
    /// Accepts are never answered, but they work.
    pub accept_silent: bool,
    /// So many tries to open the sideband are answered 404.
    pub sideband_missing_times: u32,
    /// The sideband is cut when a call's first tool output comes, and that output is lost.
    pub tool_output_lost: bool,
    /// So many tries to open a session on a socket of its own are answered 503.
    pub session_refused_times: u32,
    /// So many tries are answered 503 after the first, which goes well.
    pub session_refused_again_times: u32,
    /// Answer to a refer, instead of 200.
    pub refer_status: Option<u16>,
    /// A refer is answered 200 and nothing happens.
    pub refer_without_effect: bool,
    /// A refer is answered 200, and the call ends instead.
    pub refer_ends_the_call: bool,
    /// The REFER that the carrier gets leads here.
    pub refer_elsewhere: Option<String>,
    /// Hang-ups are answered with this status the first time.
    pub hangup_status: Option<u16>,
    /// The caller's last transcription never comes when the caller hangs up.
    pub transcription_lost_at_hangup: bool,
    /// The model thinks so much longer before it speaks.
    pub thinks_longer_ms: u64,
    /// When the caller's speech began and ended is told so much too late.
    pub speech_told_late_ms: u64,
    /// A recogniser writes down a character more than it hears.
    pub hears_one_more: bool,
}

impl Default for ProviderFaults {
    fn default() -> ProviderFaults {
        ProviderFaults {
            calls: u32::MAX,
            webhook_copies: 1,
            webhook_delay_ms: 0,
            webhook_age_s: 0,
            webhook_never: false,
            webhook_forged: false,
            webhook_other_family: false,
            leg_status: None,
            srtp_refused: false,
            leg_unreachable: false,
            leg_status_after_accept: None,
            leg_ends_after_ms: None,
            accept_delay_ms: 0,
            accept_status: None,
            accept_status_times: u32::MAX,
            accept_works_anyway: false,
            accept_silent: false,
            sideband_missing_times: 0,
            tool_output_lost: false,
            session_refused_times: 0,
            session_refused_again_times: 0,
            refer_status: None,
            refer_without_effect: false,
            refer_ends_the_call: false,
            refer_elsewhere: None,
            hangup_status: None,
            transcription_lost_at_hangup: true,
            thinks_longer_ms: 0,
            speech_told_late_ms: 0,
            hears_one_more: false,
        }
    }
}
