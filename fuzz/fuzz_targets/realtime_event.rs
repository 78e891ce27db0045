//! The provider's events on a socket: any frame is an event, and one that makes no sense is an unknown one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::openai::dialect;

fuzz_target!(|frame: &str| {
    let event = dialect::read(frame);
    assert!(format!("{event:?}").len() <= 64 * frame.len() + 4_096, "an event grows out of all proportion");
});
