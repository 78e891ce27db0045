//! What was seen of tools and routes since the start, for people who look at one gateway now; Prometheus has the rest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of so many calls of a tool the times are remembered.
const RECENT: usize = 256;
/// Outcomes that say that a tool does not work.
const FAILURES: [&str; 5] = ["unavailable", "timeout", "bad_output", "failed", "interrupted"];

/// How a tool fared since the start; times are of its last calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolFigures {
    /// Calls of it.
    pub calls: u64,
    /// Those that it failed.
    pub failures: u64,
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: Option<u64>,
    /// All but one in a hundred took no longer, in milliseconds.
    pub p99_ms: Option<u64>,
}

/// What was seen, by names of the configuration, so that there are few.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    tools: BTreeMap<String, Tool>,
    routes: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Tool {
    calls: u64,
    failures: u64,
    recent: VecDeque<Duration>,
}

impl Seen {
    pub fn tool_call(&self, name: &str, outcome: &str, took: Duration) {
        let mut state = self.state();
        if !state.tools.contains_key(name) {
            state.tools.insert(name.to_owned(), Tool::default());
        }
        let Some(tool) = state.tools.get_mut(name) else { return };
        tool.calls += 1;
        tool.failures += u64::from(FAILURES.contains(&outcome));
        if tool.recent.len() == RECENT {
            tool.recent.pop_front();
        }
        tool.recent.push_back(took);
    }

    pub fn route(&self, name: &str) {
        let mut state = self.state();
        match state.routes.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(state.routes.insert(name.to_owned(), 1)),
        }
    }

    pub fn tool(&self, name: &str) -> ToolFigures {
        let state = self.state();
        let Some(tool) = state.tools.get(name) else { return ToolFigures::default() };
        let mut sorted: Vec<Duration> = tool.recent.iter().copied().collect();
        sorted.sort();
        // The nearest rank.
        let at = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1));
        let millis = |span: &Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (p50_ms, p99_ms) = (at(50).map(millis), at(99).map(millis));
        ToolFigures { calls: tool.calls, failures: tool.failures, p50_ms, p99_ms }
    }

    pub fn calls_of(&self, route: &str) -> u64 {
        self.state().routes.get(route).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Figures are whole after each line.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_single_calls() {
        let seen = Seen::default();
        for millis in 1..=200 {
            let outcome = if millis > 190 { "timeout" } else { "ok" };
            seen.tool_call("find", outcome, Duration::from_millis(millis));
        }
        let figures = ToolFigures { calls: 200, failures: 10, p50_ms: Some(100), p99_ms: Some(198) };
        assert_eq!(seen.tool("find"), figures);
        assert_eq!(seen.tool("other"), ToolFigures::default());
    }
}
