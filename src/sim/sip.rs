//! The SIP leg between the simulated carrier and the simulated provider, reduced to what both sides
//! of a real one can see. No SIP is spoken: an INVITE is a value, its answers are events.

use tokio::sync::mpsc;

use super::script::Script;

/// A call offered to the provider.
#[derive(Clone, Debug)]
pub struct Invite {
    /// `sip:PROJECT@HOST;transport=tls`, without the header part.
    pub request_uri: String,
    /// All headers of the INVITE, in order, as the provider will repeat them in its webhook.
    pub headers: Vec<(String, String)>,
    /// What caller and model will say and do once the call is up.
    pub script: Script,
}

/// What the provider does with an INVITE, in order: any number of provisional answers, then either
/// `Failed`, or `Answered` and later `Bye`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipEvent {
    /// 180: the provider was told to accept.
    Ringing,
    /// 200: audio flows.
    Answered,
    /// A final answer of 300 or above.
    Failed(u16),
    /// The provider ended an answered call.
    Bye,
    /// The provider asks the carrier to send the caller elsewhere (REFER).
    Refer(String),
}

/// What the carrier does with a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegCommand {
    /// BYE on an answered leg, CANCEL on a ringing one.
    HangUp,
}

/// The carrier's end of one leg.
#[derive(Debug)]
pub struct SipLeg {
    /// The provider's id of the call (`rtc_…`), for logs and assertions.
    pub call_id: String,
    /// What the provider does. Closed after `Failed` or `Bye`; closed without either, the script's
    /// caller has put the phone down.
    pub events: mpsc::Receiver<SipEvent>,
    /// What the carrier does.
    pub commands: mpsc::Sender<LegCommand>,
}
