//! What was seen of simulated callers, held against what is claimed. No I/O: one function for each row.

use std::time::Duration;

use super::sheet::{Check, Row, brief, spread};
use super::simulated::{Forged, PlayedFailure, Seen};
use crate::call::record::{CallDetail, EndedReason, Line, Path, Speaker, Stages, ToolOutcomeKind};
use crate::cli::eval::Evaluation;
use crate::clock::Timestamp;
use crate::sim::openai::Utterance;
use crate::sim::world::Played;

pub(super) const WEBHOOK: &str = "taken; forged ones refused";
pub(super) const ACCEPT: &str = "once, with 200; session up";
pub(super) const TOOLS: &str = "answered once, and kept";
pub(super) const RECORDINGS: &str = "kept, whole";
pub(super) const ERRORS: &str = "no caller is lost";
/// From the answer to the assistant's first word (the mission's own bound).
pub(super) const FIRST_WORD_WITHIN: Duration = Duration::from_secs(2);
/// How far a time of the transcript may be from the truth.
const TIMES_WITHIN: Duration = Duration::from_millis(100);

/// From one stage of a call to the next; none where one was not reached.
type Stage = fn(&Stages) -> Option<Duration>;

/// What was seen, and how much faster than life it was played.
pub(super) struct Trial<'a> {
    pub seen: &'a Seen,
    pub speed: f64,
}

impl Trial<'_> {
    fn of(&self) -> usize {
        self.seen.calls.len()
    }

    fn simulated(&self, span: Duration) -> Duration {
        span.mul_f64(self.speed)
    }

    /// Calls that are kept with what the vendors saw of them, and what is wrong with the others.
    fn kept(&self) -> (Vec<(&Played, &CallDetail)>, Vec<String>) {
        let mut kept = Vec::new();
        let mut wrong = Vec::new();
        for (played, detail) in &self.seen.calls {
            match detail {
                Some(detail) => kept.push((played, detail)),
                None => wrong.push(format!("{}: nothing is kept of the call", played.carrier.call_sid)),
            }
        }
        (kept, wrong)
    }

    /// Holds each call against something; gives how many hold.
    fn each(&self, claim: impl Fn(&Played, &CallDetail) -> Result<(), String>) -> (usize, Vec<String>) {
        let (kept, mut wrong) = self.kept();
        let mut well = 0;
        for (played, detail) in kept {
            match claim(played, detail) {
                Ok(()) => well += 1,
                Err(why) => wrong.push(format!("{}: {why}", detail.call.id)),
            }
        }
        (well, wrong)
    }

    fn spans(&self, span: impl Fn(&Stages) -> Option<Duration>) -> Vec<Duration> {
        let (kept, _) = self.kept();
        let spans = kept.iter().filter_map(|(_, detail)| span(detail.call.stages_on(Path::Sip)?));
        spans.map(|span| self.simulated(span)).collect()
    }

    pub fn webhook(&self) -> Row {
        let (well, mut wrong) = self.each(|_, detail| {
            let stages = detail.call.stages_on(Path::Sip);
            match stages.and_then(|stages| stages.webhook_received) {
                Some(_) => Ok(()),
                None => Err("no webhook of the provider was taken".to_owned()),
            }
        });
        wrong.extend(not_refused(&self.seen.forged));
        let seen = format!(
            "{well} of {}; {} of {} forged refused",
            self.of(),
            self.seen.forged.len() - not_refused(&self.seen.forged).count(),
            self.seen.forged.len()
        );
        Row::new(Check::Webhook, WEBHOOK, seen, wrong)
    }

    pub fn accept(&self) -> Row {
        let (well, wrong) = self.each(|played, detail| {
            let provider = played.provider.as_ref().ok_or("it never reached the provider over SIP")?;
            if provider.accepted != 1 {
                return Err(format!("accepted {} times", provider.accepted));
            }
            if let Some(error) = provider.protocol_errors.first() {
                return Err(error.clone());
            }
            let stages = detail.call.stages_on(Path::Sip).and_then(|stages| stages.attached);
            stages.map(|_| ()).ok_or_else(|| "its session did not come up".to_owned())
        });
        let mut to_accept = self.spans(Stages::webhook_to_accept);
        let mut to_session = self.spans(|stages| Some(stages.attached?.since(stages.webhook_received?)));
        let seen = format!("{well} of {}", self.of());
        let notes = accept_notes(&mut to_accept, &mut to_session);
        Row { notes, ..Row::new(Check::Accept, ACCEPT, seen, wrong) }
    }

    pub fn first_word(&self) -> Row {
        let word = |played: &Played, detail: &CallDetail| {
            let answered = detail.call.stages_on(Path::Sip).and_then(answered)?;
            let utterances = &played.provider.as_ref()?.utterances;
            let spoke = utterances.iter().find(|one| !one.by_caller)?.started;
            Some(self.simulated(spoke.since(answered)))
        };
        let (kept, _) = self.kept();
        let mut words: Vec<Duration> =
            kept.iter().filter_map(|(played, detail)| word(played, detail)).collect();
        let (_, wrong) = self.each(|played, detail| match word(played, detail) {
            None => Err("the caller heard nothing of the assistant over SIP".to_owned()),
            Some(took) if took > FIRST_WORD_WITHIN => Err(format!("{} after the answer", brief(took))),
            Some(_) => Ok(()),
        });
        let stages: [(&str, Stage); 5] = [
            ("asked to webhook", |stages| Some(stages.webhook_received?.since(stages.carrier_asked?))),
            ("webhook to accept", Stages::webhook_to_accept),
            ("accept to 200", |stages| Some(stages.accepted?.since(stages.accept_sent?))),
            ("200 to session", |stages| Some(stages.attached?.since(stages.accepted?))),
            ("session to word", |stages| Some(stages.first_audio?.since(stages.attached?))),
        ];
        let seen = spread(&mut words);
        let mut parts = Vec::new();
        for (name, stage) in stages {
            let mut spans = self.spans(stage);
            spans.sort_unstable();
            if let Some(half) = spans.get(spans.len() / 2) {
                parts.push(format!("{name} {}", brief(*half)));
            }
        }
        let notes = vec![format!("half of the calls: {}", parts.join(", "))];
        Row { notes, ..Row::new(Check::FirstWord, first_word_claim(), seen, wrong) }
    }

    pub fn tools(&self) -> Row {
        let (well, wrong) = self.each(|played, detail| {
            let provider = played.provider.as_ref().ok_or("it never reached the provider")?;
            let (asked, answered) = (provider.tool_calls as usize, provider.tool_outputs.len());
            if asked == 0 || asked != answered || asked != detail.tool_calls.len() {
                let kept = detail.tool_calls.len();
                return Err(format!("{asked} tool calls, {answered} outputs, {kept} kept"));
            }
            let failed = detail.tool_calls.iter().find(|call| call.outcome != Some(ToolOutcomeKind::Ok));
            let why =
                |outcome: Option<ToolOutcomeKind>| outcome.map_or("unanswered", ToolOutcomeKind::as_str);
            failed.map_or(Ok(()), |call| Err(format!("`{}`: {}", call.name, why(call.outcome))))
        });
        let outputs = self.seen.calls.iter().filter_map(|(played, _)| played.provider.as_ref());
        let mut times: Vec<Duration> = outputs
            .flat_map(|provider| &provider.tool_outputs)
            .map(|output| output.answered.since(output.asked))
            .collect();
        let seen = format!("{well} of {} calls, {} outputs, {}", self.of(), times.len(), spread(&mut times));
        Row::new(Check::Tools, TOOLS, seen, wrong)
    }

    pub fn recordings(&self) -> Row {
        let (well, mut wrong) = self.each(|_, detail| {
            let kept = detail.recordings.iter().filter(|record| record.is_kept()).count();
            match (kept, detail.recordings.first()) {
                (1.., _) => Ok(()),
                (0, Some(record)) => {
                    Err(record.problem.clone().unwrap_or_else(|| "it is not kept".to_owned()))
                }
                (0, None) => Err("no recording is known".to_owned()),
            }
        });
        wrong.extend(self.seen.damaged.iter().cloned());
        let records = self.seen.calls.iter().filter_map(|(_, detail)| detail.as_ref());
        let bytes: u64 =
            records.flat_map(|detail| &detail.recordings).filter_map(|record| record.bytes).sum();
        let seen = format!(
            "{well} of {}, {:.1} MB, {}",
            self.of(),
            bytes as f64 / 1e6,
            match self.seen.damaged.len() {
                0 => "each file's digest right".to_owned(),
                damaged => format!("{damaged} files damaged"),
            }
        );
        Row::new(Check::Recordings, RECORDINGS, seen, wrong)
    }

    pub fn transcript_times(&self) -> Row {
        let mut offs = Vec::new();
        let (kept, mut wrong) = self.kept();
        for (played, detail) in kept {
            let spoken = played.provider.iter().flat_map(|provider| &provider.utterances);
            let mut count = 0;
            for utterance in spoken {
                count += 1;
                match line_of(detail, utterance) {
                    None => wrong.push(format!("{}: a line is missing", detail.call.id)),
                    Some(line) => {
                        let off = self.simulated(off_by(line, utterance));
                        offs.push(off);
                        if off > TIMES_WITHIN {
                            let who = if utterance.by_caller { "caller" } else { "assistant" };
                            wrong.push(format!(
                                "{}: line {} of the {who} is off by {}",
                                detail.call.id,
                                line.n,
                                brief(off)
                            ));
                        }
                    }
                }
            }
            if count == 0 {
                wrong.push(format!("{}: nobody spoke over SIP", detail.call.id));
            }
        }
        let seen = format!("{} lines, off by {}", offs.len(), spread(&mut offs));
        let claim = format!("within {} of the truth", brief(TIMES_WITHIN));
        Row::new(Check::TranscriptTimes, claim, seen, wrong)
    }

    pub fn concurrency(&self) -> Row {
        let (well, mut wrong) = self.each(|played, detail| {
            let provider = played.provider.as_ref();
            let reason = detail.call.ended.as_ref().map(|ended| ended.reason);
            if reason != Some(EndedReason::AssistantHangup) {
                return Err(format!("ended with {}", reason.map_or("nothing", EndedReason::as_str)));
            }
            let problems = played.carrier.problems.iter();
            let problems = problems.chain(provider.iter().flat_map(|provider| &provider.protocol_errors));
            problems.into_iter().next().map_or(Ok(()), |problem| Err(problem.clone()))
        });
        let peak = peak(self.seen.calls.iter().filter_map(|(_, detail)| detail.as_ref()));
        if peak < self.of() {
            wrong.push(format!("only {peak} of {} calls were up at once", self.of()));
        }
        let seen = format!("{peak} at once, {well} of {} to their end", self.of());
        let claim = format!("{} at once, to their end", self.of());
        Row::new(Check::Concurrency, claim, seen, wrong)
    }
}

pub(super) fn first_word_claim() -> String {
    format!("within {} s of the answer", FIRST_WORD_WITHIN.as_secs())
}

/// What should have been refused, and was not.
pub(super) fn not_refused(forged: &[Forged]) -> impl Iterator<Item = String> {
    forged.iter().filter_map(|forged| match &forged.status {
        Ok(400..=499) => None,
        Ok(status) => Some(format!("{} that is forged was answered {status}", forged.what)),
        Err(why) => Some(format!("{} that is forged was not answered: {why}", forged.what)),
    })
}

/// When the model's leg was answered: the provider's word or the carrier's, whichever came first.
pub(super) fn answered(stages: &Stages) -> Option<Timestamp> {
    match (stages.accepted, stages.leg_answered) {
        (Some(accepted), Some(answered)) => Some(accepted.min(answered)),
        (accepted, answered) => accepted.or(answered),
    }
}

fn line_of<'a>(detail: &'a CallDetail, utterance: &Utterance) -> Option<&'a Line> {
    let speaker = if utterance.by_caller { Speaker::Caller } else { Speaker::Assistant };
    let mut lines = detail.lines.iter().filter(|line| line.speaker == speaker);
    lines.find(|line| line.item.as_ref().is_some_and(|item| item.as_str() == utterance.item))
}

/// The larger of what start and end are off by; an end that was never learnt, or never came, says nothing.
fn off_by(line: &Line, utterance: &Utterance) -> Duration {
    let apart = |a: Timestamp, b: Timestamp| a.max(b).since(a.min(b));
    let started = apart(line.started, utterance.started);
    let ended = line.ended.zip(utterance.ended).map_or(Duration::ZERO, |(a, b)| apart(a, b));
    started.max(ended)
}

/// How many calls were up at once, at most.
pub(super) fn peak<'a>(calls: impl Iterator<Item = &'a CallDetail>) -> usize {
    let mut changes: Vec<(Timestamp, i32)> = Vec::new();
    for call in calls {
        let stages = &call.call.stages;
        if let (Some(up), Some(over)) = (stages.attached, stages.ended) {
            changes.extend([(up, 1), (over, -1)]);
        }
    }
    changes.sort_unstable();
    let (mut up, mut peak) = (0i32, 0i32);
    for (_, change) in changes {
        up += change;
        peak = peak.max(up);
    }
    usize::try_from(peak).unwrap_or(0)
}

pub(super) fn accept_notes(to_accept: &mut [Duration], to_session: &mut [Duration]) -> Vec<String> {
    vec![
        format!("webhook to accept: {}", spread(to_accept)),
        format!("webhook to session: {}", spread(to_session)),
    ]
}

/// What the simulated recogniser made up, and what was measured of it.
pub(super) fn transcription(evaluation: &Evaluation) -> Row {
    let mut wrong = Vec::new();
    let mut rates = Vec::new();
    for measured in &evaluation.measured {
        rates.extend(measured.rates.iter().map(|rate| {
            let counts = rate.counts;
            format!("{} {}/{}", rate.metric, counts.edits(), counts.units)
        }));
        wrong.extend(measured.not_measured.iter().map(|not| format!("{}: {}", not.name, not.reason)));
        for outcome in &measured.outcomes {
            let (made, seen) = (outcome.injected.unwrap_or_default(), outcome.counts);
            if made != seen {
                let words = "edits were made up and";
                wrong.push(format!("{}: {} {words} {} measured", outcome.name, made.edits(), seen.edits()));
            }
        }
    }
    let exact = if wrong.is_empty() { "as was made up" } else { "not as was made up" };
    let seen = format!("{} utterances, {}, {exact}", evaluation.utterances, rates.join(", "));
    Row::new(Check::Transcription, "errors counted to the last", seen, wrong)
}

pub(super) fn errors(outcomes: &[PlayedFailure]) -> Row {
    let mut wrong = Vec::new();
    for (failure, outcome) in outcomes {
        match outcome {
            Ok(outcome) if outcome.is_saved => {}
            Ok(outcome) => {
                wrong.push(format!("{}: the caller heard {}", failure.name, outcome.heard.join(", ")))
            }
            Err(error) => wrong.push(format!("{}: {error:#}", failure.name)),
        }
    }
    let seen = format!("{} of {} callers taken care of", outcomes.len() - wrong.len(), outcomes.len());
    Row::new(Check::Errors, ERRORS, seen, wrong)
}
