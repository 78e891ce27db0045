//! What happened, in lines that a person reads: kept only when somebody will, for it costs more than the world.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::world::World;
use crate::clock::Timestamp;

/// When the first day begins: a Monday, 2026-11-16T00:00:00Z.
pub(super) const DAWN: Timestamp = Timestamp::from_secs(1_794_787_200);

/// The lines of one day: of the machine, and of each caller.
#[derive(Default)]
pub(super) struct Story {
    pub is_kept: bool,
    pub all: String,
    callers: BTreeMap<u32, String>,
}

impl Story {
    pub fn new(is_kept: bool) -> Story {
        Story { is_kept, ..Story::default() }
    }

    /// What is known of one caller, in order.
    pub fn of(&self, caller: u32) -> &str {
        self.callers.get(&caller).map_or("", String::as_str)
    }

    pub fn forget_callers(&mut self) {
        self.callers.clear();
    }
}

/// `3 14:05:09.120`: the day, from 1, and the time of day.
pub(super) fn moment(now: Timestamp) -> String {
    let millis = now.since(DAWN).as_millis();
    let (day, rest) = (millis / 86_400_000 + 1, millis % 86_400_000);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    format!("{day} {hours:02}:{minutes:02}:{seconds:02}.{:03}", rest % 1_000)
}

impl World {
    /// Writes down what happened to a caller; 0: to the machine, which concerns everybody.
    pub(super) fn tell(&mut self, caller: u32, what: impl FnOnce() -> String) {
        if !self.story.is_kept {
            return;
        }
        let (moment, what) = (moment(self.now), what());
        if caller == 0 {
            let _ = writeln!(self.story.all, "{moment}  {what}");
            let on_the_line = |caller: &u32| self.phones.get(caller).is_some_and(|phone| !phone.is_gone);
            for (_, lines) in self.story.callers.iter_mut().filter(|(caller, _)| on_the_line(caller)) {
                let _ = writeln!(lines, "{moment}  {what}");
            }
            return;
        }
        let _ = writeln!(self.story.all, "{moment}  caller {caller}: {what}");
        let _ = writeln!(self.story.callers.entry(caller).or_default(), "{moment}  {what}");
    }
}
