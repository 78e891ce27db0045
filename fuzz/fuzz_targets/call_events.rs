//! Any sequence of events, with restarts in between: no panic, bounded work, one end, and nothing after it.
#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use switchboard::call::{Action, Call};
use switchboard::clock::Timestamp;
use switchboard_fuzz::{Decoder, beginning, remembered};

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(bytes);
    let mut now = Timestamp::from_secs(1_795_000_000);
    let mut call = Call::begin(beginning(decoder.byte()));
    let (mut kept, mut runs) = (remembered::Kept::default(), BTreeSet::new());
    while let Some(event) = decoder.event() {
        now = now + Duration::from_millis(decoder.gap_ms());
        if decoder.restarts() && !call.is_over() {
            call = kept.restore(&call, now, decoder.byte());
            runs.clear();
        }
        let was_over = call.is_over();
        let ended = call.record.ended.is_some();
        let actions = call.step(event, now);
        assert!(actions.len() <= 200, "{} actions follow from one event", actions.len());
        assert!(!was_over || call.is_over(), "alive again");
        assert!(!ended || call.record.ended.is_some(), "the end was taken back");
        for action in &actions {
            match action {
                Action::RunTool { call } => assert!(runs.insert(call.id.clone()), "{} runs twice", call.id),
                Action::Send(..) | Action::Accept | Action::Attach { .. } => {
                    assert!(!was_over, "{action:?} after the end");
                }
                _ => {}
            }
        }
        kept.keep(&actions);
        assert!(call.deadline().is_none() || !call.is_over(), "a call that is over wants to be woken");
    }
});
