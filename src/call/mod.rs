//! What a call is and how it lives: pure data and pure functions, no vendor's words, no I/O.

pub mod event;
pub mod record;
pub mod terms;
pub mod usage;

pub use event::{Action, Event};
