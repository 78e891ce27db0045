//! Who follows a call: plugins that are told what happens in it, and what they and tools may know of it.
//!
//! Each plugin has a queue of its own per call and is told one thing after the other. The call never
//! waits for it: what finds no place in the queue is dropped, and said once. When the call is over, the
//! rest of the queue is told, then the whole record; the gateway waits for that when it stops.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::call::event::Wished;
use crate::call::record::{Line, LineStatus, Speaker, State};
use crate::ids::CallId;
use crate::store::Store;
use crate::tool::Toolbox;
use crate::tool::context::{CallContext, Said, Wishes};
use crate::tool::hooks::{CallEvent, ENDED_TIME, EVENT_TIME, Hook, Hooked};

/// How many events may wait for one plugin in one call: some minutes of talk.
const EVENTS_WAITING_MAX: usize = 64;
/// How long after a call's end its last events may be told. What is left then is dropped.
const LAST_EVENTS_WITHIN: Duration = Duration::from_secs(10);
/// How many wishes may wait for a call; its task takes them up as fast as events.
const WISHES_WAITING_MAX: usize = 16;
/// How many lines of a call a tool is shown at most.
const HISTORY_LINES_MAX: usize = 50;
/// How many bytes of text they may have together.
const HISTORY_BYTES_MAX: usize = 32 << 10;

/// What was said in a call so far, as far as tools are shown it.
#[derive(Debug, Default)]
pub(super) struct History {
    lines: VecDeque<(u32, Said)>,
    bytes: usize,
}

impl History {
    /// A line is new or has changed.
    pub fn put(&mut self, line: &Line) {
        if line.speaker == Speaker::Keypad || line.text.is_empty() {
            return;
        }
        if let Some(at) = self.lines.iter().position(|(n, _)| *n == line.n)
            && let Some((_, old)) = self.lines.remove(at)
        {
            self.bytes -= old.text.len();
        }
        let kept = line.text.floor_char_boundary(HISTORY_BYTES_MAX);
        let text = line.text[..kept].to_owned();
        self.bytes += text.len();
        let after = self.lines.iter().rposition(|(_, said)| said.started <= line.started);
        let said = Said { speaker: line.speaker, text, started: line.started };
        self.lines.insert(after.map_or(0, |at| at + 1), (line.n, said));
        while self.lines.len() > HISTORY_LINES_MAX || self.bytes > HISTORY_BYTES_MAX {
            let Some((_, oldest)) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
        }
    }

    /// The last lines, oldest first.
    pub fn said(&self) -> Vec<Said> {
        self.lines.iter().map(|(_, said)| said.clone()).collect()
    }
}

/// A call's own end of the way on which tools and hooks tell it what they want; made when first needed.
#[derive(Default)]
pub(super) struct WishBox(Option<(Wishes, mpsc::Receiver<Wished>)>);

impl WishBox {
    /// The way to the call.
    pub fn way(&mut self) -> &Wishes {
        let (way, _) = self.0.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(WISHES_WAITING_MAX);
            (Wishes::to(sender), receiver)
        });
        way
    }

    /// The next wish; waits for ever when nobody can have one.
    pub async fn next(&mut self) -> Wished {
        let next = match &mut self.0 {
            Some((_, wishes)) => wishes.recv().await,
            None => None,
        };
        match next {
            Some(wished) => wished,
            None => std::future::pending().await,
        }
    }

    /// The next wish, if one waits.
    pub fn waiting(&mut self) -> Option<Wished> {
        self.0.as_mut()?.1.try_recv().ok()
    }
}

/// The plugins that are told what happens in a call.
pub(super) struct Followers {
    call: CallId,
    queues: Vec<Queue>,
    telling: TaskTracker,
    /// The newest line that was told.
    told: Vec<u32>,
}

struct Queue {
    plugin: String,
    sender: mpsc::Sender<(CallContext, CallEvent)>,
    dropped: u32,
}

impl Followers {
    /// Starts telling everybody who wants to be told; `tasks` waits for the rest after the call's end.
    pub fn new(call: CallId, toolbox: &Toolbox, tasks: &TaskTracker) -> Followers {
        let (mut queues, telling) = (Vec::new(), TaskTracker::new());
        for hooked in toolbox.hooks().at(Hook::Event) {
            let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
            tasks.spawn(telling.track_future(tell(Arc::clone(hooked), call, events)));
            queues.push(Queue { plugin: hooked.name().to_owned(), sender, dropped: 0 });
        }
        Followers { call, queues, telling, told: Vec::new() }
    }

    /// Nothing more is to be told. Whoever wants to come after the last event waits for this.
    pub fn close(self) -> TaskTracker {
        self.telling.close();
        self.telling.clone()
    }

    /// Claims that nobody is told.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// The line as something to tell, once, when its words are complete.
    pub fn complete(&mut self, line: &Line) -> Option<CallEvent> {
        let is_complete = matches!(line.status, LineStatus::Final | LineStatus::Interrupted);
        let is_talk = line.speaker != Speaker::Keypad && !line.text.is_empty();
        if self.is_empty() || !is_complete || !is_talk || self.told.contains(&line.n) {
            return None;
        }
        // A line changes soon after it was told or not at all.
        if self.told.len() == EVENTS_WAITING_MAX {
            self.told.remove(0);
        }
        self.told.push(line.n);
        let (speaker, text, started) = (line.speaker, line.text.clone(), line.started);
        Some(CallEvent::Line(Said { speaker, text, started }))
    }

    /// Tells everybody what happened, as soon as they are done with what happened before.
    pub fn tell(&mut self, context: &CallContext, event: &CallEvent) {
        for queue in &mut self.queues {
            if queue.sender.try_send((context.clone(), event.clone())).is_err() {
                queue.dropped += 1;
            }
        }
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        for queue in self.queues.iter().filter(|queue| queue.dropped > 0) {
            tracing::warn!(
                call = %self.call,
                plugin = queue.plugin,
                dropped = queue.dropped,
                "events were dropped: the plugin's `event` hook is slower than the call"
            );
        }
    }
}

/// The words for what state a call is in; only what plugins are told of.
pub(super) fn state_event(state: State) -> Option<CallEvent> {
    match state {
        State::Live => Some(CallEvent::State("live")),
        State::Ended => Some(CallEvent::State("ended")),
        State::Dialing | State::Offered | State::Accepted => None,
    }
}

async fn tell(hooked: Arc<dyn Hooked>, call: CallId, mut events: mpsc::Receiver<(CallContext, CallEvent)>) {
    let mut until = None;
    while let Some((context, event)) = events.recv().await {
        if events.is_closed() {
            let until = *until.get_or_insert_with(|| Instant::now() + LAST_EVENTS_WITHIN);
            if Instant::now() >= until {
                tracing::warn!(%call, plugin = hooked.name(), "the last events of a call were not told in time");
                return;
            }
        }
        let telling = AssertUnwindSafe(hooked.event(&context, &event)).catch_unwind();
        report(call, hooked.name(), Hook::Event, timeout(EVENT_TIME, telling).await);
    }
}

/// Tells everybody who wants it the whole record of a call that is over and on disk.
/// The last events come first, if they come in time.
pub(super) async fn tell_ended(
    toolbox: Arc<Toolbox>,
    context: CallContext,
    store: Store,
    last_events: Option<TaskTracker>,
) {
    let call = context.call_id;
    if let Some(last_events) = last_events {
        let _ = timeout(LAST_EVENTS_WITHIN, last_events.wait()).await;
    }
    let record = match store.detail(call).await {
        Ok(Some(detail)) => serde_json::to_string(&detail).map_err(|error| error.to_string()),
        Ok(None) => Err("it is not there".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let record = match record {
        Ok(record) => record,
        Err(why) => {
            return tracing::error!(%call, why, "no plugin was told of a call's end: its record cannot be read");
        }
    };
    let deadline = Instant::now() + ENDED_TIME;
    let told = toolbox.hooks().at(Hook::Ended).map(|hooked| {
        let (context, record) = (&context, record.as_str());
        async move {
            let telling = AssertUnwindSafe(hooked.ended(context, record)).catch_unwind();
            report(call, hooked.name(), Hook::Ended, timeout_at(deadline, telling).await);
        }
    });
    futures_util::future::join_all(told).await;
}

type Told =
    Result<std::thread::Result<Result<(), crate::tool::plugin::Failure>>, tokio::time::error::Elapsed>;

fn report(call: CallId, plugin: &str, hook: Hook, told: Told) {
    let problem = match told {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(failure))) => failure.to_string(),
        Ok(Err(_)) => "it panicked".to_owned(),
        Err(_) => "it took too long".to_owned(),
    };
    tracing::warn!(%call, plugin, hook = hook.as_str(), problem, "a hook failed");
}

/// What a tool or a hook may know at this moment.
pub(super) fn context_now(
    began: &CallContext,
    vars: &BTreeMap<String, String>,
    history: Option<&History>,
    wishes: Wishes,
) -> CallContext {
    let mut context = began.clone();
    context.vars.extend(vars.iter().map(|(name, value)| (name.clone(), value.clone())));
    context.history = history.map(History::said).unwrap_or_default();
    context.wishes = wishes;
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::FORMAT;
    use crate::clock::Timestamp;

    fn line(n: u32, started: u64, text: &str) -> Line {
        Line {
            v: FORMAT,
            n,
            speaker: Speaker::Caller,
            text: text.to_owned(),
            started: Timestamp::from_millis(started),
            ended: None,
            status: LineStatus::Final,
            item: None,
            turn: None,
        }
    }

    fn texts(history: &History) -> Vec<String> {
        history.said().into_iter().map(|said| said.text).collect()
    }

    #[test]
    fn history_is_in_the_order_of_speech_and_lines_change_in_place() {
        let mut history = History::default();
        for (n, started, text) in [(0, 20, "b"), (1, 10, "a"), (2, 30, "c"), (0, 20, "b!")] {
            history.put(&line(n, started, text));
        }
        assert_eq!(texts(&history), ["a", "b!", "c"]);
    }

    #[test]
    fn history_is_bounded_in_lines_and_bytes() {
        let mut history = History::default();
        for n in 0..200 {
            history.put(&line(n, u64::from(n), "words"));
        }
        assert_eq!(history.said().len(), HISTORY_LINES_MAX);
        history.put(&line(500, 500, &"あ".repeat(HISTORY_BYTES_MAX)));
        assert_eq!(history.said().len(), 1);
        assert!(history.bytes <= HISTORY_BYTES_MAX && history.bytes == history.said()[0].text.len());
    }
}
