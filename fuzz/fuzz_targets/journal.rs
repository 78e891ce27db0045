//! A journal with any bytes in it: the store opens or says why not, and never panics; twice the same.
#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use switchboard::clock::{ManualClock, Timestamp};
use switchboard::store::{Settings, Store};

fn opened(directory: &PathBuf, clock: &Arc<ManualClock>) -> bool {
    Store::open(&Settings::at(directory), clock.clone()).is_ok()
}

fuzz_target!(|bytes: &[u8]| {
    let directory = std::env::temp_dir().join(format!("switchboard-fuzz-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_795_000_000)));
    // A store that was used before: its folders and its marks are there.
    assert!(opened(&directory, &clock), "an empty folder is a store");
    let journal = directory.join("journal");
    let name =
        std::fs::read_dir(&journal).ok().and_then(|mut files| files.next()?.ok()).map(|file| file.path());
    std::fs::write(name.unwrap_or_else(|| journal.join("00000000000000000001.jsonl")), bytes)
        .expect("a file");
    let first = opened(&directory, &clock);
    assert_eq!(opened(&directory, &clock), first, "opened differently the second time");
});
