//! What processes use: CPU and memory of one and all it started, and how much of the machine is free
//! (proc(5); another system than Linux tells nothing, and then nothing is said).

use std::collections::HashMap;
use std::fs;

/// Linux counts in hundredths of a second towards every program (proc(5), `sysconf(_SC_CLK_TCK)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processes that are watched, each with those that it started.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched(Vec<u32>);

/// What they used until now, and have now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Use {
    /// CPU, in seconds, since they began.
    pub cpu_seconds: f64,
    /// Memory that is in RAM, in KiB; what processes share is counted for each.
    pub rss_kib: u64,
}

/// What the whole machine did until now, in CPU seconds of all its cores.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Machine {
    /// Nothing, waited for a disk, or ran what gives way to others (`nice`).
    pub idle_seconds: f64,
}

/// One process, as `stat` has it.
struct Process {
    parent: u32,
    cpu_ticks: f64,
}

impl Watched {
    /// These and whatever they start.
    pub fn new(pids: Vec<u32>) -> Watched {
        Watched(pids)
    }

    /// This program.
    pub fn this() -> Watched {
        Watched(vec![std::process::id()])
    }

    /// Their numbers.
    pub fn pids(&self) -> &[u32] {
        &self.0
    }

    /// What they use; none where none of them is there.
    pub fn used(&self) -> Option<Use> {
        let all = all();
        let mut family: Vec<u32> = self.0.iter().copied().filter(|pid| all.contains_key(pid)).collect();
        if family.is_empty() {
            return None;
        }
        let mut next = 0;
        while let Some(pid) = family.get(next).copied() {
            let children =
                all.iter().filter(|(child, process)| process.parent == pid && !family.contains(child));
            let children: Vec<u32> = children.map(|(child, _)| *child).collect();
            family.extend(children);
            next += 1;
        }
        Some(sum(&all, &family))
    }

    /// What they alone use, without whatever they started: what a program is itself that has a child.
    pub fn used_alone(&self) -> Option<Use> {
        let all: HashMap<u32, Process> =
            self.0.iter().filter_map(|pid| Some((*pid, process(*pid, false)?))).collect();
        (!all.is_empty()).then(|| sum(&all, &self.0))
    }
}

fn sum(all: &HashMap<u32, Process>, pids: &[u32]) -> Use {
    let ticks: f64 = pids.iter().filter_map(|pid| all.get(pid)).map(|process| process.cpu_ticks).sum();
    let rss_kib = pids.iter().filter_map(|pid| rss_kib(*pid)).sum();
    Use { cpu_seconds: ticks / TICKS_PER_SECOND, rss_kib }
}

/// What the machine did until now; none where that cannot be read.
pub(super) fn machine() -> Option<Machine> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let idle = fields.get(1)? + fields.get(3)? + fields.get(4).copied().unwrap_or_default();
    Some(Machine { idle_seconds: idle / TICKS_PER_SECOND })
}

fn all() -> HashMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, process(pid, true)?))).collect()
}

/// A process; `with_gone`: with what those used whose end it has seen.
fn process(pid: u32, with_gone: bool) -> Option<Process> {
    read(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, with_gone)
}

/// The name in the second field may hold blanks and brackets, so the fields are counted behind its last bracket.
fn read(stat: &str, with_gone: bool) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let last = if with_gone { 14 } else { 12 };
    let ticks = fields.get(11..=last)?.iter().filter_map(|field| field.parse::<f64>().ok());
    Some(Process { parent, cpu_ticks: ticks.sum() })
}

fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 20 10 20 0 1 0 100 1000 10";
        let whole = read(stat, true).unwrap();
        assert_eq!((whole.parent, whole.cpu_ticks), (7, 230.0));
        assert_eq!(read(stat, false).unwrap().cpu_ticks, 200.0);
        assert!(read("42 (a) S", true).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_seen_and_one_that_is_not_there_is_none() {
        let used = Watched::this().used().unwrap();
        assert!(used.rss_kib > 1_000, "{used:?}");
        assert!(Watched::this().used_alone().is_some() && machine().is_some());
        // The highest number that Linux gives is 2^22.
        assert_eq!(Watched::new(vec![u32::MAX]).used(), None);
    }
}
