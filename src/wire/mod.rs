//! Vendors' words on the wire: bytes in, typed words out, and back. No I/O.
//!
//! Verify bytes, then parse, then speak our own words: nothing above this room sees vendor JSON
//! that was not checked here.

pub mod realtime;
