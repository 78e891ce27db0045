//! Where a corpus comes from: a folder, or the sentences inside the binary.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};

use crate::speech::corpus::{
    Corpus, Files, MANIFEST, REFERENCE_BYTES_MAX, UTTERANCES_MAX, Utterance, WAVE_BYTES_MAX,
};
use crate::speech::normalise::Unit;
use crate::speech::wave::RATE_HZ;

/// What callers say: the sentences of the corpus in `examples/speech`, `NAME TAG,TAG TEXT` in each line.
const SENTENCES: &str = include_str!("../../../examples/speech/sentences.txt");
/// Manifests are short: a line for each utterance.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// How long a character of a made-up sound takes.
const CHARACTER_MS: usize = 40;

/// Reads the corpus of a folder.
///
/// # Errors
///
/// Every file that cannot be used, and why.
pub(super) fn read(folder: &Path) -> anyhow::Result<Corpus> {
    let entries = std::fs::read_dir(folder).with_context(|| {
        format!(
            "{} cannot be read: name a folder with a `NAME.wav` and a `NAME.txt` for each utterance",
            folder.display()
        )
    })?;
    let mut files: BTreeMap<String, Files> = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let (Some(name), Some(kind)) = (path.file_stem(), path.extension()) else { continue };
        let name = name.to_string_lossy().into_owned();
        match kind.to_string_lossy().to_ascii_lowercase().as_str() {
            "wav" => files.entry(name).or_default().wave = Some(bytes(&path, WAVE_BYTES_MAX)?),
            "txt" => files.entry(name).or_default().reference = Some(bytes(&path, REFERENCE_BYTES_MAX)?),
            _ => {}
        }
        // What is beyond the bound need not be read to be refused.
        if files.len() > UTTERANCES_MAX {
            return Err(anyhow!(
                "{}: it has more than {UTTERANCES_MAX} utterances: split it",
                folder.display()
            ));
        }
    }
    let manifest = folder.join(MANIFEST);
    let manifest = manifest.exists().then(|| bytes(&manifest, MANIFEST_BYTES_MAX)).transpose()?;
    let manifest = manifest.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Corpus::read(files, manifest.as_deref()).map_err(|problems| {
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}", folder.join(&problem.file).display(), problem.reason))
            .collect();
        anyhow!("the corpus cannot be used\n{}", lines.join("\n"))
    })
}

fn bytes(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let open = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().with_context(|| format!("{} cannot be read", path.display()))?;
    match bytes.len() as u64 > bytes_max {
        true => Err(anyhow!("{}: it has more than {bytes_max} bytes: cut it into several", path.display())),
        false => Ok(bytes),
    }
}

/// The sentences inside the binary with tones in place of voices: enough for a simulated recogniser.
pub(super) fn built_in() -> Corpus {
    let lines = SENTENCES.lines().filter(|line| !line.starts_with('#'));
    let utterances = (1..).zip(lines).filter_map(|(number, line)| {
        let mut parts = line.splitn(3, ' ');
        let (name, tags, reference) = (parts.next()?, parts.next()?, parts.next()?.trim());
        Some(Utterance {
            name: name.to_owned(),
            reference: reference.to_owned(),
            unit: Unit::of_text(reference),
            tags: tags.split(',').map(str::to_owned).collect(),
            samples: tone(number, reference.chars().count()),
        })
    });
    Corpus::of(utterances.collect())
}

/// A tone for each sentence, each at its own pitch.
fn tone(number: u32, characters: usize) -> Vec<i16> {
    let pitch = 300.0 + 10.0 * f64::from(number);
    let count = characters * CHARACTER_MS * RATE_HZ as usize / 1_000;
    let wave = |at: usize| (TAU * pitch * at as f64 / f64::from(RATE_HZ)).sin();
    (0..count).map(|at| (wave(at) * 9_000.0) as i16).collect()
}
