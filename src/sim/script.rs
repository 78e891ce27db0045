//! What caller and model say and do in a simulated call: the `[[steps]]` of a scenario file.

use serde::Deserialize;

/// The conversation, played in order by the simulated provider once the call is up.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// What happens, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
}

impl Script {
    /// What is left for the path on which a call goes on that was dropped; all of it where the script knows of
    /// no drop.
    pub fn after_drop(&self) -> Script {
        let drop = self.steps.iter().position(Step::is_drop);
        Script { steps: self.steps[drop.map_or(0, |at| at + 1)..].to_vec() }
    }

    /// The same for a path that has no leg to drop.
    pub fn without_drop(&self) -> Script {
        Script { steps: self.steps.iter().filter(|step| !step.is_drop()).cloned().collect() }
    }
}

/// One thing that happens. In a scenario file: a `[[steps]]` table with exactly one of these keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// The caller speaks: `caller = { says = "…", for_ms = 2400 }`.
    Caller(CallerSpeech),
    /// The model takes a turn, when something asks it to (the greeting's `response.create`, the end
    /// of the caller's speech, the continuation after tools).
    Model(ModelTurn),
    /// The caller presses keys: `keys = "42#"`.
    Keys(String),
    /// Nobody does anything: `pause_ms = 800`.
    PauseMs(u64),
    /// The caller hangs up: `hang_up = "caller"`; after the last step the caller hangs up anyway.
    HangUp(HangUp),
    /// The sideband socket is cut without a close frame; the call itself goes on.
    DropSideband(u16),
    /// Nothing goes on until the sideband has been opened this many times: `await_sidebands = 2`.
    AwaitSidebands(u32),
    /// The provider ends its leg while the caller is still there, this long after whatever was heard last:
    /// `provider_drops_after_ms = 500`. What comes after it is for the path on which the call goes on. A bridge has
    /// no such leg.
    ProviderDropsAfterMs(u64),
    /// A text frame is sent on the sideband exactly as written, for malformed and unknown events.
    Frame(String),
}

impl Step {
    fn is_drop(&self) -> bool {
        matches!(self, Step::ProviderDropsAfterMs(_))
    }
}

/// Who hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HangUp {
    /// The caller puts the phone down now: the socket ends without a close frame.
    Caller,
    /// Nobody: wait until the gateway ends the call (bounded by the scenario's time limit).
    Gateway,
}

/// Something the caller says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerSpeech {
    /// The words, as the transcription will give them.
    pub says: String,
    /// A file with the same as sound, for a real model: WAV, one channel of 8000 samples a second, beside the scenario.
    /// The simulated model goes by the words.
    pub audio: Option<String>,
    /// How long it takes to say; by default 130 ms a character.
    pub for_ms: Option<u64>,
    /// Silence before it; by default 400 ms after whatever was heard last.
    pub after_ms: Option<u64>,
    /// How long after the end of speech the transcription comes; by default 450 ms.
    pub transcribed_after_ms: Option<u64>,
    /// `false`: the transcription fails. By default it succeeds.
    pub transcribed: Option<bool>,
    /// Speaks while the model does (barge-in) this long after the model's audio began.
    pub interrupts_after_ms: Option<u64>,
    /// Puts the phone down right after it; the transcription may then be lost.
    #[serde(default)]
    pub then_hangs_up: bool,
}

/// One turn (response) of the model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTurn {
    /// What it says. `{/json/pointer}` is replaced from the output of the last tool call, `{0/json/pointer}` from
    /// the output of the turn's first tool call, so that what is heard proves what the tool answered.
    pub says: Option<String>,
    /// How long it takes to say; by default 120 ms a character.
    pub for_ms: Option<u64>,
    /// The tools it calls, all in this one turn.
    #[serde(default)]
    pub calls: Vec<ModelToolCall>,
    /// How the turn ends: `completed` (default), `incomplete`, `failed`.
    pub status: Option<String>,
    /// With `failed` or `incomplete`: the code or reason the provider gives.
    pub reason: Option<String>,
}

/// One tool call of a model's turn.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelToolCall {
    /// The tool's name.
    pub name: String,
    /// The arguments, as a TOML table; `{caller}` inside a string is the caller's number.
    #[serde(default)]
    pub arguments: toml::Table,
    /// The arguments as raw text instead, for what is not JSON.
    pub raw_arguments: Option<String>,
}
