//! What a call is and how it lives: pure data and pure functions, no vendor's words, no I/O.

pub mod event;
pub mod record;
