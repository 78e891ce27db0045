//! A disk under the store: transactions in order, synced in groups, and at a crash gone unless they were synced.
//!
//! As in the store itself a transaction is visible and acknowledged when it is durable. Of the group that is being
//! written when the process dies, any beginning may have reached the disk; what follows it has not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::Broken;
use super::archive::Key;
use super::world::World;
use crate::call::record::{CallRecord, EventRecord, Line, State, ToolCallRecord, UsageRecord};
use crate::call::recording::{RecordingRecord, StoredFile};
use crate::ids::{CallId, WebhookId};
use crate::store::{Alias, Expect, Tx, Write};

/// What is told when a transaction has landed: whether it is on disk.
pub(super) type Landed = Box<dyn FnOnce(&mut World, Result<(), Refused>)>;

/// Why a transaction is not on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Poisoned,
    Conflict,
}

/// Everything that is kept of one call.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub record: CallRecord,
    pub lines: BTreeMap<u32, Line>,
    pub tools: BTreeMap<u32, ToolCallRecord>,
    pub usage: BTreeMap<u32, UsageRecord>,
    pub events: BTreeMap<u32, EventRecord>,
}

/// What would be found after a power cut.
#[derive(Default)]
pub(super) struct Books {
    pub calls: BTreeMap<CallId, Kept>,
    pub aliases: HashMap<Alias, CallId>,
    pub webhooks: HashSet<WebhookId>,
    pub recordings: BTreeMap<Key, RecordingRecord>,
}

/// The disk.
#[derive(Default)]
pub(super) struct Disk {
    pub books: Books,
    /// Files of recordings, by name, as they would be read; and those that are not whole.
    pub files: BTreeMap<String, StoredFile>,
    pub parts: BTreeSet<String>,
    /// With the process that wrote it.
    queue: VecDeque<(Tx, Landed, u64)>,
    /// How many of the queue's first are being written.
    group: usize,
    /// Tells writes of a process that is gone from those of its successor.
    epoch: u64,
    /// There is little room: no new calls, while running ones are still kept.
    pub is_full: bool,
    /// A write failed: the process writes nothing any more.
    pub is_poisoned: bool,
}

impl Disk {
    pub fn record(&self, id: CallId) -> Option<CallRecord> {
        self.books.calls.get(&id).map(|kept| kept.record.clone())
    }

    pub fn recording(&self, key: &Key) -> Option<RecordingRecord> {
        self.books.recordings.get(key).cloned()
    }

    /// Nothing is left of a day that is over.
    pub fn clear(&mut self) {
        self.books = Books::default();
        self.files.clear();
        self.parts.clear();
    }
}

impl Books {
    fn holds(&self, expect: &Expect) -> bool {
        match expect {
            Expect::WebhookUnseen(id) => !self.webhooks.contains(id),
            Expect::AliasFree(alias) => !self.aliases.contains_key(alias),
            Expect::NoSuchCall(id) => !self.calls.contains_key(id),
            Expect::MetaAbsent(_) | Expect::NotErased(_) => true,
        }
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Call(record) => match self.calls.get_mut(&record.id) {
                Some(kept) => kept.record = *record,
                None => {
                    let id = record.id;
                    let (lines, tools) = (BTreeMap::new(), BTreeMap::new());
                    let (usage, events) = (BTreeMap::new(), BTreeMap::new());
                    self.calls.insert(id, Kept { record: *record, lines, tools, usage, events });
                }
            },
            Write::Line(id, line) => self.part(id, |kept| drop(kept.lines.insert(line.n, line))),
            Write::ToolCall(id, tool) => self.part(id, |kept| drop(kept.tools.insert(tool.n, tool))),
            Write::Usage(id, usage) => self.part(id, |kept| drop(kept.usage.insert(usage.n, usage))),
            Write::Event(id, event) => self.part(id, |kept| drop(kept.events.insert(event.n, event))),
            Write::Alias(alias, id) => drop(self.aliases.insert(alias, id)),
            Write::Webhook { id, .. } => drop(self.webhooks.insert(id)),
            Write::Recording(record) => {
                self.recordings.insert((record.call, record.id.clone()), *record);
            }
            Write::Meta { .. } | Write::Audit(_) => {}
            // Nobody is told of calls in the simulation.
            Write::Notification(_) | Write::NotificationTaken(_) => {}
            // Nobody erases anything in the simulation.
            Write::Erase { .. } | Write::ToErase(..) | Write::Forget(_) => {}
        }
    }

    fn part(&mut self, id: CallId, put: impl FnOnce(&mut Kept)) {
        if let Some(kept) = self.calls.get_mut(&id) {
            put(kept);
        }
    }

    /// The calls that are not over, in the order in which a start looks for them.
    pub fn open(&self) -> Vec<CallId> {
        let states = [State::Offered, State::Accepted, State::Dialing, State::Live];
        let of = |state| self.calls.values().filter(move |kept| kept.record.state == state);
        states.into_iter().flat_map(of).map(|kept| kept.record.id).collect()
    }
}

impl World {
    /// Queues a transaction.
    pub(super) fn submit(&mut self, tx: Tx, landed: Landed) {
        if self.disk.is_poisoned {
            let epoch = self.disk.epoch;
            return self.after(Duration::ZERO, move |world| {
                if world.disk.epoch == epoch {
                    landed(world, Err(Refused::Poisoned));
                }
            });
        }
        self.disk.queue.push_back((tx, landed, self.incarnation));
        if self.disk.group == 0 {
            self.sync();
        }
    }

    fn sync(&mut self) {
        self.disk.group = self.disk.queue.len();
        if self.disk.group == 0 {
            return;
        }
        let is_slow = self.chance.permille(self.weather.disk_slow);
        let takes = if is_slow { self.chance.millis(200, 4_000) } else { self.chance.millis(1, 8) };
        let epoch = self.disk.epoch;
        self.after(takes, move |world| {
            if world.disk.epoch == epoch {
                world.synced();
            }
        });
    }

    fn synced(&mut self) {
        let group = std::mem::take(&mut self.disk.group);
        // Written first and told afterwards, as a sync is for all of a group.
        let mut landed = Vec::with_capacity(group);
        for _ in 0..group {
            let Some((tx, tell, by)) = self.disk.queue.pop_front() else { break };
            landed.push((self.write(tx, by), tell));
        }
        self.sync();
        for (result, tell) in landed {
            tell(self, result);
        }
    }

    fn write(&mut self, tx: Tx, by: u64) -> Result<(), Refused> {
        if !tx.expect.iter().all(|expect| self.disk.books.holds(expect)) {
            return Err(Refused::Conflict);
        }
        if self.broken == Some(Broken::DiskLies) && self.chance.permille(50) {
            return Ok(());
        }
        self.law_writes(&tx, by);
        let calls = self.law_before(&tx);
        for write in tx.writes {
            self.disk.books.apply(write);
        }
        self.law_written(calls);
        Ok(())
    }

    /// The process is gone, and with it everything that was not synced; how much of the last group is there nobody
    /// knows.
    pub(super) fn lose_unsynced(&mut self) {
        let reached = self.chance.below(self.disk.group as u64 + 1) as usize;
        let group: Vec<(Tx, Landed, u64)> = self.disk.queue.drain(..).take(reached).collect();
        for (tx, _, by) in group {
            let _ = self.write(tx, by);
        }
        self.disk.group = 0;
        self.disk.is_poisoned = false;
        self.disk.epoch += 1;
    }

    /// Claims that nothing waits for the disk.
    pub(super) fn is_synced(&self) -> bool {
        self.disk.queue.is_empty()
    }
}
