//! The bridge between a carrier's media stream and a provider's socket: the way of a call's audio where
//! it passes through us.
//!
//! [`reception`] lets a stream in: who is it for, before anything is opened. [`bridge`] is the one task
//! that owns both sockets of a call; [`playback`] knows what the caller has heard; [`history`] what was
//! said, should the provider have to be told again; [`recorder`] writes down what was heard, each side where
//! the other was at that moment. Audio passes undecoded. Everything that waits here is bounded, and each bound says what is dropped.

pub mod bridge;
mod gaps;
pub mod history;
pub mod phone;
pub mod playback;
mod provider;
pub mod reception;
pub mod recorder;
mod track;
