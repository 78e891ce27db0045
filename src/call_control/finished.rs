//! What is told of a call once it is over and on disk: one wide line of the log, and a trace.
//!
//! Whoever was turned away at the door has such a line too. It is written by the process in which the call ended, and by
//! no other: what comes late for a call that was over before tells nothing again.

use std::sync::Arc;
use std::time::Duration;

use super::CallControl;
use crate::call::finished::{Finished, Gathered};
use crate::call::record::{CallDetail, CallRecord};

/// The target of these lines, so that they can be kept, or kept out, by themselves.
pub const TARGET: &str = "switchboard::calls";

impl CallControl {
    /// Tells of a call that ended, of which everything is on disk, and with which plugins it was answered. What was gathered
    /// of it is enough for the line, but not for a trace.
    pub(super) fn tell_finished(
        self: &Arc<Self>,
        record: &CallRecord,
        gathered: Gathered,
        plugins: Option<String>,
    ) {
        match gathered.finished(record).filter(|_| self.traces.is_none()) {
            Some(finished) => log(record, &finished, plugins),
            None => drop(self.runners.spawn(Arc::clone(self).read_and_tell(record.clone(), plugins))),
        }
    }

    async fn read_and_tell(self: Arc<Self>, record: CallRecord, plugins: Option<String>) {
        let detail = match self.store.detail(record.id).await {
            Ok(Some(detail)) => detail,
            // Erased at once, or the disk cannot be read: what is at hand is told.
            Ok(None) => alone(record),
            Err(error) => {
                tracing::error!(call = %record.id, %error, "a call that ended cannot be read");
                alone(record)
            }
        };
        self.tell_of(&detail, plugins);
    }

    /// Tells of a call that was over at the door: there is nothing of it but its record.
    pub(super) fn tell_turned_away(&self, record: &CallRecord) {
        self.tell_of(&alone(record.clone()), None);
    }

    fn tell_of(&self, detail: &CallDetail, plugins: Option<String>) {
        log(&detail.call, &Finished::of(detail), plugins);
        if let Some(traces) = &self.traces {
            traces.tell(detail);
        }
    }
}

fn alone(call: CallRecord) -> CallDetail {
    let (lines, tool_calls, usage) = Default::default();
    CallDetail { call, lines, tool_calls, usage, events: Vec::new(), recordings: Vec::new() }
}

fn log(call: &CallRecord, finished: &Finished, plugins: Option<String>) {
    let (carrier, provider, moved) = (call.carrier.as_ref(), call.provider.as_ref(), call.moved.as_ref());
    let usage = &call.usage;
    tracing::info!(
        target: TARGET,
        call = %call.id,
        reason = call.ended.as_ref().map(|ended| ended.reason.as_str()),
        detail = finished.detail,
        route = call.route,
        session = call.session,
        path = call.path.as_str(),
        moved_from = moved.map(|moved| moved.from.as_str()),
        moved_reason = moved.map(|moved| moved.reason.as_str()),
        avoided = call.avoided.map(|path| path.as_str()),
        caller = finished.caller,
        callee = finished.callee,
        handed_to = finished.handed_to,
        carrier = carrier.map(|carrier| carrier.name.as_str()),
        carrier_call = carrier.map(|carrier| carrier.call_sid.as_str()),
        carrier_leg = carrier.and_then(|carrier| carrier.leg_sid.as_ref()).map(|leg| leg.as_str()),
        provider = provider.map(|provider| provider.name.as_str()),
        provider_call = provider.map(|provider| provider.call_id.as_str()),
        model = provider.and_then(|provider| provider.model.as_deref()),
        started = call.stages.began().map(tracing::field::display),
        answered = Finished::answered(call).map(tracing::field::display),
        ended = call.stages.ended.map(tracing::field::display),
        duration_s = finished.lasted.map(|lasted| lasted.as_secs_f64()),
        webhook_to_accept_ms = call.stages.webhook_to_accept().map(millis),
        first_word_ms = call.stages.first_word_after().map(millis),
        reply_p50_ms = finished.reply_p50.map(millis),
        reply_p90_ms = finished.reply_p90.map(millis),
        turns = finished.turns,
        lines = call.counts.lines,
        tool_calls = call.counts.tool_calls,
        tools_failed = finished.tools_failed,
        tools = finished.tools,
        text_in = usage.text_in,
        text_cached = usage.text_cached,
        text_out = usage.text_out,
        audio_in = usage.audio_in,
        audio_cached = usage.audio_cached,
        audio_out = usage.audio_out,
        transcription_s = usage.transcription_s,
        transcription_in = usage.transcription_in,
        transcription_out = usage.transcription_out,
        cost_usd = call.cost_usd,
        reattached = provider.map(|provider| provider.reattached),
        restarts = call.interrupted.map(|interrupted| interrupted.times),
        recorded = finished.is_recorded,
        plugins,
        "call finished"
    );
}

fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1_000.0
}
