//! A WAV file as samples of a telephone line: mono, 8000 a second, 16 bits.
//!
//! Read are PCM of 16 bits and μ-law, at 8000 Hz or a multiple of it, which is brought down behind a low-pass filter.
//! Facts: RIFF/WAVE; formats 1, 7 and, by its sub-format, `0xFFFE`.

use std::f64::consts::PI;

use crate::wire::g711;

/// Samples of a second.
pub const RATE_HZ: u32 = 8_000;
/// The highest rate that is read, a multiple of [`RATE_HZ`].
const RATE_HZ_MAX: u32 = 96_000;
/// What of a sound a telephone line lets through, in Hz: more would come back as noise at 8000 samples a second.
const LINE_HZ: f64 = 3_700.0;
/// How many samples of the line on either side one sample is made of.
const REACH: usize = 16;

/// Why a file is no sound that can be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaveError {
    /// It is something else.
    #[error("it is not a WAV file; {CONVERT}")]
    NotWave,
    /// It ends too early.
    #[error("it is cut short: its head tells of more than there is")]
    Cut,
    /// A part is missing.
    #[error("it has no `{0}` chunk")]
    Missing(&'static str),
    /// It is coded otherwise.
    #[error("format {format} with {bits} bits is neither 16-bit PCM nor μ-law; {CONVERT}")]
    Format {
        /// The format's number.
        format: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// More than one voice is in it.
    #[error("it has {0} channels, and a caller is one; {CONVERT}")]
    Channels(u16),
    /// Its rate cannot be brought down to a telephone's.
    #[error("{0} Hz is not 8000 Hz or a multiple of it; {CONVERT}")]
    Rate(u32),
}

const CONVERT: &str = "`ffmpeg -i IN -ac 1 -ar 8000 -c:a pcm_s16le OUT.wav` makes one of it";

/// How a file is coded.
#[derive(Clone, Copy)]
struct Form {
    is_mulaw: bool,
    rate: u32,
}

/// The samples of a file.
///
/// # Errors
///
/// [`WaveError`], with what to do about it.
pub fn read(bytes: &[u8]) -> Result<Vec<i16>, WaveError> {
    let mut rest = match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', rest @ ..] => rest,
        _ => return Err(WaveError::NotWave),
    };
    let mut form = None;
    while rest.len() >= 8 {
        let (head, behind) = rest.split_at(8);
        let size = word(head, 4);
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        // Who writes into a pipe does not know the length.
        let is_open = size == u32::MAX && head.starts_with(b"data");
        let length = if is_open { behind.len() } else { length };
        let chunk = behind.get(..length).ok_or(WaveError::Cut)?;
        match &head[..4] {
            b"fmt " => form = Some(form_of(chunk)?),
            b"data" => return form.map(|form| samples(form, chunk)).ok_or(WaveError::Missing("fmt ")),
            _ => {}
        }
        // A chunk of an odd length has a byte behind it.
        rest = behind.get(length + length % 2..).unwrap_or_default();
    }
    Err(WaveError::Missing("data"))
}

fn form_of(chunk: &[u8]) -> Result<Form, WaveError> {
    if chunk.len() < 16 {
        return Err(WaveError::Cut);
    }
    let format = match half(chunk, 0) {
        0xFFFE if chunk.len() >= 26 => half(chunk, 24),
        format => format,
    };
    let (channels, rate, bits) = (half(chunk, 2), word(chunk, 4), half(chunk, 14));
    let is_mulaw = match (format, bits) {
        (1, 16) => false,
        (7, 8) => true,
        _ => return Err(WaveError::Format { format, bits }),
    };
    if channels != 1 {
        return Err(WaveError::Channels(channels));
    }
    if rate == 0 || rate % RATE_HZ != 0 || rate > RATE_HZ_MAX {
        return Err(WaveError::Rate(rate));
    }
    Ok(Form { is_mulaw, rate })
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn samples(form: Form, data: &[u8]) -> Vec<i16> {
    let samples: Vec<i16> = match form.is_mulaw {
        true => data.iter().copied().map(g711::decode).collect(),
        false => data.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect(),
    };
    match form.rate / RATE_HZ {
        1 => samples,
        factor => brought_down(&samples, factor as usize),
    }
}

/// Every `factor`th sample behind a low-pass filter: a windowed sinc (Hann).
fn brought_down(samples: &[i16], factor: usize) -> Vec<i16> {
    let reach = REACH * factor;
    let cutoff = LINE_HZ / (f64::from(RATE_HZ) * factor as f64);
    let weight = |offset: f64| {
        let sinc =
            if offset == 0.0 { 2.0 * cutoff } else { (2.0 * PI * cutoff * offset).sin() / (PI * offset) };
        sinc * (0.5 + 0.5 * (PI * offset / (reach as f64 + 1.0)).cos())
    };
    let weights: Vec<f64> = (0..=2 * reach).map(|at| weight(at as f64 - reach as f64)).collect();
    let sum: f64 = weights.iter().sum();
    (0..samples.len().div_ceil(factor))
        .map(|at| {
            let centre = at * factor;
            let sound = weights.iter().enumerate().filter_map(|(place, weight)| {
                let sample = samples.get((centre + place).checked_sub(reach)?)?;
                Some(f64::from(*sample) * weight)
            });
            (sound.sum::<f64>() / sum).round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
        })
        .collect()
}

/// A WAV file of these samples at 8000 Hz, 16 bits.
pub fn write(samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX - 36);
    let mut file = Vec::with_capacity(44 + data.len());
    file.extend(b"RIFF");
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend([1u16, 1].into_iter().flat_map(u16::to_le_bytes));
    file.extend([RATE_HZ, RATE_HZ * 2].into_iter().flat_map(u32::to_le_bytes));
    file.extend([2u16, 16].into_iter().flat_map(u16::to_le_bytes));
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(hz: f64, rate: u32, seconds: f64) -> Vec<i16> {
        let count = (f64::from(rate) * seconds) as usize;
        (0..count).map(|at| ((2.0 * PI * hz * at as f64 / f64::from(rate)).sin() * 10_000.0) as i16).collect()
    }

    fn file(format: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt ".to_vec();
        file.extend(16u32.to_le_bytes());
        file.extend([format, channels].into_iter().flat_map(u16::to_le_bytes));
        file.extend([rate, 0].into_iter().flat_map(u32::to_le_bytes));
        file.extend([1, bits].into_iter().flat_map(u16::to_le_bytes));
        file.extend(b"data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn loudness(samples: &[i16]) -> f64 {
        let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (sum / samples.len() as f64).sqrt()
    }

    #[test]
    fn pcm_and_mulaw_are_read() {
        let samples = tone(400.0, RATE_HZ, 0.1);
        assert_eq!(read(&write(&samples)), Ok(samples));
        assert_eq!(read(&file(7, 1, 8_000, 8, &[0xFF, 0x80, 0x00])), Ok(vec![0, 32_124, -32_124]));
        let mut piped = file(1, 1, 8_000, 16, &[1, 0, 2, 0]);
        let at = piped.len() - 8;
        piped[at..at + 4].fill(0xFF);
        assert_eq!(read(&piped), Ok(vec![1, 2]));
    }

    #[test]
    fn a_multiple_is_brought_down() {
        for rate in [16_000, 24_000, 48_000] {
            let low: Vec<u8> =
                tone(400.0, rate, 0.5).iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let low = read(&file(1, 1, rate, 16, &low)).unwrap();
            assert_eq!(low.len(), 4_000, "{rate}");
            let inside = &low[100..3_900];
            assert!((loudness(inside) / (10_000.0 / 2f64.sqrt()) - 1.0).abs() < 0.02, "{rate}");
            let high: Vec<u8> =
                tone(6_000.0, rate, 0.5).iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let high = read(&file(1, 1, rate, 16, &high)).unwrap();
            assert!(
                loudness(&high[100..3_900]) < 50.0,
                "{rate}: what a line does not carry comes back as noise"
            );
        }
    }

    #[test]
    fn what_is_no_telephone_sound_is_refused() {
        for (bytes, expected) in [
            (b"ID3\x03 an mp3".to_vec(), WaveError::NotWave),
            (Vec::new(), WaveError::NotWave),
            (file(3, 1, 8_000, 32, &[]), WaveError::Format { format: 3, bits: 32 }),
            (file(1, 1, 8_000, 24, &[]), WaveError::Format { format: 1, bits: 24 }),
            (file(1, 2, 8_000, 16, &[]), WaveError::Channels(2)),
            (file(1, 1, 44_100, 16, &[]), WaveError::Rate(44_100)),
            (file(1, 1, 0, 16, &[]), WaveError::Rate(0)),
            (b"RIFF\0\0\0\0WAVE".to_vec(), WaveError::Missing("data")),
            (b"RIFF\0\0\0\0WAVEdata\0\0\0\0".to_vec(), WaveError::Missing("fmt ")),
            (b"RIFF\0\0\0\0WAVEdata\x09\0\0\0".to_vec(), WaveError::Cut),
        ] {
            assert_eq!(read(&bytes), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn no_file_is_too_odd(start in 0..2usize, bytes in any::<Vec<u8>>()) {
            let mut file = if start == 0 { Vec::new() } else { b"RIFF\0\0\0\0WAVE".to_vec() };
            file.extend(bytes);
            let _ = read(&file);
        }
    }
}
