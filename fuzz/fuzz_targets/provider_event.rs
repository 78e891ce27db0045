//! The body of a provider's webhook: any bytes are an event or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::wire::incoming;

fuzz_target!(|body: &[u8]| {
    if let Ok(event) = incoming::parse(body) {
        assert_eq!(format!("{event:?}"), format!("{:?}", incoming::parse(body).expect("it was read before")));
    }
});
