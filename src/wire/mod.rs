//! Vendors' words on the wire: bytes in, typed words out, and back. No I/O.
//!
//! Verify bytes, then parse, then speak our own words: nothing above this room sees vendor JSON
//! that was not checked here.

pub mod form;
pub mod g711;
pub mod incoming;
pub mod join_token;
pub mod media;
pub mod realtime;
pub mod sip_uri;
pub mod sse;
pub mod twilio;
pub mod twilio_signature;
pub mod twiml;
pub mod wave;
pub mod webhook;
