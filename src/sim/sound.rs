//! Sound of the simulated world: μ-law that can be told apart, sample by sample.
//!
//! Whoever speaks makes blocks of 20 ms: a short row of digits that says which speech and which block this
//! is, then a tone. The other end knows every sample that must follow, so whatever way the sound took, a
//! single wrong byte shows. Who is silent sends silence, whose two zeros spell the number of the line: by
//! that a provider knows whose audio it hears, which nothing else on a socket of its own would tell it.

use std::f64::consts::TAU;

use crate::wire::g711;

/// Bytes of one block: 20 ms.
pub const BLOCK: usize = 160;
/// Milliseconds of one block.
pub const BLOCK_MS: u64 = 20;
/// What begins a block of speech: loud, and no zero of either kind.
const MAGIC: [u8; 2] = [0x4A, 0x4C];
/// What begins a row of zeros that spells a number.
const SILENCE_MAGIC: u8 = 0b1011_0010;

/// Which block of which speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The speech.
    pub voice: u32,
    /// The block, from 0.
    pub block: u32,
    /// How many blocks it has.
    pub blocks: u32,
}

impl Tag {
    /// Claims that nothing of the speech follows.
    pub fn is_last(self) -> bool {
        self.block + 1 == self.blocks
    }
}

/// How many blocks a speech of so many milliseconds has.
pub fn blocks(millis: u64) -> u32 {
    u32::try_from(millis.div_ceil(BLOCK_MS)).unwrap_or(u32::MAX).max(1)
}

/// One block of speech.
pub fn speech(tag: Tag) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let digits = MAGIC.into_iter().chain([tag.voice, tag.block, tag.blocks].into_iter().flat_map(digits));
    let pitch = 300.0 + f64::from(tag.voice % 31) * 40.0;
    let start = u64::from(tag.block) * BLOCK as u64;
    let tone = (0..).map(|at| tone(pitch, start + at));
    for (place, byte) in block.iter_mut().zip(digits.map(Some).chain(std::iter::repeat(None)).zip(tone)) {
        *place = byte.0.unwrap_or(byte.1);
    }
    block
}

/// Which block of speech this is, if every sample of it is right.
pub fn read_speech(block: &[u8]) -> Option<Tag> {
    let numbers = block.strip_prefix(&MAGIC)?;
    let number = |at: usize| {
        let digits = numbers.get(at * 8..at * 8 + 8)?;
        digits.iter().try_fold(0u32, |number, byte| {
            (byte & 0xF0 == 0x30).then_some(number << 4 | u32::from(byte & 0x0F))
        })
    };
    let tag = Tag { voice: number(0)?, block: number(1)?, blocks: number(2)? };
    (block == speech(tag)).then_some(tag)
}

/// One block of silence on a line.
pub fn silence(line: u32) -> [u8; BLOCK] {
    let mut block = [g711::SILENCE; BLOCK];
    let word = u64::from(SILENCE_MAGIC) << 32 | u64::from(line);
    for (at, byte) in block.iter_mut().take(40).enumerate() {
        *byte = if word >> (39 - at) & 1 == 1 { 0x7F } else { 0xFF };
    }
    block
}

/// The line whose silence this is.
pub fn read_silence(block: &[u8]) -> Option<u32> {
    let bits = block.get(..40)?.iter().try_fold(0u64, |bits, byte| match byte {
        0x7F => Some(bits << 1 | 1),
        0xFF => Some(bits << 1),
        _ => None,
    })?;
    (bits >> 32 == u64::from(SILENCE_MAGIC)).then_some(bits as u32)
}

fn digits(number: u32) -> impl Iterator<Item = u8> {
    (0..8).rev().map(move |at| 0x30 | (number >> (at * 4) & 0x0F) as u8)
}

/// A sample of a tone that is never quiet.
fn tone(pitch: f64, at: u64) -> u8 {
    let wave = (TAU * pitch * at as f64 / g711::BYTES_PER_S as f64).sin();
    let loud = if wave < 0.0 { wave.min(-0.02) } else { wave.max(0.02) };
    g711::encode((loud * 12_000.0) as i16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_counts() {
        let tag = Tag { voice: 0x8000_0007, block: 12, blocks: 40 };
        let block = speech(tag);
        assert_eq!(read_speech(&block), Some(tag));
        assert!(!g711::is_silent(&block));
        for at in 0..BLOCK {
            let mut wrong = block;
            wrong[at] ^= 1;
            assert_ne!(read_speech(&wrong), Some(tag), "byte {at}");
        }
        assert_eq!(read_speech(&[]), None);
    }

    #[test]
    fn silence_tells_its_line() {
        let block = silence(0xDEAD_BEEF);
        assert!(g711::is_silent(&block));
        assert_eq!(read_silence(&block), Some(0xDEAD_BEEF));
        assert_eq!(read_silence(&[g711::SILENCE; BLOCK]), None);
    }
}
