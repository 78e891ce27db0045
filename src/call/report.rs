//! How the paths fared: what an operator must know before the old path is taken away.
//!
//! [`Report::of`] sums ended calls up by path; [`Report::verdict`] says in plain words whether the SIP
//! path was stable for long enough. Percentiles are of single calls (nearest rank), never averaged.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::record::{CallRecord, EndedReason, Moved, Path, State};
use crate::clock::Timestamp;

/// A path counts as proven after this long ("a week of stable SIP").
const PROVEN_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// Days without a call prove nothing: so many of the week's seven days must have some.
const DAYS_WITH_CALLS_MIN: usize = 5;
/// The share of calls that may fail or be dropped.
const TROUBLE_SHARE_MAX: f64 = 0.01;
/// What the slowest twentieth of callers may wait for the first word.
const FIRST_WORD_P95_MAX: Duration = Duration::from_secs(2);

/// Ended calls, summed up by path.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// From here.
    pub since: Timestamp,
    /// To here.
    pub until: Timestamp,
    /// How each path fared.
    pub paths: BTreeMap<&'static str, Fared>,
    /// Days (UTC) of the last seven on which the SIP path took calls.
    pub sip_days: usize,
    /// When the first of them began.
    pub sip_first: Option<Timestamp>,
}

/// How the calls of one path fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fared {
    /// All of them.
    pub calls: u64,
    /// The model was there.
    pub answered: u64,
    /// It never was, through no wish of caller or operator; by reason.
    pub failed: BTreeMap<&'static str, u64>,
    /// The provider let go of them while the caller was still there.
    pub dropped: u64,
    /// Of those that failed or were dropped: the caller went on over the other path.
    pub moved: u64,
    /// Handed to somebody else.
    pub transferred: u64,
    /// Ended in any other way; by reason.
    pub ended: BTreeMap<&'static str, u64>,
    /// Half of the callers waited no longer for the first word, in milliseconds.
    pub first_word_p50_ms: Option<f64>,
    /// All but the slowest twentieth waited no longer, in milliseconds.
    pub first_word_p95_ms: Option<f64>,
    /// Mean time from the first we heard of an answered call to its end, in seconds.
    pub mean_length_s: Option<f64>,
    /// What the models cost, in US dollars, as far as prices are known.
    pub cost_usd: f64,
    #[serde(skip)]
    first_words: Vec<Duration>,
    #[serde(skip)]
    lengths: Vec<Duration>,
}

/// Whether the SIP path has proven itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was stable for long enough.
    Stable,
    /// Why it is too early, or not good enough.
    NotYet(Vec<String>),
}

impl Report {
    /// From when on calls must be read for a report that begins at `since`: whether SIP has been in use for long
    /// enough shows in older ones.
    pub fn reads_from(since: Timestamp, until: Timestamp) -> Timestamp {
        since.min(until - PROVEN_AFTER - Duration::from_secs(86_400))
    }

    /// Sums up the calls that ended and began at `since` or later; older ones only tell since when SIP is in use.
    pub fn of(calls: impl IntoIterator<Item = CallRecord>, since: Timestamp, until: Timestamp) -> Report {
        let mut paths: BTreeMap<&'static str, Fared> = BTreeMap::new();
        let mut sip_days = std::collections::BTreeSet::new();
        let mut sip_first: Option<Timestamp> = None;
        for call in calls.into_iter().filter(|call| call.state == State::Ended) {
            let took_sip = call.path == Path::Sip || call.moved.as_ref().is_some_and(|m| m.from == Path::Sip);
            if let (true, Some(began)) = (took_sip, call.stages.began()) {
                if until.since(began) <= PROVEN_AFTER {
                    sip_days.insert(began.as_secs() / 86_400);
                }
                sip_first = Some(sip_first.map_or(began, |first| first.min(began)));
            }
            if call.stages.began().is_some_and(|began| began < since) {
                continue;
            }
            if let Some(moved) = &call.moved {
                paths.entry(moved.from.as_str()).or_default().add_moved(moved);
            }
            paths.entry(call.path.as_str()).or_default().add(&call);
        }
        for fared in paths.values_mut() {
            fared.sum_up();
        }
        Report { since, until, paths, sip_days: sip_days.len(), sip_first }
    }

    /// Whether Media Streams may go.
    pub fn verdict(&self) -> Verdict {
        let Some(sip) = self.paths.get(Path::Sip.as_str()) else {
            return Verdict::NotYet(vec!["no call took the SIP path".to_owned()]);
        };
        let mut why = Vec::new();
        if self.sip_first.is_none_or(|first| self.until.since(first) < PROVEN_AFTER) {
            why.push("the first call over SIP is less than seven days old".to_owned());
        }
        if self.sip_days < DAYS_WITH_CALLS_MIN {
            why.push(format!("calls came on only {} of the last seven days", self.sip_days));
        }
        let trouble = (sip.failed.values().sum::<u64>() + sip.dropped) as f64 / sip.calls as f64;
        if trouble > TROUBLE_SHARE_MAX {
            why.push(format!(
                "{:.1} % of the calls failed or were dropped, {:.0} % may",
                trouble * 100.0,
                TROUBLE_SHARE_MAX * 100.0
            ));
        }
        let first_word_max_ms = FIRST_WORD_P95_MAX.as_secs_f64() * 1_000.0;
        if let Some(p95) = sip.first_word_p95_ms.filter(|p95| *p95 > first_word_max_ms) {
            why.push(format!(
                "one caller in twenty waits {p95:.0} ms or more for the first word, {first_word_max_ms:.0} ms is the limit"
            ));
        }
        if why.is_empty() { Verdict::Stable } else { Verdict::NotYet(why) }
    }
}

impl Fared {
    fn add(&mut self, call: &CallRecord) {
        use EndedReason::*;
        self.calls += 1;
        self.cost_usd += call.cost_usd.unwrap_or_default();
        if call.stages.attached.is_some() {
            self.answered += 1;
            self.lengths
                .extend(call.stages.ended.zip(call.stages.began()).map(|(end, start)| end.since(start)));
        }
        self.first_words.extend(call.stages.first_word_after());
        let Some(ended) = &call.ended else { return };
        match ended.reason {
            reason @ (ProviderSilent | AcceptFailed | AttachFailed | LegFailed) => {
                *self.failed.entry(reason.as_str()).or_default() += 1;
            }
            ProviderDropped => self.dropped += 1,
            Transferred => self.transferred += 1,
            reason => *self.ended.entry(reason.as_str()).or_default() += 1,
        }
    }

    /// A call failed on this path, and its caller went on over the other one.
    fn add_moved(&mut self, moved: &Moved) {
        self.calls += 1;
        self.moved += 1;
        self.answered += u64::from(moved.stages.attached.is_some());
        self.first_words.extend(moved.stages.first_word_after());
        match moved.reason {
            EndedReason::ProviderDropped => self.dropped += 1,
            reason => *self.failed.entry(reason.as_str()).or_default() += 1,
        }
    }

    fn sum_up(&mut self) {
        self.first_words.sort();
        let millis = |span: Duration| span.as_secs_f64() * 1_000.0;
        self.first_word_p50_ms = percentile(&self.first_words, 0.50).map(millis);
        self.first_word_p95_ms = percentile(&self.first_words, 0.95).map(millis);
        if !self.lengths.is_empty() {
            let total: f64 = self.lengths.iter().map(Duration::as_secs_f64).sum();
            self.mean_length_s = Some(total / self.lengths.len() as f64);
        }
    }
}

/// The smallest value that at least this share of the sorted values does not exceed.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::{Ended, Stages};
    use crate::call::{Beginning, Call};
    use crate::ids::CallId;

    const DAY: Duration = Duration::from_secs(86_400);
    const MONDAY: Timestamp = Timestamp::from_secs(1_795_392_000);

    fn call(path: Path, began: Timestamp, first_word_ms: Option<u64>, reason: EndedReason) -> CallRecord {
        let beginning = Beginning {
            id: CallId::new(began, [0; 10]),
            path,
            caller: None,
            callee: None,
            route: None,
            carrier: None,
            carrier_asked: Some(began),
            vars: BTreeMap::new(),
            other_path: None,
            avoided: None,
        };
        let mut record = Call::begin(beginning).record;
        record.state = State::Ended;
        record.ended = Some(Ended { reason, detail: None });
        record.stages.webhook_received = Some(began);
        record.stages.ended = Some(began + Duration::from_secs(60));
        if let Some(ms) = first_word_ms {
            record.stages.attached = Some(began);
            record.stages.first_audio = Some(began + Duration::from_millis(ms));
            record.cost_usd = Some(0.25);
        }
        record
    }

    fn week(each_day: &[(Option<u64>, EndedReason)]) -> Report {
        let calls = (0..8).flat_map(|day| {
            let began = MONDAY + DAY * day;
            each_day.iter().map(move |(first_word, reason)| call(Path::Sip, began, *first_word, *reason))
        });
        Report::of(calls, MONDAY, MONDAY + DAY * 8)
    }

    #[test]
    fn calls_are_counted_by_path_and_by_how_they_ended() {
        use EndedReason::*;
        let calls = [
            call(Path::Sip, MONDAY, Some(300), CallerHangup),
            call(Path::Sip, MONDAY, Some(500), ProviderDropped),
            call(Path::Sip, MONDAY, None, LegFailed),
            call(Path::MediaStreams, MONDAY, Some(900), Transferred),
            call(Path::None, MONDAY, None, Busy),
        ];
        let report = Report::of(calls, MONDAY, MONDAY + DAY);
        let sip = &report.paths["sip"];
        assert_eq!((sip.calls, sip.answered, sip.dropped, sip.transferred), (3, 2, 1, 0));
        assert_eq!(sip.failed, BTreeMap::from([("leg_failed", 1)]));
        assert_eq!(sip.ended, BTreeMap::from([("caller_hangup", 1)]));
        assert_eq!((sip.first_word_p50_ms, sip.first_word_p95_ms), (Some(300.0), Some(500.0)));
        assert_eq!((sip.mean_length_s, sip.cost_usd), (Some(60.0), 0.5));
        assert_eq!(report.paths["media-streams"].transferred, 1);
        assert_eq!(report.paths["none"].ended, BTreeMap::from([("busy", 1)]));
    }

    #[test]
    fn a_call_that_was_moved_counts_on_both_paths() {
        let mut moved = call(Path::MediaStreams, MONDAY, Some(900), EndedReason::CallerHangup);
        moved.moved = Some(Moved {
            tool_calls: 0,
            from: Path::Sip,
            at: MONDAY,
            reason: EndedReason::AcceptFailed,
            detail: None,
            provider_call: None,
            spoke_again: None,
            stages: Stages::default(),
        });
        let mut in_the_middle = moved.clone();
        let first = in_the_middle.moved.as_mut().unwrap();
        first.reason = EndedReason::ProviderDropped;
        first.stages.webhook_received = Some(MONDAY);
        first.stages.attached = Some(MONDAY);
        first.stages.first_audio = Some(MONDAY + Duration::from_millis(300));
        let report = Report::of([in_the_middle], MONDAY, MONDAY + DAY);
        let (sip, bridge) = (&report.paths["sip"], &report.paths["media-streams"]);
        assert_eq!((sip.moved, sip.answered, sip.dropped), (1, 1, 1));
        assert_eq!((sip.first_word_p95_ms, bridge.first_word_p95_ms), (Some(300.0), Some(900.0)));
        let report = Report::of([moved], MONDAY, MONDAY + DAY);
        let (sip, bridge) = (&report.paths["sip"], &report.paths["media-streams"]);
        assert_eq!((sip.calls, sip.moved, sip.answered), (1, 1, 0));
        assert_eq!(sip.failed, BTreeMap::from([("accept_failed", 1)]));
        assert_eq!((bridge.calls, bridge.answered, bridge.moved), (1, 1, 0));
        assert_eq!(report.sip_days, 1);
    }

    #[test]
    fn a_call_that_goes_on_is_left_out() {
        let mut live = call(Path::Sip, MONDAY, Some(300), EndedReason::CallerHangup);
        live.state = State::Live;
        assert!(Report::of([live], MONDAY, MONDAY + DAY).paths.is_empty());
    }

    #[test]
    fn a_week_without_trouble_is_stable() {
        let good = [(Some(400), EndedReason::CallerHangup); 3];
        assert_eq!(week(&good).verdict(), Verdict::Stable);
    }

    #[test]
    fn days_of_earlier_weeks_prove_nothing_of_the_last() {
        let calls = [0, 1, 2, 3, 4, 20]
            .map(|day| call(Path::Sip, MONDAY + DAY * day, Some(400), EndedReason::CallerHangup));
        let report = Report::of(calls, MONDAY, MONDAY + DAY * 20);
        assert_eq!(report.sip_days, 1);
        assert_eq!(
            report.verdict(),
            Verdict::NotYet(vec!["calls came on only 1 of the last seven days".to_owned()])
        );
    }

    #[test]
    fn each_lack_is_named() {
        let slow = [(Some(2_500), EndedReason::CallerHangup)];
        let failing = [(Some(400), EndedReason::CallerHangup), (None, EndedReason::AcceptFailed)];
        for (report, words) in [
            (week(&slow), "one caller in twenty waits 2500 ms"),
            (week(&failing), "50.0 % of the calls failed or were dropped"),
            (Report::of([], MONDAY, MONDAY + DAY), "no call took the SIP path"),
        ] {
            let Verdict::NotYet(why) = report.verdict() else { panic!("{report:?}") };
            assert!(why.iter().any(|line| line.contains(words)), "{why:?}");
        }
        let one = call(Path::Sip, MONDAY, Some(400), EndedReason::CallerHangup);
        let Verdict::NotYet(why) = Report::of([one], MONDAY, MONDAY + DAY).verdict() else { panic!() };
        assert_eq!(
            why,
            [
                "the first call over SIP is less than seven days old",
                "calls came on only 1 of the last seven days"
            ]
        );
    }

    #[test]
    fn percentiles_are_those_of_single_calls() {
        let spans: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&spans, 0.50), Some(Duration::from_millis(50)));
        assert_eq!(percentile(&spans, 0.95), Some(Duration::from_millis(95)));
        assert_eq!(percentile(&spans[..1], 0.95), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 0.95), None);
    }
}
