//! What happens when nothing happens: the time that is left, silence, keys that no key follows, and a
//! greeting whose end is never reported.

use std::time::Duration;

use super::event::{ContextRole, ProviderCommand};
use super::leave::Exit;
use super::record::Path;
use super::step::{Call, Quiet};
use super::turns::{Prompt, PromptKind};
use crate::clock::Timestamp;

/// Keys are told to the model when none followed for this long, or at `#`.
const KEYS_TOGETHER: Duration = Duration::from_secs(2);
/// The caller is told this long before the time is over.
const TIME_WARNING: Duration = Duration::from_secs(120);
/// The call is ended this long before the provider would cut it.
pub(super) const BEFORE_EXPIRY: Duration = Duration::from_secs(30);
/// Turn detection is set although the protected greeting's end was never reported.
const GREETING_MAX: Duration = Duration::from_secs(15);

const TIME_IS_SHORT: &str =
    "Two minutes of this call are left. Bring the conversation to its end and tell the caller so.";
const STILL_THERE: &str = "The caller has been silent for a while. Ask briefly whether they are still there.";

impl Call {
    pub(super) fn conversation_deadline(&self) -> Option<Timestamp> {
        [
            self.keys_together_at(),
            self.turns.deadline(),
            self.leave.deadline(),
            self.time_warning_at(),
            self.time_over_at(),
            self.last_moment(),
            self.silence_at(),
            self.greeting_over_at(),
            self.filler_at(),
            self.reading_over_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn on_conversation_deadline(&mut self, now: Timestamp) {
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        if is_due(self.reading_over_at()) {
            self.on_reading_over();
        }
        if is_due(self.keys_together_at()) {
            self.tell_keys(now);
        }
        if is_due(self.greeting_over_at()) {
            self.set_turn_detection();
        }
        if is_due(self.time_warning_at()) {
            self.is_time_warned = true;
            let text = TIME_IS_SHORT.to_owned();
            self.send(ProviderCommand::InjectContext { role: ContextRole::System, text });
        }
        if is_due(self.last_moment()) {
            let what = self.leave.want_now(Exit::TimeOver, now);
            self.do_leave(what, now);
        }
        if is_due(self.time_over_at()) {
            let what = self.leave.want_with_goodbye(Exit::TimeOver, now);
            self.do_leave(what, now);
        }
        if is_due(self.silence_at()) {
            self.on_silence(now);
        }
        if let Some(command) = self.turns.tick(now) {
            self.tools.not_continued(command);
        }
        let what = self.leave.tick(now);
        self.do_leave(what, now);
        self.go_on(now);
    }

    fn keys_together_at(&self) -> Option<Timestamp> {
        let keys = self.keys.as_ref().filter(|_| self.is_up())?;
        Some(keys.last + KEYS_TOGETHER)
    }

    fn on_silence(&mut self, now: Timestamp) {
        self.quiet = Quiet { since: Some(now), asked: self.quiet.asked.saturating_add(1) };
        if self.quiet.asked == 1 {
            self.turns.want(Prompt::new(PromptKind::Notice, Some(STILL_THERE.to_owned())));
        } else {
            self.note_unheard(now);
            let what = self.leave.want_with_goodbye(Exit::Silence, now);
            self.do_leave(what, now);
        }
    }

    /// Over SIP no sound passes here: all that is known is that the provider never heard the caller, not even after
    /// it asked. On the bridge the sound itself tells, and sooner.
    fn note_unheard(&mut self, now: Timestamp) {
        let heard = self.record.heard;
        if self.record.path == Path::Sip && heard.assistant && !heard.caller {
            self.note_one_way(heard, now);
        }
    }

    fn silence_at(&self) -> Option<Timestamp> {
        let silence_max = self.terms()?.silence_max?;
        let is_waiting = !self.turns.is_idle()
            || self.tools.is_any_running()
            || self.leave.is_under_way()
            || self.transcript.caller_is_speaking()
            || self.transcript.assistant_is_audible();
        if is_waiting || !self.is_up() {
            return None;
        }
        Some(self.quiet.since? + silence_max)
    }

    fn greeting_over_at(&self) -> Option<Timestamp> {
        let is_waiting = self.is_up() && self.is_greeting && self.listening.is_off();
        if is_waiting { Some(self.record.stages.attached? + GREETING_MAX) } else { None }
    }

    fn ends_at(&self) -> Option<Timestamp> {
        let attached = self.record.stages.attached?;
        let own = self.terms()?.duration_max.map(|duration| attached + duration);
        let expires = self.record.provider.as_ref().and_then(|provider| provider.expires_at);
        [own, expires.map(|at| at - BEFORE_EXPIRY)].into_iter().flatten().min()
    }

    fn time_over_at(&self) -> Option<Timestamp> {
        if self.leave.is_under_way() { None } else { self.ends_at() }
    }

    /// However the goodbye is interrupted, the call does not outlive this.
    fn last_moment(&self) -> Option<Timestamp> {
        if self.leave.asked().is_some() { None } else { Some(self.ends_at()? + BEFORE_EXPIRY) }
    }

    fn time_warning_at(&self) -> Option<Timestamp> {
        if self.is_time_warned || self.leave.is_under_way() || !self.is_up() {
            return None;
        }
        let warning = self.ends_at()? - TIME_WARNING;
        // A call shorter than the warning is not warned at all.
        (warning > self.record.stages.attached?).then_some(warning)
    }
}
