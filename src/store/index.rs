//! The index: sled, holding what the journal says, for reading by key and in order.
//!
//! It can be thrown away at any time. Beside the values it keeps one [`Head`]: up to which journal
//! record it was written, and a digest over all entries, changed in the same batch as they are. The digest is a
//! count and a wrapping sum of one 64-bit hash per entry, so a change costs two hashes and no order
//! matters; a lost, doubled or altered entry shows.
//!
//! sled keeps entries of up to 8 KiB well; larger values are cut into pieces here: the first, under the
//! value's own key, opens with `~<pieces> <crc32>\n` (no JSON does), the others follow under
//! `<key>\0<number>`. One batch is not visible to readers as a whole, so a reader that sees a mixture of two
//! versions notices by the CRC and reads again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sled::IVec;

use super::error::StoreError;

/// The form of entries described above.
const SCHEMA: u32 = 1;
/// sled makes a file of every leaf over 128 KiB and never syncs it; a leaf has up to 17 entries.
const PIECE_BYTES_MAX: usize = 7 * 1024;
const HEAD_KEY: &[u8] = b".head";
/// How often a value that changes while it is read is read again.
const READ_ATTEMPTS: u32 = 64;

/// Reads from the index. A cheap handle.
#[derive(Clone)]
pub(super) struct Index {
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

/// Writes to the index. There is one, and it belongs to the committer.
pub(super) struct Writer {
    index: Index,
    head: Head,
}

impl Index {
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

    /// The keys from `from` on that begin with `prefix`, in order.
    pub(super) fn keys<'a>(
        &self,
        prefix: &'a str,
        from: &str,
    ) -> impl Iterator<Item = Result<String, StoreError>> + use<'a> {
        whole_keys(self.db.range(from.as_bytes()..), prefix)
    }

    /// The keys below `below` that begin with `prefix`, last first.
    pub(super) fn keys_back<'a>(
        &self,
        prefix: &'a str,
        below: &str,
    ) -> impl Iterator<Item = Result<String, StoreError>> + use<'a> {
        whole_keys(self.db.range(..below.as_bytes()).rev(), prefix)
    }

    /// All values whose keys begin with `prefix`, in order, each whole.
    pub(super) fn values(&self, prefix: &str) -> Result<Vec<(String, IVec)>, StoreError> {
        let mut found = Vec::new();
        for key in self.keys(prefix, prefix) {
            let key = key?;
            if let Some(value) = self.get(&key)? {
                found.push((key, value));
            }
        }
        Ok(found)
    }

    /// Hands everything to the operating system. Syncing is left to the caller.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
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
        let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(Some(500));
        // sled panics on some kinds of damage.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let index = Index { db: config.open()? };
            let head = index.db.get(HEAD_KEY)?;
            let is_empty = index.db.is_empty();
            Ok((index, head, is_empty))
        }));
        let (index, head, is_empty) = match opened {
            Ok(result) => result.map_err(unusable)?,
            Err(_) => return Err(Unusable::Damaged("sled panicked while it read its files".to_owned())),
        };
        match head {
            None if is_empty => Ok(Writer { index, head: Head::default() }),
            None => Err(Unusable::Damaged("it has entries but no head".to_owned())),
            Some(text) => match Head::parse(&text) {
                Some(head) => Ok(Writer { index, head }),
                None => Err(Unusable::Damaged("its head is unreadable or of another version".to_owned())),
            },
        }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Reads every entry and compares with the digest; says what is wrong, if something is.
    pub(super) fn verify(&self) -> Result<(), String> {
        let scanned = catch_unwind(AssertUnwindSafe(|| {
            let mut found = Head { count: 0, sum: 0, ..self.head };
            for entry in self.index.db.iter() {
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

    /// Applies `changes` and moves the head to the journal record `applied`, in one batch.
    pub(super) fn apply<I>(&mut self, changes: I, applied: u64, crc: u32) -> Result<(), StoreError>
    where
        I: IntoIterator<Item = (String, Option<String>)>,
    {
        let mut head = Head { applied, crc, ..self.head };
        let mut batch = Change { db: &self.index.db, batch: sled::Batch::default(), head: &mut head };
        for (key, value) in changes {
            batch.set(key, value)?;
        }
        let mut batch = batch.batch;
        batch.insert(HEAD_KEY, head.to_text().as_bytes());
        self.index.db.apply_batch(batch)?;
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
struct Change<'a> {
    db: &'a sled::Db,
    batch: sled::Batch,
    head: &'a mut Head,
}

impl Change<'_> {
    fn set(&mut self, key: String, value: Option<String>) -> Result<(), StoreError> {
        let old = self.db.get(&key)?;
        let old_pieces = old.as_deref().map_or(0, pieces);
        let new_pieces = match value {
            None => {
                self.entry(key.as_bytes(), old, None);
                0
            }
            Some(value) if value.len() <= PIECE_BYTES_MAX => {
                self.entry(key.as_bytes(), old, Some(IVec::from(value.into_bytes())));
                1
            }
            Some(value) => self.cut(&key, old, value.as_bytes())?,
        };
        for number in new_pieces.max(1)..old_pieces {
            let key = piece_key(&key, number);
            let old = self.db.get(&key)?;
            self.entry(&key, old, None);
        }
        Ok(())
    }

    /// Writes a large value in pieces; gives their number.
    fn cut(&mut self, key: &str, old: Option<IVec>, value: &[u8]) -> Result<usize, StoreError> {
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

/// Keys as text, without those of later pieces, for as long as they begin with `prefix`.
fn whole_keys<'a, I>(
    entries: I,
    prefix: &'a str,
) -> impl Iterator<Item = Result<String, StoreError>> + use<'a, I>
where
    I: Iterator<Item = sled::Result<(IVec, IVec)>>,
{
    let inside = |entry: &sled::Result<(IVec, IVec)>| {
        entry.as_ref().map_or(true, |(key, _)| key.starts_with(prefix.as_bytes()))
    };
    entries
        .take_while(inside)
        .filter(|entry| entry.as_ref().map_or(true, |(key, _)| !key.contains(&0)))
        .map(|entry| Ok(String::from_utf8_lossy(&entry?.0).into_owned()))
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
            writer.apply([(key.to_owned(), value.clone())], number as u64 + 1, 7).unwrap();
            writer.verify().unwrap();
            let read = writer.index().get(key).unwrap();
            assert_eq!(read.as_deref(), value.as_ref().map(String::as_bytes), "{key}");
        }
        let keys: Vec<String> =
            writer.index().values("a/").unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a/1", "a/2"]);
        writer.apply(keys.into_iter().map(|key| (key, None)), 9, 7).unwrap();
        assert_eq!(writer.head(), Head { applied: 9, crc: 7, ..empty });
    }

    #[test]
    fn an_altered_entry_shows() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(mut writer) = Writer::open(dir.path(), 1 << 20) else { panic!("a fresh index opens") };
        let put = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        writer.apply([put("a", "1"), put("b", "2")], 1, 0).unwrap();
        for (key, value) in [("a", "2"), ("c", "1"), ("b", "")] {
            let old = writer.index.db.insert(key, value).unwrap();
            assert!(writer.verify().is_err(), "{key}");
            match old {
                Some(old) => writer.index.db.insert(key, old).unwrap(),
                None => writer.index.db.remove(key).unwrap(),
            };
            writer.verify().unwrap();
        }
    }
}
