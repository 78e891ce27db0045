//! The outside world, simulated: a voice provider, a carrier, a caller and the business behind
//! the tools, over real sockets with real signatures.
//!
//! The simulators are part of the product: `switchboard demo` and `load` run on them, and they are
//! the other side of every test. They write vendor JSON from their own small types, so that a
//! misreading in [`crate::wire`] cannot agree with itself. Everything random comes from one seed.

pub mod backend;
pub mod fault;
pub mod line;
pub mod log;
pub mod mishearing;
pub mod openai;
pub mod scenario;
pub mod script;
pub mod sip;
pub mod sound;
pub mod twilio;
pub mod twiml;
pub mod world;
