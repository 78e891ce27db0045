//! Whether a file has changed, and whether it has stopped changing; told from its stamp, without reading it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// A file that has not changed for so long is taken to be whole.
const SETTLED_AFTER: Duration = Duration::from_millis(300);
/// How long a file that could not be loaded must stay as it is before it is tried again.
const SETTLED_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What the system says of a file that was read; links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Stamp(Option<Known>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    place: (u64, u64),
    bytes: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of this file; that of none is one too.
    pub fn of(path: &Path) -> Stamp {
        Stamp(std::fs::metadata(path).ok().map(|file| Known {
            place: (file.dev(), file.ino()),
            bytes: file.len(),
            written: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }))
    }
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// As when it was decided last.
    Calm,
    /// It differs from the last look.
    Began,
    /// It is as at the last look, but not for long enough.
    Changing,
    /// It has changed, and stopped changing.
    Settled,
}

/// Follows a file from a change to its end.
#[derive(Clone, Debug)]
pub(super) struct Settling {
    decided: Option<Stamp>,
    seen: Stamp,
    since: Option<Instant>,
    settled_after: Duration,
}

impl Settling {
    /// Nothing has to be done about the file as long as it is like this.
    pub fn decided(stamp: Stamp) -> Settling {
        Settling { decided: Some(stamp), seen: stamp, since: None, settled_after: SETTLED_AFTER }
    }

    /// Compares the file with what is known of it.
    pub fn look(&mut self, stamp: Stamp, now: Instant) -> Look {
        if self.decided == Some(stamp) {
            self.seen = stamp;
            self.since = None;
            return Look::Calm;
        }
        match self.since {
            Some(since) if self.seen == stamp => {
                if now.saturating_duration_since(since) >= self.settled_after {
                    Look::Settled
                } else {
                    Look::Changing
                }
            }
            _ => {
                self.seen = stamp;
                self.since = Some(now);
                self.settled_after = SETTLED_AFTER;
                Look::Began
            }
        }
    }

    /// What the last look saw is dealt with. Had the file changed since, the next look will see it.
    pub fn decide(&mut self) {
        self.decided = Some(self.seen);
        self.since = None;
    }

    /// What the last look saw shall be seen as settled once more, later.
    pub fn wait(&mut self, now: Instant) {
        self.since = Some(now);
        self.settled_after = SETTLED_AFTER_FAILURE;
    }

    /// The file is to be dealt with again, even as it is.
    pub fn forget(&mut self) {
        self.decided = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(bytes: u64) -> Stamp {
        Stamp(Some(Known { place: (1, 1), bytes, written: (1, 1), changed: (1, 1) }))
    }

    /// Looks at these stamps, 100 ms apart.
    fn looks(settling: &mut Settling, stamps: &[Stamp]) -> Vec<Look> {
        let began = Instant::now();
        let at = (0_u32..).map(|n| began + n * Duration::from_millis(100));
        stamps.iter().zip(at).map(|(stamp, now)| settling.look(*stamp, now)).collect()
    }

    #[test]
    fn a_file_settles_when_it_stops_changing() {
        use Look::{Began, Calm, Changing, Settled};
        let mut file = Settling::decided(stamp(1));
        let copied = [1, 1, 2, 3, 4, 4, 4, 4].map(stamp);
        let seen = [Calm, Calm, Began, Began, Began, Changing, Changing, Settled];
        assert_eq!(looks(&mut file, &copied), seen);
        file.decide();
        assert_eq!(looks(&mut file, &[4, 4, 1].map(stamp)), [Calm, Calm, Began]);
    }

    #[test]
    fn a_file_that_is_as_before_needs_nothing() {
        use Look::{Began, Calm};
        let mut file = Settling::decided(stamp(1));
        assert_eq!(looks(&mut file, &[stamp(1), Stamp(None), stamp(1)]), [Calm, Began, Calm]);
        assert_eq!(looks(&mut file, &[Stamp(None), stamp(1)]), [Began, Calm]);
    }

    #[test]
    fn a_file_that_failed_is_seen_again_later_unless_it_changes() {
        use Look::{Began, Changing, Settled};
        let mut file = Settling::decided(stamp(1));
        looks(&mut file, &[stamp(2)]);
        file.wait(Instant::now());
        let seen = looks(&mut file, &[stamp(2); 12]);
        assert_eq!(seen.iter().filter(|look| **look == Changing).count(), 10, "{seen:?}");
        assert_eq!(seen.last(), Some(&Settled));
        assert_eq!(looks(&mut file, &[3, 3, 3, 3].map(stamp)), [Began, Changing, Changing, Settled]);
    }

    #[test]
    fn what_is_forgotten_is_dealt_with_again() {
        let mut file = Settling::decided(stamp(1));
        file.forget();
        assert_eq!(looks(&mut file, &[stamp(1); 4]).last(), Some(&Look::Settled));
    }

    #[test]
    fn a_stamp_tells_files_apart() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("plugin.wasm");
        let none = Stamp::of(&path);
        std::fs::write(&path, "one").expect("a file");
        let one = Stamp::of(&path);
        assert_ne!(none, one);
        assert_eq!(one, Stamp::of(&path));
        std::fs::write(dir.path().join("new"), "two").expect("a file");
        std::fs::rename(dir.path().join("new"), &path).expect("a replaced file");
        assert_ne!(one, Stamp::of(&path), "as long as the old one, but another file");
    }
}
