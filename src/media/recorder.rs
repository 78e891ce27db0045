//! Writes down what was heard in a bridged call: the caller on the left, the model on the right, as played.
//!
//! The caller's audio is the clock: beside each of its samples stands what was played at that time, or
//! silence ([`Track`]). For that the last two seconds wait for the carrier's marks. The file is a μ-law WAV
//! that grows while the call lasts and says in its head how long it is, about every ten seconds and at the
//! end; then it is synced. A disk that cannot follow costs sound, which is silence in the file and counted,
//! and never the call.
//!
//! Facts: RIFF/WAVE, format 7 (`WAVE_FORMAT_MULAW`), which wants a `fact` chunk.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::track::Track;
use crate::call::record::Recording;
use crate::clock::Timestamp;
use crate::wire::g711;

/// How many samples of a channel are written at once: one second.
const BLOCK_SAMPLES: usize = g711::BYTES_PER_S as usize;
/// How many blocks may wait for the disk; beyond them sound is lost.
const BLOCKS_WAITING: usize = 8;
/// After how many blocks the head is made true again.
const HEAD_EVERY: u64 = 10;
/// The longest recording in samples: four hours, which is as long as a carrier's call can be.
const SAMPLES_MAX: u64 = 4 * 3_600 * g711::BYTES_PER_S;
/// How many of the caller's samples wait for what was played beside them: two seconds, more than the lead of
/// the playback and any way to a carrier and back.
const HELD_SAMPLES: usize = 2 * BLOCK_SAMPLES;
/// How long the last of it may take to be on disk.
const FINISH_WITHIN: Duration = Duration::from_secs(20);
/// Length of the head in bytes.
const HEAD_BYTES: u64 = 58;

/// Where a recording goes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// How records name it, below the data directory.
    pub name: String,
}

/// A recording that is being made.
pub struct Recorder {
    name: String,
    began: Timestamp,
    model: Track,
    /// The caller's last samples.
    held: Vec<u8>,
    /// How many samples of the caller came.
    samples: u64,
    /// Samples that could not be handed on since the last block that was.
    owed: u64,
    lost: u64,
    blocks: mpsc::Sender<Block>,
    writer: JoinHandle<u64>,
}

/// Interleaved samples, after so much silence.
struct Block {
    silence: u64,
    samples: Vec<u8>,
}

impl Recorder {
    /// Begins a recording; its first sample is the next of the caller's.
    pub fn start(place: Place, began: Timestamp) -> Recorder {
        let (blocks, received) = mpsc::channel(BLOCKS_WAITING);
        let Place { path, name } = place;
        Recorder {
            name,
            began,
            model: Track::default(),
            held: Vec::new(),
            samples: 0,
            owed: 0,
            lost: 0,
            blocks,
            writer: tokio::spawn(write(path, received)),
        }
    }

    /// The carrier was given this to play, with a mark behind it.
    pub fn sent(&mut self, mark: &str, audio: &[u8]) {
        self.model.sent(self.samples, mark, audio);
    }

    /// A mark came back.
    pub fn marked(&mut self, mark: &str) {
        self.model.marked(self.samples, mark);
    }

    /// The carrier was told to play no more of it.
    pub fn cleared(&mut self) {
        self.model.cleared(self.samples);
    }

    /// The caller's microphone.
    pub fn caller(&mut self, audio: &[u8]) {
        let room = usize::try_from(SAMPLES_MAX - self.samples).unwrap_or(usize::MAX);
        let audio = &audio[..audio.len().min(room)];
        self.held.extend_from_slice(audio);
        self.samples += audio.len() as u64;
        while self.held.len() >= HELD_SAMPLES + BLOCK_SAMPLES {
            let block = self.block(BLOCK_SAMPLES);
            let count = block.samples.len() as u64 / 2;
            let is_taken = self.blocks.try_send(block).is_ok();
            self.handed_over(count, is_taken);
        }
    }

    /// The oldest samples that are held, of both sides.
    fn block(&mut self, count: usize) -> Block {
        let until = self.samples - (self.held.len() - count) as u64;
        let right = self.model.take(until);
        let samples = self.held.drain(..count).zip(right).flat_map(|(left, right)| [left, right]).collect();
        Block { silence: self.owed, samples }
    }

    fn handed_over(&mut self, count: u64, is_taken: bool) {
        if is_taken {
            self.owed = 0;
        } else {
            self.owed += count;
            self.lost += count;
        }
    }

    /// Ends the recording, and waits until it is on disk.
    pub async fn finish(mut self) -> Recording {
        while !self.held.is_empty() {
            let count = self.held.len().min(BLOCK_SAMPLES);
            let block = self.block(count);
            let sending = tokio::time::timeout(FINISH_WITHIN, self.blocks.send(block)).await;
            self.handed_over(count as u64, matches!(sending, Ok(Ok(()))));
        }
        drop(self.blocks);
        let written = match tokio::time::timeout(FINISH_WITHIN, self.writer).await {
            Ok(Ok(written)) => written,
            _ => 0,
        };
        let missing = self.samples.saturating_sub(self.owed).saturating_sub(written);
        Recording {
            file: self.name,
            began: self.began,
            duration_ms: written / g711::BYTES_PER_MS,
            lost_ms: (self.lost + missing) / g711::BYTES_PER_MS,
        }
    }
}

/// Writes blocks as they come. Gives how many samples of a channel are in the file for certain.
async fn write(path: PathBuf, mut blocks: mpsc::Receiver<Block>) -> u64 {
    let mut file = match on_disk(move || open(&path)).await {
        Ok(file) => Some(file),
        Err(error) => return failed(&error, 0),
    };
    let (mut samples, mut since_head) = (0, 0);
    while let Some(block) = blocks.recv().await {
        since_head += 1;
        let is_head_due = u64::is_multiple_of(since_head, HEAD_EVERY);
        let Some(open) = file.take() else { break };
        let count = block.silence + block.samples.len() as u64 / 2;
        let total = samples + count;
        let written = on_disk(move || append(open, &block, is_head_due.then_some(total))).await;
        match written {
            Ok(open) => file = Some(open),
            Err(error) => return failed(&error, samples),
        }
        samples = total;
    }
    let Some(open) = file else { return samples };
    match on_disk(move || close(open, samples)).await {
        Ok(()) => samples,
        Err(error) => failed(&error, 0),
    }
}

fn failed(error: &io::Error, samples: u64) -> u64 {
    tracing::error!(%error, "a recording cannot be written");
    samples
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&head(0))?;
    // The name is as durable as what will stand in the file.
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

fn append(mut file: File, block: &Block, head_for: Option<u64>) -> io::Result<File> {
    let silence = usize::try_from(block.silence).unwrap_or(usize::MAX).saturating_mul(2);
    io::copy(&mut io::Read::take(io::repeat(g711::SILENCE), silence as u64), &mut file)?;
    file.write_all(&block.samples)?;
    if let Some(samples) = head_for {
        rewrite_head(&mut file, samples)?;
    }
    Ok(file)
}

fn close(mut file: File, samples: u64) -> io::Result<()> {
    rewrite_head(&mut file, samples)?;
    file.sync_all()
}

fn rewrite_head(file: &mut File, samples: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&head(samples))?;
    file.seek(SeekFrom::End(0)).map(drop)
}

/// The head of a file with so many samples of each channel.
fn head(samples: u64) -> Vec<u8> {
    // Four hours are far below what 32 bits can say.
    let samples = u32::try_from(samples).unwrap_or(u32::MAX / 4);
    let data = samples * 2;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> Place {
        Place { path: folder.join("recordings/call.wav"), name: "recordings/call.wav".to_owned() }
    }

    #[tokio::test]
    async fn the_caller_is_left_and_the_model_right_as_played() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::start(place(folder.path()), Timestamp::from_secs(9));
        recorder.caller(&[1, 2]);
        recorder.sent("a", &[11, 12, 13, 14]);
        recorder.caller(&[3, 4]);
        recorder.cleared();
        recorder.caller(&[5]);
        recorder.sent("b", &[15]);
        recorder.caller(&[6, 7]);
        let recording = recorder.finish().await;
        assert_eq!((recording.file.as_str(), recording.lost_ms), ("recordings/call.wav", 0));
        let bytes = std::fs::read(folder.path().join("recordings/call.wav")).unwrap();
        assert_eq!(bytes.len() as u64, HEAD_BYTES + 14);
        let right = [0xFF, 0xFF, 11, 12, 0xFF, 15, 0xFF];
        let expected: Vec<u8> = (1..=7).zip(right).flat_map(|(left, right)| [left, right]).collect();
        assert_eq!(bytes[58..], expected);
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((number(4), number(46), number(54)), (bytes.len() as u32 - 8, 7, 14));
        assert_eq!(
            (&bytes[0..4], &bytes[8..16], &bytes[50..54]),
            (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..])
        );
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_loses_the_sound_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("not-a-folder");
        std::fs::write(&file, b"").unwrap();
        let mut recorder = Recorder::start(place(&file), Timestamp::default());
        for _ in 0..30 {
            recorder.caller(&[0; 8_000]);
        }
        let recording = recorder.finish().await;
        assert_eq!((recording.duration_ms, recording.lost_ms), (0, 30_000));
    }
}
