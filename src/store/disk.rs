//! The index on disk: sled, holding what the journal says.
//!
//! It can be thrown away at any time. Beside the values it keeps one [`Head`]: up to which journal
//! record it was written, and a digest over all entries, changed in the same batch as they are. The
//! digest is a count and a wrapping sum of one 64-bit hash per entry, so a change costs two hashes and
//! no order matters; a lost, doubled or altered entry shows.
//!
//! A batch locks readers out and costs sled two writes whatever its size, so changes come in [`Layer`]s
//! and are applied in batches of moderate size. The head moves to the layer's last record with
//! the last of them: after a crash in between, the journal is replayed over what is there, and ends the same.
//!
//! sled keeps entries of up to 8 KiB well; larger values are cut into pieces here: the first, under the
//! value's own key, opens with `~<pieces> <crc32>\n` (no JSON does), the others follow under
//! `<key>\0<number>`. A reader that sees a mixture of two versions notices by the CRC and reads again.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sled::IVec;

use super::error::StoreError;
use super::recent::Layer;

/// The form of entries described above.
const SCHEMA: u32 = 1;
/// sled makes a file of every leaf over 128 KiB and never syncs it; a leaf has up to 17 entries.
const PIECE_BYTES_MAX: usize = 7 * 1024;
const HEAD_KEY: &[u8] = b".head";
/// One batch of sled has about so many entries …
const BATCH_ENTRIES: usize = 256;
/// … and so many bytes.
const BATCH_BYTES: usize = 256 << 10;
/// How often a value that changes while it is read is read again.
const READ_ATTEMPTS: u32 = 64;

/// Reads what is on disk. A cheap handle.
#[derive(Clone)]
pub(super) struct Disk {
    db: sled::Db,
}

/// Up to where the index was written, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Head {
    /// The last journal record that is in the index.
    pub(super) applied: u64,
    /// That record's CRC: it tells this journal from another one.
    pub(super) crc: u32,
    count: u64,
    sum: u64,
}

/// Why there is no index to be had.
pub(super) enum Unusable {
    /// sled's threads of an earlier use have not let go of it yet.
    Busy,
    /// The system refused; the index itself may be fine.
    System(io::Error),
    /// It is damaged, or none of ours.
    Damaged(String),
}

/// Writes to the disk. There is one.
pub(super) struct Writer {
    disk: Disk,
    head: Head,
}

impl Disk {
    /// Reads one value whole.
    pub(super) fn get(&self, key: &str) -> Result<Option<IVec>, StoreError> {
        for _ in 0..READ_ATTEMPTS {
            let Some(first) = self.db.get(key)? else { return Ok(None) };
            if first.first() != Some(&b'~') {
                return Ok(Some(first));
            }
            if let Some(whole) = self.join(key, &first)? {
                return Ok(Some(IVec::from(whole)));
            }
        }
        Err(StoreError::Corrupt { key: key.to_owned(), problem: "its pieces do not fit together".to_owned() })
    }

    pub(super) fn contains(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.db.contains_key(key)?)
    }

    /// The keys within `range`, in order and from both ends, without those of later pieces.
    pub(super) fn keys(
        &self,
        range: &Range<String>,
    ) -> impl DoubleEndedIterator<Item = Result<String, StoreError>> + use<> {
        let range = range.start.as_bytes().to_vec()..range.end.as_bytes().to_vec();
        self.db
            .range(range)
            .keys()
            .filter(|key| key.as_ref().map_or(true, |key| !key.contains(&0)))
            .map(|key| Ok(String::from_utf8_lossy(&key?).into_owned()))
    }

    /// Hands everything to the operating system. Syncing is left to the caller.
    pub(super) fn flush(&self) -> sled::Result<()> {
        self.db.flush()?;
        Ok(())
    }

    /// Puts a value's pieces together; none when they belong to different versions.
    fn join(&self, key: &str, first: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((pieces, crc, start)) = parse_opening(first) else { return Ok(None) };
        let mut whole = start.to_vec();
        for number in 1..pieces {
            match self.db.get(piece_key(key, number))? {
                Some(piece) => whole.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
        Ok((crc32fast::hash(&whole) == crc).then_some(whole))
    }
}

impl Writer {
    /// Opens the index in `path`, or makes an empty one where there is none.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Writer, Unusable> {
        remove_unfinished_snapshots(path).map_err(Unusable::System)?;
        let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
        // sled panics on some kinds of damage.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let disk = Disk { db: config.open()? };
            let head = disk.db.get(HEAD_KEY)?;
            let is_empty = disk.db.is_empty();
            Ok((disk, head, is_empty))
        }));
        let (disk, head, is_empty) = match opened {
            Ok(result) => result.map_err(unusable)?,
            Err(_) => return Err(Unusable::Damaged("sled panicked while it read its files".to_owned())),
        };
        match head {
            None if is_empty => Ok(Writer { disk, head: Head::default() }),
            None => Err(Unusable::Damaged("it has entries but no head".to_owned())),
            Some(text) => match Head::parse(&text) {
                Some(head) => Ok(Writer { disk, head }),
                None => Err(Unusable::Damaged("its head is unreadable or of another version".to_owned())),
            },
        }
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Reads every entry and compares with the digest; says what is wrong, if something is.
    pub(super) fn verify(&self) -> Result<(), String> {
        let scanned = catch_unwind(AssertUnwindSafe(|| {
            let mut found = Head { count: 0, sum: 0, ..self.head };
            for entry in self.disk.db.iter() {
                let (key, value) = entry?;
                if key != HEAD_KEY {
                    found.add(&key, &value);
                }
            }
            Ok::<Head, sled::Error>(found)
        }));
        match scanned {
            Ok(Ok(found)) if found == self.head => Ok(()),
            Ok(Ok(_)) => Err("its entries do not give its digest".to_owned()),
            Ok(Err(error)) => Err(format!("it cannot be read: {error}")),
            Err(_) => Err("sled panicked while it was read".to_owned()),
        }
    }

    /// Applies a layer and moves the head to its last record.
    pub(super) fn apply(&mut self, layer: &Layer) -> sled::Result<()> {
        let mut head = self.head;
        let mut batch = Batch::new(&self.disk.db, &mut head);
        for (key, value) in layer.entries() {
            if batch.entries >= BATCH_ENTRIES || batch.bytes >= BATCH_BYTES {
                batch.finish()?;
                batch = Batch::new(&self.disk.db, &mut head);
            }
            batch.set(key, value)?;
        }
        (batch.head.applied, batch.head.crc) = layer.last();
        batch.finish()?;
        self.head = head;
        Ok(())
    }
}

impl Head {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(key, value));
    }

    fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(key, value));
    }

    fn to_text(self) -> String {
        format!("{SCHEMA} {} {} {} {}", self.applied, self.crc, self.count, self.sum)
    }

    fn parse(text: &[u8]) -> Option<Head> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        if words.next()?.parse() != Ok(SCHEMA) {
            return None;
        }
        let head = Head {
            applied: words.next()?.parse().ok()?,
            crc: words.next()?.parse().ok()?,
            count: words.next()?.parse().ok()?,
            sum: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(head)
    }
}

/// A batch that keeps the digest right.
struct Batch<'a> {
    db: &'a sled::Db,
    head: &'a mut Head,
    batch: sled::Batch,
    entries: usize,
    bytes: usize,
}

impl<'a> Batch<'a> {
    fn new(db: &'a sled::Db, head: &'a mut Head) -> Batch<'a> {
        Batch { db, head, batch: sled::Batch::default(), entries: 0, bytes: 0 }
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> sled::Result<()> {
        let old = self.db.get(key)?;
        let old_pieces = old.as_deref().map_or(0, pieces);
        let new_pieces = match value {
            Some(value) if value.len() > PIECE_BYTES_MAX => self.cut(key, old, value.as_bytes())?,
            value => {
                self.entry(key.as_bytes(), old, value.map(IVec::from));
                usize::from(value.is_some())
            }
        };
        for number in new_pieces.max(1)..old_pieces {
            let key = piece_key(key, number);
            let old = self.db.get(&key)?;
            self.entry(&key, old, None);
        }
        Ok(())
    }

    /// Writes a large value in pieces; gives their number.
    fn cut(&mut self, key: &str, old: Option<IVec>, value: &[u8]) -> sled::Result<usize> {
        let count = value.len().div_ceil(PIECE_BYTES_MAX);
        let mut pieces = value.chunks(PIECE_BYTES_MAX);
        let mut first = format!("~{count} {}\n", crc32fast::hash(value)).into_bytes();
        first.extend_from_slice(pieces.next().unwrap_or_default());
        self.entry(key.as_bytes(), old, Some(IVec::from(first)));
        for (number, piece) in pieces.enumerate() {
            let key = piece_key(key, number + 1);
            let old = self.db.get(&key)?;
            self.entry(&key, old, Some(IVec::from(piece)));
        }
        Ok(count)
    }

    fn entry(&mut self, key: &[u8], old: Option<IVec>, new: Option<IVec>) {
        self.entries += 1;
        self.bytes += key.len() + new.as_ref().map_or(0, |new| new.len());
        if let Some(old) = &old {
            self.head.remove(key, old);
        }
        match new {
            Some(new) => {
                self.head.add(key, &new);
                self.batch.insert(key, new);
            }
            None if old.is_some() => self.batch.remove(key),
            None => {}
        }
    }

    /// Applies the batch and the head that goes with it.
    fn finish(mut self) -> sled::Result<()> {
        self.batch.insert(HEAD_KEY, self.head.to_text().as_bytes());
        self.db.apply_batch(self.batch)?;
        Ok(())
    }
}

/// Two CRCs, the second continuing the first, mixed so that sums of many do not cancel out.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    let key_crc = crc32fast::hash(key);
    let mut both = crc32fast::Hasher::new_with_initial(key_crc);
    both.update(value);
    let mut mixed =
        (u64::from(key_crc) << 32 | u64::from(both.finalize())).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn piece_key(key: &str, number: usize) -> Vec<u8> {
    format!("{key}\0{number:04}").into_bytes()
}

/// How many entries the value has whose first piece this is.
fn pieces(first: &[u8]) -> usize {
    parse_opening(first).map_or(1, |(pieces, ..)| pieces)
}

/// The number of pieces, the CRC of the whole, and the start of the value.
fn parse_opening(first: &[u8]) -> Option<(usize, u32, &[u8])> {
    let opening = first.strip_prefix(b"~")?;
    let end = opening.iter().position(|byte| *byte == b'\n')?;
    let (pieces, crc) = std::str::from_utf8(&opening[..end]).ok()?.split_once(' ')?;
    Some((pieces.parse().ok()?, crc.parse().ok()?, &opening[end + 1..]))
}

/// sled 0.34 takes an unfinished snapshot for the newest one and then never opens again.
fn remove_unfinished_snapshots(path: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Only what sled found in its own files is damage. A lock or an error of the system never is: taking it
/// for damage would throw away an index that another process is using.
fn unusable(error: sled::Error) -> Unusable {
    match error {
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => Unusable::Busy,
        sled::Error::Io(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotFound => Unusable::Damaged(error.to_string()),
            _ if error.raw_os_error().is_none() && error.kind() == io::ErrorKind::Other => {
                Unusable::Damaged(error.to_string())
            }
            _ => Unusable::System(error),
        },
        other => Unusable::Damaged(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(changes: &[(&str, Option<String>)], seq: u64) -> Layer {
        let mut layer = Layer::default();
        layer.add(changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())), (seq, 7));
        layer
    }

    #[test]
    fn the_digest_follows_every_change() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(mut writer) = Writer::open(dir.path(), 1 << 20) else { panic!("a fresh index opens") };
        let empty = writer.head();
        let long = |byte: &str, size: usize| Some(byte.repeat(size));
        let steps = [
            ("a/1", Some("x".to_owned())),
            ("a/1", Some("y".to_owned())),
            ("a/2", long("b", 50_000)),
            ("a/2", long("c", 20_000)),
            ("a/3", long("d", 100)),
            ("a/3", long("e", PIECE_BYTES_MAX + 1)),
            ("a/3", None),
            ("a/missing", None),
        ];
        for (number, (key, value)) in steps.into_iter().enumerate() {
            writer.apply(&layer(&[(key, value.clone())], number as u64 + 1)).unwrap();
            writer.verify().unwrap();
            let read = writer.disk().get(key).unwrap();
            assert_eq!(read.as_deref(), value.as_ref().map(String::as_bytes), "{key}");
        }
        let range = "a/".to_owned().."a0".to_owned();
        let keys: Vec<String> = writer.disk().keys(&range).collect::<Result<_, _>>().unwrap();
        assert_eq!(keys, ["a/1", "a/2"]);
        writer.apply(&layer(&[("a/1", None), ("a/2", None)], 9)).unwrap();
        assert_eq!(writer.head(), Head { applied: 9, crc: 7, ..empty });
    }

    #[test]
    fn a_large_layer_is_applied_in_several_batches() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(mut writer) = Writer::open(dir.path(), 1 << 20) else { panic!("a fresh index opens") };
        let keys: Vec<String> = (0..3 * BATCH_ENTRIES).map(|number| format!("a/{number:04}")).collect();
        let changes: Vec<_> = keys.iter().map(|key| (key.as_str(), Some(key.clone()))).collect();
        writer.apply(&layer(&changes, 5)).unwrap();
        writer.verify().unwrap();
        assert_eq!(writer.head().applied, 5);
        let read: Vec<String> =
            writer.disk().keys(&("a/".to_owned().."b".to_owned())).collect::<Result<_, _>>().unwrap();
        assert_eq!(read, keys);
    }

    #[test]
    fn an_altered_entry_shows() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(mut writer) = Writer::open(dir.path(), 1 << 20) else { panic!("a fresh index opens") };
        writer.apply(&layer(&[("a", Some("1".to_owned())), ("b", Some("2".to_owned()))], 1)).unwrap();
        for (key, value) in [("a", "2"), ("c", "1"), ("b", "")] {
            let old = writer.disk.db.insert(key, value).unwrap();
            assert!(writer.verify().is_err(), "{key}");
            match old {
                Some(old) => writer.disk.db.insert(key, old).unwrap(),
                None => writer.disk.db.remove(key).unwrap(),
            };
            writer.verify().unwrap();
        }
    }
}
