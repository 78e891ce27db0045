//! RIFF/WAVE files of two channels of μ-law, as telephones speak it: their head, and what follows from a
//! file's size.
//!
//! Facts: RIFF/WAVE, format 7 (`WAVE_FORMAT_MULAW`), which wants a `fact` chunk.

use std::time::Duration;

use super::g711;

/// Length of the head in bytes; then come the samples, one byte of each channel in turn.
pub const HEAD_BYTES: u64 = 58;
/// Bytes of a sample of both channels.
pub const FRAME_BYTES: u64 = 2;

/// The head of a file with so many samples of each channel.
pub fn head(samples: u64) -> Vec<u8> {
    // What 32 bits can say is 37 hours; no call is as long.
    let samples = u32::try_from(samples).unwrap_or(u32::MAX).min(u32::MAX / 4);
    let data = samples * FRAME_BYTES as u32;
    let mut head = Vec::with_capacity(HEAD_BYTES as usize);
    head.extend(b"RIFF");
    head.extend((data + HEAD_BYTES as u32 - 8).to_le_bytes());
    head.extend(b"WAVEfmt ");
    head.extend(18u32.to_le_bytes());
    for half in [7u16, 2] {
        head.extend(half.to_le_bytes());
    }
    for whole in [8_000u32, 16_000] {
        head.extend(whole.to_le_bytes());
    }
    for half in [2u16, 8, 0] {
        head.extend(half.to_le_bytes());
    }
    head.extend(b"fact");
    head.extend(4u32.to_le_bytes());
    head.extend(samples.to_le_bytes());
    head.extend(b"data");
    head.extend(data.to_le_bytes());
    head
}

/// How many samples of each channel are in a file of this size; one that is cut short counts as its whole
/// samples.
pub fn samples(file_bytes: u64) -> u64 {
    file_bytes.saturating_sub(HEAD_BYTES) / FRAME_BYTES
}

/// How long a file of this size sounds.
pub fn duration(file_bytes: u64) -> Duration {
    g711::duration(samples(file_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_long_for_its_head_has_one() {
        for samples in [u64::from(u32::MAX / 4) + 1, 1 << 31, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(head(samples), head(u64::from(u32::MAX / 4)), "{samples}");
        }
    }

    #[test]
    fn the_head_says_how_long_the_file_is() {
        let head = head(7);
        assert_eq!(head.len() as u64, HEAD_BYTES);
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        assert_eq!((number(4), number(46), number(54)), (58 + 14 - 8, 7, 14));
        assert_eq!(
            (&head[0..4], &head[8..16], &head[50..54]),
            (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..])
        );
    }

    #[test]
    fn a_size_says_how_long_it_sounds() {
        for (bytes, expected) in
            [(0, 0), (58, 0), (59, 0), (60, 1), (58 + 16_000, 8_000), (58 + 16_001, 8_000)]
        {
            assert_eq!(samples(bytes), expected, "{bytes}");
        }
        assert_eq!(duration(58 + 24_000), Duration::from_millis(1_500));
    }
}
