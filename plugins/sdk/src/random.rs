//! Chance.

use std::hash::{BuildHasher, RandomState};

use crate::HAS_HOST;
use crate::bindings::tools::switchboard::plugin::random as host;

/// Bytes from the system's source; at most 1,024 come at a time. Outside Switchboard they are good enough for
/// tests, and no secret.
pub fn bytes(count: u32) -> Vec<u8> {
    if HAS_HOST { host::bytes(count) } else { of_the_machine(count) }
}

/// A number below `end`; 0 where `end` is 0. The bias is less than one in 2³² for any `end` below 2³².
pub fn below(end: u64) -> u64 {
    let word = bytes(8).iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    word.checked_rem(end).unwrap_or(0)
}

fn of_the_machine(count: u32) -> Vec<u8> {
    let count = usize::try_from(count.min(1_024)).unwrap_or(0);
    let words = (0..count.div_ceil(8)).map(|index| RandomState::new().hash_one(index));
    words.flat_map(u64::to_le_bytes).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::{below, bytes};

    #[test]
    fn chance_has_the_length_that_was_asked_for_and_differs() {
        assert_eq!(bytes(13).len(), 13);
        assert_ne!(bytes(32), bytes(32));
        assert!(below(3) < 3);
        assert_eq!(below(0), 0);
    }
}
