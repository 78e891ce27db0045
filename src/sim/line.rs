//! The caller of a bridged call, as the two simulators share it: the carrier has the caller's mouth and
//! ears, the provider has the script. Audio takes the real way, through the gateway; what passes here is
//! what one person knows of itself: when to speak, and what was heard.

use tokio::sync::mpsc;

use super::script::Script;
use super::sound::Tag;

/// A caller who is about to be heard over a media stream.
#[derive(Debug)]
pub struct BridgedCaller {
    /// The line, which the caller's silence spells.
    pub line: u32,
    /// The caller's number.
    pub from: String,
    /// What caller and model will say and do.
    pub script: Script,
    /// Moves the caller's mouth.
    pub mouth: mpsc::Sender<Mouth>,
    /// What the caller's ears hear of the model.
    pub ears: mpsc::Receiver<Tag>,
}

/// What a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mouth {
    /// Speaks so many blocks.
    Speak {
        /// Which speech this is.
        voice: u32,
        /// How long it is.
        blocks: u32,
    },
    /// Presses a key.
    Press(char),
    /// Puts the phone down.
    HangUp,
}
