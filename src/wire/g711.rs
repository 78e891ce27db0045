//! G.711 μ-law: one byte a sample, 8000 samples a second.
//!
//! Audio passes the bridge undecoded; these are for the few who must know a sample: is anybody heard,
//! how long is this. Facts: ITU-T G.711, μ-law; `0xFF` and `0x7F` are plus and minus zero.

use std::time::Duration;

/// Bytes in a second.
pub const BYTES_PER_S: u64 = 8_000;
/// Bytes in a millisecond.
pub const BYTES_PER_MS: u64 = BYTES_PER_S / 1_000;
/// A sample without sound.
pub const SILENCE: u8 = 0xFF;
/// What is added before the logarithm is taken.
const BIAS: i32 = 0x84;

/// How long so many bytes sound.
pub fn duration(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000 / BYTES_PER_S))
}

/// How many bytes sound for so long, begun ones not counted.
pub fn bytes(span: Duration) -> u64 {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    micros / (1_000_000 / BYTES_PER_S)
}

/// The sample that a byte stands for, of the 16 bits of linear PCM.
pub fn decode(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = (byte >> 4) & 0x07;
    let magnitude = (((i32::from(byte & 0x0F) << 3) + BIAS) << exponent) - BIAS;
    let sample = if byte & 0x80 == 0 { magnitude } else { -magnitude };
    // At most 32124 either way.
    sample as i16
}

/// The byte that comes nearest to a sample.
pub fn encode(sample: i16) -> u8 {
    const CLIP: i32 = 32_635;
    let sign = if sample < 0 { 0x80 } else { 0x00 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The highest bit that is set: 7 to 14.
    let exponent = 31 - magnitude.leading_zeros() - 7;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    !(sign | ((exponent as u8) << 4) | (mantissa as u8))
}

/// Claims that there is no sound in it: nothing but the two zeros and the smallest step beside them,
/// which is what a line's noise floor is made of when nobody is at the microphone.
pub fn is_silent(audio: &[u8]) -> bool {
    audio.iter().all(|byte| byte & 0x7F >= 0x7E)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // The ends and the middle of the standard's table.
        for (byte, sample) in
            [(0xFF, 0), (0x7F, 0), (0x00, -32_124), (0x80, 32_124), (0xFE, 8), (0x7E, -8), (0xEF, 132)]
        {
            assert_eq!(decode(byte), sample, "{byte:#04x}");
        }
    }

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        for byte in 0..=u8::MAX {
            // Minus zero has no other form than plus zero in linear samples.
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(encode(decode(byte)), expected, "{byte:#04x}");
        }
    }

    #[test]
    fn the_nearest_step_is_taken() {
        for sample in i16::MIN..=i16::MAX {
            let error = (i32::from(decode(encode(sample))) - i32::from(sample)).abs();
            let step = (i32::from(sample).abs() / 16).max(8);
            assert!(error <= step, "{sample}: off by {error}");
        }
    }

    #[test]
    fn time_and_bytes() {
        assert_eq!(duration(160), Duration::from_millis(20));
        assert_eq!(bytes(Duration::from_millis(20)), 160);
        assert!(is_silent(&[0xFF, 0x7F, 0xFE, 0x7E]) && !is_silent(&[0xFF, 0xF0]));
    }
}
