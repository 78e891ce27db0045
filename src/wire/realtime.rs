//! The events of OpenAI's Realtime API, as far as a call needs them: both ways, as typed words.
//!
//! Reading is liberal, see [`server`]; writing is strict, see [`client`]. Facts: OpenAI API reference,
//! "Realtime server events" and "Realtime client events".

pub mod client;
pub mod server;

pub use client::ClientEvent;
pub use server::ServerEvent;
