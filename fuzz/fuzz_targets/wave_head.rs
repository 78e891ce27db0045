//! The head of a recording and the length that a file tells: of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::wire::wave;

fuzz_target!(|size: u64| {
    let samples = wave::samples(size);
    assert!(samples <= size);
    let head = wave::head(samples);
    assert_eq!(head.len(), wave::head(0).len(), "the head has one size");
    assert!(head.starts_with(b"RIFF"));
});
