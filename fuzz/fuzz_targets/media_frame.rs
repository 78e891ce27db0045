//! The carrier's media messages: any text is a message or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::wire::media::{FromCarrier, decoded_len};

fuzz_target!(|text: &str| {
    let _ = decoded_len(text);
    if let Ok(message) = FromCarrier::read(text) {
        let _ = format!("{message:?}");
    }
});
