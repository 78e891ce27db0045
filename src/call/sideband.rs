//! The sideband: opened, confirmed, lost, and looked for again.

use std::time::Duration;

use super::event::{Action, AttachFailure, SpeechPadding};
use super::leave::Exit;
use super::limits::BEFORE_EXPIRY;
use super::record::{EndedReason, State};
use super::step::Call;
use crate::clock::Timestamp;

/// How long after the accept the sideband may be refused as not found (it takes a moment to exist).
const ATTACH_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries of that kind.
const ATTACH_RETRY: Duration = Duration::from_millis(250);
/// How long a provider may take to confirm the session once the sideband is open.
const CONFIRM_WITHIN: Duration = Duration::from_secs(6);
/// Pauses before the tries to get a lost sideband back; after the last one the call counts as over.
const REATTACH_AFTER: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// Where the sideband is.
#[derive(Debug, Default)]
pub(super) enum Sideband {
    /// Not wanted yet, or no more.
    #[default]
    Down,
    /// Being opened for the first time, since the accept.
    Opening { since: Timestamp },
    /// The provider confirmed the session.
    Up,
    /// Lost; the `tries`th try to get it back is under way, and is over at the latest then.
    Lost { since: Timestamp, tries: usize, until: Timestamp },
}

impl Sideband {
    /// When what is under way counts as failed.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self {
            Sideband::Opening { since } => Some(*since + ATTACH_WITHIN + CONFIRM_WITHIN),
            Sideband::Lost { until, .. } => Some(*until),
            Sideband::Down | Sideband::Up => None,
        }
    }
}

impl Call {
    pub(super) fn open_sideband(&mut self, now: Timestamp) {
        self.record.state = State::Accepted;
        self.record.stages.accepted = Some(now);
        // The audio starts after the call was offered.
        let earliest = self.record.stages.webhook_received.unwrap_or(now);
        self.transcript.set_earliest(earliest);
        self.record_changed = true;
        self.sideband = Sideband::Opening { since: now };
        self.actions.push(Action::Attach { after: Duration::ZERO });
    }

    pub(super) fn on_attached(
        &mut self,
        expires_at: Option<Timestamp>,
        padding: SpeechPadding,
        now: Timestamp,
    ) {
        if matches!(self.sideband, Sideband::Down) {
            return;
        }
        self.transcript.set_padding(padding);
        if let Some(provider) = &mut self.record.provider {
            // A session that was just confirmed has not expired, whatever its clock says.
            let expires_at = expires_at.filter(|at| *at > now + BEFORE_EXPIRY);
            provider.expires_at = expires_at.or(provider.expires_at);
        }
        self.record_changed = true;
        match std::mem::replace(&mut self.sideband, Sideband::Up) {
            // Opened before, by a process that did not live to see it confirmed.
            Sideband::Lost { .. } if self.record.state != State::Live => self.on_up(now),
            Sideband::Lost { since, tries, .. } => self.on_found_again(since, tries == 0, now),
            Sideband::Opening { .. } => self.on_up(now),
            Sideband::Up | Sideband::Down => {}
        }
    }

    fn on_up(&mut self, now: Timestamp) {
        self.record.state = State::Live;
        self.record.stages.accepted.get_or_insert(now);
        self.record.stages.attached = Some(now);
        self.quiet.since = Some(now);
        match self.forward_to.take() {
            Some(target) => {
                let what = self.leave.want_now(Exit::Forward(target), now);
                self.do_leave(what, now);
            }
            None if self.is_taken_up_again() => self.take_up_again(now),
            None => self.greet(now),
        }
        self.carry_out_waiting_wishes(now);
        self.go_on(now);
    }

    /// What happened meanwhile is not told again; what was to be said is said now.
    fn on_found_again(&mut self, since: Timestamp, is_taken_up: bool, now: Timestamp) {
        if let Some(provider) = &mut self.record.provider {
            provider.reattached += 1;
        }
        let gap = format!("{} ms", now.since(since).as_millis());
        self.note("sideband.reattached", Some(&gap), now);
        self.quiet.since = Some(now);
        self.listening.found_again();
        self.adjust_listening();
        self.read_back(is_taken_up, now);
        self.wait_for_greeting(now);
        self.carry_out_waiting_wishes(now);
        self.go_on(now);
    }

    pub(super) fn on_attach_failure(&mut self, failure: AttachFailure, now: Timestamp) {
        match self.sideband {
            Sideband::Opening { since } => {
                let may_retry = !matches!(failure, AttachFailure::Denied(_));
                if may_retry && now.since(since) < ATTACH_WITHIN {
                    self.actions.push(Action::Attach { after: ATTACH_RETRY });
                } else {
                    self.cannot_serve(describe(&failure), now);
                }
            }
            Sideband::Lost { .. } if failure == AttachFailure::NotFound => self.on_not_found(now),
            Sideband::Lost { since, tries, .. } => self.reattach(since, tries, describe(&failure), now),
            Sideband::Down | Sideband::Up => {}
        }
    }

    /// The sideband went with an earlier process.
    pub(super) fn find_again(&mut self, now: Timestamp) {
        self.sideband = Sideband::Lost { since: now, tries: 0, until: now + ATTACH_WITHIN + CONFIRM_WITHIN };
        self.actions.push(Action::Attach { after: Duration::ZERO });
    }

    /// The provider does not know the call whose sideband is looked for.
    fn on_not_found(&mut self, now: Timestamp) {
        let is_taken_up = matches!(self.sideband, Sideband::Lost { tries: 0, .. });
        let accepted = self.record.stages.accepted;
        match self.record.state {
            // It takes a moment to exist.
            State::Accepted if accepted.is_some_and(|at| now.since(at) < ATTACH_WITHIN) => {
                return self.actions.push(Action::Attach { after: ATTACH_RETRY });
            }
            State::Live => self.gone_at_provider(now),
            _ => self.fail_lost("the provider does not know the call any more", now),
        }
        if is_taken_up {
            self.over_unseen();
        }
    }

    pub(super) fn on_sideband_lost(&mut self, code: Option<u16>, now: Timestamp) {
        match self.sideband {
            Sideband::Up => {}
            // It opened and fell before the session was confirmed: as good as not opened.
            Sideband::Opening { .. } | Sideband::Lost { .. } => {
                let why = "closed before the session was confirmed".to_owned();
                return self.on_attach_failure(AttachFailure::Passing(why), now);
            }
            Sideband::Down => return,
        }
        // Asked to end, or the carrier says so: this is the end that was expected.
        if self.leave.asked().is_some() {
            return self.end_gone(now);
        }
        if self.leg_over_at.is_some() {
            return self.gone_at_provider(now);
        }
        if let Some(command) = self.turns.lost() {
            self.tools.not_continued(command);
        }
        self.transcript.lost();
        self.stop_reading();
        self.leave.sideband_lost(now);
        let code = code.map_or("no close frame".to_owned(), |code| format!("close code {code}"));
        self.note("sideband.lost", Some(&code), now);
        self.reattach(now, 0, code, now);
    }

    pub(super) fn reattach(&mut self, since: Timestamp, tries: usize, why: String, now: Timestamp) {
        match REATTACH_AFTER.get(tries) {
            Some(after) => {
                let until = now + *after + CONFIRM_WITHIN;
                self.sideband = Sideband::Lost { since, tries: tries + 1, until };
                self.actions.push(Action::Attach { after: *after });
            }
            None if self.leave.asked().is_some() => self.end_gone(now),
            None => self.fail(Some(Action::HangUp), EndedReason::ProviderDropped, Some(why), now),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.sideband, Sideband::Up)
    }

    /// Accepted, but there is no way to talk with the session: the caller must not hang there.
    pub(super) fn cannot_serve(&mut self, why: String, now: Timestamp) {
        self.fail(Some(Action::HangUp), EndedReason::AttachFailed, Some(why), now);
    }

    /// The provider did not confirm the session in time.
    pub(super) fn on_sideband_late(&mut self, now: Timestamp) {
        let why = "the session was not confirmed in time".to_owned();
        match self.sideband {
            Sideband::Opening { .. } => self.cannot_serve(why, now),
            Sideband::Lost { since, tries, .. } => self.reattach(since, tries, why, now),
            Sideband::Down | Sideband::Up => {}
        }
    }
}

fn describe(failure: &AttachFailure) -> String {
    match failure {
        AttachFailure::NotFound => "the provider does not know the call (404)".to_owned(),
        AttachFailure::Denied(status) => format!("the provider denied the sideband ({status})"),
        AttachFailure::Passing(why) => why.clone(),
    }
}
