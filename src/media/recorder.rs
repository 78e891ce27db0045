//! Writes down what was heard in a bridged call: the caller on the left, the model on the right, as played.
//!
//! The caller's audio is the clock: beside each of its samples stands what was played at that time, or
//! silence ([`Track`]); where it does not come, silence takes its place ([`Gaps`]). For that the last two seconds wait for the carrier's marks. The file is a μ-law WAV
//! that grows while the call lasts and says in its head how long it is, about every ten seconds and at the
//! end; then it is synced. A disk that cannot follow, or is full for a while, costs sound, which is silence
//! in the file and counted, and never the call.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::gaps::{Gaps, Mend};
use super::track::Track;
use crate::call::recording::StoredFile;
use crate::clock::Timestamp;
use crate::store::{FileError, Growing, Recordings};
use crate::wire::{g711, wave};

/// How many samples of a channel are written at once: one second.
const BLOCK_SAMPLES: usize = g711::BYTES_PER_S as usize;
/// How many blocks may wait for the disk; beyond them sound is lost.
const BLOCKS_WAITING: usize = 8;
/// After how many blocks the head is made true again, and a disk that refused is tried again.
const HEAD_EVERY: u64 = 10;
/// The longest recording in samples: four hours, which is as long as a carrier's call can be.
const SAMPLES_MAX: u64 = 4 * 3_600 * g711::BYTES_PER_S;
/// How many of the caller's samples wait for what was played beside them: two seconds, more than the lead of
/// the playback and any way to a carrier and back.
const HELD_SAMPLES: usize = 2 * BLOCK_SAMPLES;
/// How much silence is written at once, in samples of a channel.
const SILENCE_SAMPLES: u64 = 32 << 10;

/// Where a recording goes, and who wants to know of it.
#[derive(Debug)]
pub struct Tape {
    /// The files of recordings.
    pub files: Recordings,
    /// The file's name among them.
    pub name: String,
    /// Told the moment of its first sample, should it begin at all.
    pub began: oneshot::Sender<Timestamp>,
}

/// A recording that was made.
#[derive(Debug)]
pub struct Made {
    /// The moment of its first sample.
    pub began: Timestamp,
    /// How long it is.
    pub duration: Duration,
    /// How much could not be written: it is silence in the file, or missing at its end.
    pub lost: Duration,
    /// Its file; or why it is not whole: what there is of it may be taken up.
    pub file: Result<StoredFile, FileError>,
}

/// A recording that is being made.
pub struct Recorder {
    began: Timestamp,
    /// The same moment, for spans of time.
    since: Instant,
    model: Track,
    gaps: Gaps,
    /// The caller's last samples.
    held: Vec<u8>,
    /// How many samples of the caller came.
    samples: u64,
    /// Samples that could not be handed on since the last block that was.
    owed: u64,
    lost: u64,
    blocks: mpsc::Sender<Block>,
    writer: JoinHandle<Writer>,
}

/// Interleaved samples, after so much silence.
struct Block {
    silence: u64,
    samples: Vec<u8>,
}

impl Block {
    /// How many samples of a channel are in it.
    fn count(&self) -> u64 {
        self.samples.len() as u64 / wave::FRAME_BYTES
    }

    fn is_silent(&self) -> bool {
        self.samples.iter().all(|sample| *sample == g711::SILENCE)
    }
}

impl Recorder {
    /// Begins a recording; its first sample is the next of the caller's.
    pub fn start(tape: Tape, began: Timestamp, since: Instant) -> Recorder {
        let (blocks, received) = mpsc::channel(BLOCKS_WAITING);
        let Tape { files, name, began: told } = tape;
        // Nobody wants to know where the gateway is coming down.
        let _ = told.send(began);
        Recorder {
            began,
            since,
            model: Track::default(),
            gaps: Gaps::default(),
            held: Vec::new(),
            samples: 0,
            owed: 0,
            lost: 0,
            blocks,
            writer: tokio::spawn(write(Writer::new(files, name), received)),
        }
    }

    /// The carrier was given this to play, with a mark behind it.
    pub fn sent(&mut self, mark: &str, audio: &[u8]) {
        self.model.sent(self.samples, mark, audio);
    }

    /// A mark came back.
    pub fn marked(&mut self, mark: &str, now: Instant) {
        let missing = self.gaps.at_mark(now.saturating_duration_since(self.since));
        self.fill(missing);
        self.model.marked(self.samples, mark);
    }

    /// The carrier was told to play no more of it.
    pub fn cleared(&mut self) {
        self.model.cleared(self.samples);
    }

    /// The caller's microphone; the carrier says when it was, in milliseconds of its own.
    pub fn caller(&mut self, at_ms: Option<u64>, audio: &[u8], now: Instant) {
        let now = now.saturating_duration_since(self.since);
        match self.gaps.at_piece(at_ms, self.samples, now) {
            Mend::Add(silence) => self.fill(silence),
            Mend::Remove(silence) => self.take_back(silence),
        }
        self.put(audio);
    }

    /// The caller was not heard for so long.
    fn fill(&mut self, mut silence: u64) {
        while silence > 0 && self.samples < SAMPLES_MAX {
            let samples = silence.min(BLOCK_SAMPLES as u64);
            self.put(&vec![g711::SILENCE; usize::try_from(samples).unwrap_or_default()]);
            silence -= samples;
        }
    }

    /// So much of the silence put in last was too much; what is on its way to the disk stays.
    fn take_back(&mut self, silence: u64) {
        let samples = self.held.len().min(usize::try_from(silence).unwrap_or(usize::MAX));
        self.held.truncate(self.held.len() - samples);
        self.samples -= samples as u64;
    }

    fn put(&mut self, audio: &[u8]) {
        let room = usize::try_from(SAMPLES_MAX - self.samples).unwrap_or(usize::MAX);
        let audio = &audio[..audio.len().min(room)];
        self.held.extend_from_slice(audio);
        self.samples += audio.len() as u64;
        while self.held.len() >= HELD_SAMPLES + BLOCK_SAMPLES {
            let block = self.block(BLOCK_SAMPLES);
            let (count, is_silent) = (block.count(), block.is_silent());
            match self.blocks.try_send(block) {
                Ok(()) => self.handed_over(count, true),
                // Nothing is lost with it, and it is put in before the next block.
                Err(_) if is_silent => self.owed += count,
                Err(_) => self.handed_over(count, false),
            }
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

    /// Ends the recording, and waits until it is on disk; none when not one sample came.
    pub async fn finish(mut self) -> Option<Made> {
        if self.samples == 0 {
            return None;
        }
        while !self.held.is_empty() {
            let block = self.block(self.held.len().min(BLOCK_SAMPLES));
            let count = block.count();
            let is_taken = self.blocks.send(block).await.is_ok();
            self.handed_over(count, is_taken);
        }
        // What there was no room for comes last, as silence.
        let rest = Block { silence: self.owed, samples: Vec::new() };
        let _ = self.blocks.send(rest).await;
        drop(self.blocks);
        let written = match self.writer.await {
            Ok(writer) => on_disk(move || writer.finish()).await,
            Err(_) => Written { samples: 0, lost: self.samples, file: Err(broken("writing was cut off")) },
        };
        Some(Made {
            began: self.began,
            duration: g711::duration(written.samples),
            lost: g711::duration(self.lost + written.lost),
            file: written.file,
        })
    }
}

/// Writes blocks as they come, whatever the disk says.
struct Writer {
    files: Recordings,
    name: String,
    file: Option<Growing>,
    /// Samples of a channel that are in the file.
    samples: u64,
    /// Samples of a channel that are not in it, and are silence before what comes next.
    behind: u64,
    /// Samples of a channel that came and were not written.
    lost: u64,
    /// How many blocks came.
    blocks: u64,
    /// Why the disk refused last; none while it takes everything.
    problem: Option<FileError>,
}

/// What a writer leaves behind.
struct Written {
    samples: u64,
    lost: u64,
    file: Result<StoredFile, FileError>,
}

async fn write(mut writer: Writer, mut blocks: mpsc::Receiver<Block>) -> Writer {
    while let Some(block) = blocks.recv().await {
        writer = on_disk(move || {
            writer.take(&block);
            writer
        })
        .await;
    }
    writer
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

impl Writer {
    fn new(files: Recordings, name: String) -> Writer {
        Writer { files, name, file: None, samples: 0, behind: 0, lost: 0, blocks: 0, problem: None }
    }

    fn take(&mut self, block: &Block) {
        self.behind += block.silence;
        let is_turn = self.blocks.is_multiple_of(HEAD_EVERY);
        self.blocks += 1;
        // The last one holds what was owed, and is tried in any case.
        let is_tried = self.problem.is_none() || is_turn || block.samples.is_empty();
        let written = if is_tried { self.append(block) } else { return self.miss(block) };
        match written {
            Ok(()) if is_turn => self.set_head(),
            Ok(()) => self.problem = None,
            Err(error) => {
                self.miss(block);
                self.refused(error);
            }
        }
    }

    fn append(&mut self, block: &Block) -> Result<(), FileError> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = self.files.grow(&self.name)?;
                file.append(&wave::head(0))?;
                self.file.insert(file)
            }
        };
        while self.behind > 0 {
            let samples = self.behind.min(SILENCE_SAMPLES);
            file.append(&[g711::SILENCE; 2].repeat(usize::try_from(samples).unwrap_or_default()))?;
            self.samples += samples;
            self.behind -= samples;
        }
        file.append(&block.samples)?;
        self.samples += block.count();
        Ok(())
    }

    fn set_head(&mut self) {
        let set = self.file.as_mut().map_or(Ok(()), |file| file.set_head(&wave::head(self.samples)));
        match set {
            Ok(()) => self.problem = None,
            Err(error) => self.refused(error),
        }
    }

    fn miss(&mut self, block: &Block) {
        self.behind += block.count();
        self.lost += block.count();
    }

    fn refused(&mut self, error: FileError) {
        if self.problem.is_none() {
            tracing::error!(%error, "a call's recording cannot be written: it is silent until that is mended");
        }
        self.problem = Some(error);
    }

    fn finish(mut self) -> Written {
        let (samples, lost) = (self.samples, self.lost);
        let file = match self.file.take() {
            Some(mut file) => file.set_head(&wave::head(samples)).and_then(|()| file.finish()),
            None => Err(self.problem.unwrap_or_else(|| broken("nothing was written"))),
        };
        Written { samples, lost, file }
    }
}

/// What the disk did not say itself.
fn broken(why: &str) -> FileError {
    FileError::Io { path: PathBuf::from("recordings"), source: io::Error::other(why.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Vault;

    const NAME: &str = "2026/11/22/call/bridge.wav";

    fn tape(data: &Path, keep_free: u64) -> (Tape, oneshot::Receiver<Timestamp>) {
        let (began, told) = oneshot::channel();
        let files = Recordings::below(data, 1 << 30, keep_free, &Vault::default());
        (Tape { files, name: NAME.to_owned(), began }, told)
    }

    #[tokio::test]
    async fn the_caller_is_left_and_the_model_right_as_played() {
        let folder = tempfile::tempdir().unwrap();
        let (tape, told) = tape(folder.path(), 0);
        let mut recorder = Recorder::start(tape, Timestamp::from_secs(9), Instant::now());
        recorder.caller(None, &[1, 2], Instant::now());
        recorder.sent("a", &[11, 12, 13, 14]);
        recorder.caller(None, &[3, 4], Instant::now());
        recorder.cleared();
        recorder.caller(None, &[5], Instant::now());
        recorder.sent("b", &[15]);
        recorder.caller(None, &[6, 7], Instant::now());
        let made = recorder.finish().await.unwrap();
        assert_eq!((told.await.unwrap(), made.lost), (made.began, Duration::ZERO));
        let bytes = std::fs::read(folder.path().join("recordings").join(NAME)).unwrap();
        let right = [0xFF, 0xFF, 11, 12, 0xFF, 15, 0xFF];
        let sound = (1..=7).zip(right).flat_map(|(left, right)| [left, right]);
        let expected: Vec<u8> = wave::head(7).into_iter().chain(sound).collect();
        assert_eq!(bytes, expected);
        let file = made.file.unwrap();
        assert_eq!((file.file.as_str(), file.bytes), (NAME, expected.len() as u64));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_loses_the_sound_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (tape, _told) = tape(folder.path(), u64::MAX);
        let mut recorder = Recorder::start(tape, Timestamp::default(), Instant::now());
        for _ in 0..30 {
            recorder.caller(None, &[0; 8_000], Instant::now());
        }
        let made = recorder.finish().await.unwrap();
        assert_eq!((made.duration, made.lost), (Duration::ZERO, Duration::from_secs(30)));
        assert!(matches!(made.file, Err(FileError::Full { .. })), "{:?}", made.file);
    }

    #[tokio::test]
    async fn nobody_spoke_and_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (tape, _told) = tape(folder.path(), 0);
        assert!(Recorder::start(tape, Timestamp::default(), Instant::now()).finish().await.is_none());
    }

    #[test]
    fn what_the_disk_refuses_for_a_while_is_silence() {
        let folder = tempfile::tempdir().unwrap();
        let files = |keep_free| Recordings::below(folder.path(), 1 << 30, keep_free, &Vault::default());
        let mut writer = Writer::new(files(u64::MAX), NAME.to_owned());
        let block = |sample: u8, count: usize| Block { silence: 0, samples: vec![sample; count * 2] };
        writer.take(&block(1, 3));
        assert!(matches!(writer.problem, Some(FileError::Full { .. })));
        writer.files = files(0);
        for _ in 1..HEAD_EVERY {
            writer.take(&block(2, 1));
        }
        assert!(writer.file.is_none(), "it is not asked at once again");
        writer.take(&block(3, 2));
        let written = writer.finish();
        assert_eq!((written.samples, written.lost), (14, 12));
        written.file.unwrap();
        let bytes = std::fs::read(folder.path().join("recordings").join(NAME)).unwrap();
        let expected = [wave::head(14), vec![g711::SILENCE; 24], vec![3; 4]].concat();
        assert_eq!(bytes, expected);
    }
}
