//! What a call is and how it lives: pure data and pure functions, no vendor's words, no I/O.
//!
//! [`record`] is what is kept; [`event`] is what can happen and what can be done about it; [`Call::step`]
//! leads from one to the other. `step` has the call itself and its end; `answering`, `sideband`,
//! `stream`, `legs` and `failover` the outer life; `conversation` what happens while it is up, and `limits` what happens then when
//! nothing does; `wishes` what tools and hooks want of the call. All lean on small machines that know one thing each: `transcript` (who said what,
//! when), `turns` (when the assistant may be asked to speak), `tools` (run once, answer all, go on once),
//! `leave` (last words are heard), `handover` (a transfer is proven), `listening` (when the caller's words
//! are a turn), `fillers` (what is said while a tool runs), `carrier` (reports in any order). [`resume`]
//! goes on with a call that an earlier process left; [`replay`] plays one that is over once more;
//! [`story`] tells a call in plain words, [`finished`] in one line of the log; [`privacy`] says what of a call is shown to whom, [`redaction`] what is not even kept; [`consent`] what a caller is told of the recording, and [`recording`] what is known of the recordings of a call, which outlive it.

mod answering;
mod audio_clock;
mod carrier;
pub mod consent;
mod conversation;
pub mod event;
mod failover;
mod fillers;
pub mod finished;
mod handover;
mod leave;
mod legs;
mod limits;
mod listening;
pub mod notification;
pub mod privacy;
mod readback;
pub mod record;
pub mod recording;
pub mod redaction;
pub mod replay;
pub mod report;
pub mod resume;
mod sideband;
pub mod spending;
mod step;
pub mod story;
mod stream;
pub mod terms;
mod tools;
mod transcript;
mod turns;
pub mod usage;
mod wishes;

pub use conversation::{HANG_UP_TOOL, TRANSFER_TOOL};
pub use event::{Action, Event};
pub use step::{Beginning, Call};
pub use transcript::Growing;
pub use wishes::variable_problem;
