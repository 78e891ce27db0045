//! Recordings of what a caller says, as a telephone would carry them (RIFF, "WAVE form"; ITU-T G.711).

use crate::wire::g711;

/// `fmt `: linear PCM.
const PCM: u16 = 1;
/// `fmt `: μ-law.
const MU_LAW: u16 = 7;
/// Before the samples, in bytes: `RIFF`, a size, `WAVE`.
const HEAD: usize = 12;

/// The μ-law of a WAV file of one channel with 8000 samples a second, of 16 bits or of μ-law.
pub(super) fn of_telephone(file: &[u8]) -> Result<Vec<u8>, String> {
    if !file.starts_with(b"RIFF") || file.get(8..HEAD) != Some(b"WAVE") {
        return Err("it is no WAV file".to_owned());
    }
    let format = chunk(file, *b"fmt ").ok_or("it does not say what its sound is")?;
    let samples =
        chunk(file, *b"data").filter(|samples| !samples.is_empty()).ok_or("there is no sound in it")?;
    let number = |at: usize| format.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
    let (kind, channels, bits) = (number(0), number(2), number(14));
    let rate = format.get(4..8).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    if channels != Some(1) || rate.map(u64::from) != Some(g711::BYTES_PER_S) {
        let (channels, rate) = (channels.unwrap_or(0), rate.unwrap_or(0));
        return Err(format!(
            "it has {channels} channels of {rate} samples a second, and must have one of 8000"
        ));
    }
    match (kind, bits) {
        (Some(MU_LAW), Some(8)) => Ok(samples.to_vec()),
        (Some(PCM), Some(16)) => {
            let samples = samples.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
            Ok(samples.map(g711::encode).collect())
        }
        _ => Err("its samples must be linear with 16 bits, or μ-law".to_owned()),
    }
}

/// What is in the first chunk of this name; one that is cut short is what there is of it.
fn chunk(file: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    let mut rest = file.get(HEAD..)?;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if head.starts_with(&name) {
            return Some(&body[..size.min(body.len())]);
        }
        // Chunks begin at even bytes.
        rest = body.get(size.checked_add(size % 2)?..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: u16, channels: u16, rate: u32, bits: u16, samples: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        file.extend(kind.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend([0; 6]);
        file.extend(bits.to_le_bytes());
        file.extend(b"data");
        file.extend((samples.len() as u32).to_le_bytes());
        file.extend(samples);
        file
    }

    #[test]
    fn a_telephones_sound_is_read() {
        assert_eq!(of_telephone(&file(7, 1, 8_000, 8, &[1, 2, 3])), Ok(vec![1, 2, 3]));
        assert_eq!(of_telephone(&file(1, 1, 8_000, 16, &[0, 0])), Ok(vec![g711::SILENCE]));
    }

    #[test]
    fn any_other_file_is_refused_with_the_reason() {
        for (file, words) in [
            (b"ID3".to_vec(), "no WAV file"),
            (file(1, 2, 8_000, 16, &[0; 4]), "2 channels of 8000"),
            (file(1, 1, 44_100, 16, &[0; 4]), "1 channels of 44100"),
            (file(3, 1, 8_000, 32, &[0; 4]), "16 bits"),
            (file(1, 1, 8_000, 16, &[]), "no sound"),
            (b"RIFF\0\0\0\0WAVE".to_vec(), "what its sound is"),
            (b"RIFF\0\0\0\0WAVEabcd\xff\xff\xff\xff".to_vec(), "what its sound is"),
        ] {
            let error = of_telephone(&file).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }
}
