//! What is measured with: utterances, each a sound and what is said in it.
//!
//! A corpus is a folder of `NAME.wav` with `NAME.txt` beside it, and a `corpus.toml` where there is more to say. This
//! reads the files' bytes; whoever opens them hands them in. All that is wrong is told at once, by file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::distance::UNITS_MAX;
use super::normalise::{Rules, Unit};
use super::wave::{self, RATE_HZ};
use crate::text::hex;
use crate::wire::g711;

/// The most utterances: at real pace they take hours.
pub const UTTERANCES_MAX: usize = 2_000;
/// The largest sound file: a minute of 96,000 Hz.
pub const WAVE_BYTES_MAX: u64 = 12 << 20;
/// The largest reference.
pub const REFERENCE_BYTES_MAX: u64 = 16 << 10;
/// The file that says more of a corpus.
pub const MANIFEST: &str = "corpus.toml";
/// The longest utterance: one turn of a caller. What is longer is several, each with its own reference.
pub const LONGEST: Duration = Duration::from_secs(60);
/// The shortest: less is no word.
pub const SHORTEST: Duration = Duration::from_millis(100);
/// So many bytes of a digest name a corpus.
const DIGEST_BYTES: usize = 8;

/// A whole corpus.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// The utterances, by name.
    pub utterances: Vec<Utterance>,
    /// Changes with every sound, reference and language.
    pub digest: String,
}

/// Something that was said.
#[derive(Clone, Debug)]
pub struct Utterance {
    /// The name of its files.
    pub name: String,
    /// What is said.
    pub reference: String,
    /// What is counted in it.
    pub unit: Unit,
    /// By what it is also summed up.
    pub tags: Vec<String>,
    /// How it sounds: 8000 samples a second.
    pub samples: Vec<i16>,
}

impl Utterance {
    /// How long it sounds.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.samples.len() as u64 * 1_000_000 / u64::from(RATE_HZ))
    }
}

/// The files of one utterance, as far as they are there.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// `NAME.wav`.
    pub wave: Option<Vec<u8>>,
    /// `NAME.txt`.
    pub reference: Option<Vec<u8>>,
}

/// What is wrong with one file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as a path inside the corpus.
    pub file: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// `corpus.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The language of all utterances that do not say their own, ISO 639-1.
    language: Option<String>,
    #[serde(default)]
    utterances: BTreeMap<String, About>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    language: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

impl Corpus {
    /// A corpus of these files, by name, and the text of its `corpus.toml`.
    ///
    /// # Errors
    ///
    /// Every file that cannot be used, and why.
    pub fn read(files: BTreeMap<String, Files>, manifest: Option<&str>) -> Result<Corpus, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |file: String, reason: String| problems.push(Problem { file, reason });
        let manifest = match manifest.map(toml::from_str::<Manifest>).transpose() {
            Ok(manifest) => manifest.unwrap_or_default(),
            Err(error) => {
                problem(MANIFEST.to_owned(), error.to_string().trim_end().to_owned());
                Manifest::default()
            }
        };
        for name in manifest.utterances.keys().filter(|name| !files.contains_key(*name)) {
            problem(MANIFEST.to_owned(), format!("it tells of `{name}`, of which there is no file"));
        }
        if files.is_empty() {
            problem(
                ".".to_owned(),
                "it has no utterances: a `NAME.wav` and a `NAME.txt` for each".to_owned(),
            );
        }
        if files.len() > UTTERANCES_MAX {
            problem(
                ".".to_owned(),
                format!("it has {} utterances, at most {UTTERANCES_MAX} are played", files.len()),
            );
        }
        let mut utterances: Vec<Utterance> = Vec::with_capacity(files.len());
        for (name, files) in files {
            let about = manifest.utterances.get(&name).cloned().unwrap_or_default();
            let language = about.language.or_else(|| manifest.language.clone());
            let sound = sound(files.wave).map_err(|reason| problem(format!("{name}.wav"), reason));
            let text = text(files.reference, language.as_deref());
            let text = text.map_err(|reason| problem(format!("{name}.txt"), reason));
            if let (Ok(samples), Ok((reference, unit))) = (sound, text) {
                let is_same = |known: &&Utterance| known.samples == samples;
                if let Some(known) = utterances.iter().find(is_same) {
                    problem(
                        format!("{name}.wav"),
                        format!("it is the same sound as `{}`: take one away", known.name),
                    );
                }
                utterances.push(Utterance { name, reference, unit, tags: about.tags, samples });
            }
        }
        if problems.is_empty() { Ok(Corpus::of(utterances)) } else { Err(problems) }
    }

    /// A corpus of utterances that were read, or made.
    pub fn of(utterances: Vec<Utterance>) -> Corpus {
        let mut digest = Sha256::new();
        for utterance in &utterances {
            let kind = utterance.unit.rate_name();
            for part in [utterance.name.as_bytes(), utterance.reference.as_bytes(), kind.as_bytes()] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part);
            }
            let sound: Vec<u8> = utterance.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            digest.update((sound.len() as u64).to_le_bytes());
            digest.update(sound);
        }
        Corpus { utterances, digest: hex(&digest.finalize()[..DIGEST_BYTES]) }
    }

    /// How long all of it sounds.
    pub fn duration(&self) -> Duration {
        self.utterances.iter().map(Utterance::duration).sum()
    }
}

fn sound(wave: Option<Vec<u8>>) -> Result<Vec<i16>, String> {
    let wave = wave.ok_or("there is none beside the reference: record it, or take the reference away")?;
    let samples = wave::read(&wave).map_err(|error| error.to_string())?;
    let duration = Duration::from_micros(samples.len() as u64 * 1_000_000 / u64::from(RATE_HZ));
    if duration < SHORTEST {
        return Err(format!("it is {} ms long: there is no word in it", duration.as_millis()));
    }
    if duration > LONGEST {
        let (seconds, longest) = (duration.as_secs(), LONGEST.as_secs());
        return Err(format!(
            "it is {seconds} s long, at most {longest} s are one turn of a caller: cut it into several"
        ));
    }
    let is_silent = samples.iter().all(|sample| g711::is_silent(&[g711::encode(*sample)]));
    if is_silent { Err("it is silent from beginning to end".to_owned()) } else { Ok(samples) }
}

fn text(reference: Option<Vec<u8>>, language: Option<&str>) -> Result<(String, Unit), String> {
    let reference = reference.ok_or("there is none beside the sound: write into it what is said")?;
    let reference = String::from_utf8(reference).map_err(|_| "it is not UTF-8")?;
    let reference = reference.trim_start_matches('\u{feff}').trim().to_owned();
    let unit = language.map_or_else(|| Unit::of_text(&reference), Unit::of_language);
    match (Rules { unit, folds_kana: true }).units(&reference).len() {
        0 => Err("there is no letter in it: write what is said".to_owned()),
        units if units > UNITS_MAX => Err(format!("it has {units} units, at most {UNITS_MAX} are compared")),
        _ => Ok((reference, unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beep(ms: usize) -> Vec<u8> {
        let samples: Vec<i16> =
            (0..ms * 8).map(|at| if (at / 10).is_multiple_of(2) { 4_000 } else { -4_000 }).collect();
        wave::write(&samples)
    }

    /// A name, a sound and a reference.
    type Made<'a> = (&'a str, Option<Vec<u8>>, Option<&'a str>);

    fn files(list: &[Made<'_>]) -> BTreeMap<String, Files> {
        let files = |(name, wave, reference): &Made<'_>| {
            let reference = reference.map(|text| text.as_bytes().to_vec());
            ((*name).to_owned(), Files { wave: wave.clone(), reference })
        };
        list.iter().map(files).collect()
    }

    #[test]
    fn a_corpus_is_read() {
        let two =
            files(&[("a", Some(beep(200)), Some("\u{feff}はい\n")), ("b", Some(beep(300)), Some("Yes."))]);
        let corpus = Corpus::read(two.clone(), None).unwrap();
        let units: Vec<Unit> = corpus.utterances.iter().map(|utterance| utterance.unit).collect();
        assert_eq!(units, [Unit::Characters, Unit::Words]);
        assert_eq!(
            (corpus.utterances[0].reference.as_str(), corpus.duration()),
            ("はい", Duration::from_millis(500))
        );
        let told = Corpus::read(two, Some("language = \"ja\"\n[utterances.b]\ntags = [\"yes\"]")).unwrap();
        assert_eq!(
            (told.utterances[1].unit, &told.utterances[1].tags[..]),
            (Unit::Characters, &["yes".to_owned()][..])
        );
        assert_ne!(told.digest, corpus.digest, "what is counted is another thing");
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let bad = files(&[
            ("mp3", Some(b"ID3".to_vec()), Some("x")),
            ("no-sound", None, Some("x")),
            ("no-text", Some(beep(200)), None),
            ("short", Some(beep(50)), Some("x")),
            ("long", Some(beep(61_000)), Some("x")),
            ("silent", Some(wave::write(&[0; 8_000])), Some("x")),
            ("twice-a", Some(beep(300)), Some("x")),
            ("twice-b", Some(beep(300)), Some("x")),
            ("wordless", Some(beep(200)), Some(" … ")),
        ]);
        let problems = Corpus::read(bad, Some("[utterances.gone]")).unwrap_err();
        let told: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.file, problem.reason)).collect();
        assert_eq!(
            told,
            [
                "corpus.toml: it tells of `gone`, of which there is no file",
                "long.wav: it is 61 s long, at most 60 s are one turn of a caller: cut it into several",
                "mp3.wav: it is not a WAV file; `ffmpeg -i IN -ac 1 -ar 8000 -c:a pcm_s16le OUT.wav` makes one of it",
                "no-sound.wav: there is none beside the reference: record it, or take the reference away",
                "no-text.txt: there is none beside the sound: write into it what is said",
                "short.wav: it is 50 ms long: there is no word in it",
                "silent.wav: it is silent from beginning to end",
                "twice-b.wav: it is the same sound as `twice-a`: take one away",
                "wordless.txt: there is no letter in it: write what is said",
            ]
        );
        let problems = Corpus::read(BTreeMap::new(), Some("langage = 1")).unwrap_err();
        assert!(problems[0].reason.contains("unknown field `langage`"), "{problems:?}");
        assert!(problems[1].reason.contains("no utterances"), "{problems:?}");
    }
}
