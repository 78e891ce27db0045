//! `GET /api/v1/events`: what happens, as it happens (server-sent events).
//!
//! A connection that breaks is opened again by the browser with the id that it saw last, and goes on from there; what
//! is not at hand any more is told by `reset`. Each sees what its role sees in the same calls elsewhere.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::stream;
use poem::http::header;
use poem::{Body, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Answered, Ask, Problem};
use crate::call::privacy::{ShownCall, Sight};
use crate::call_control::feed::{News, Watch};
use crate::ids::CallId;

/// How long nothing may be sent; proxies cut connections that are silent for a minute.
const BEAT: Duration = Duration::from_secs(15);

/// What may be asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Question {
    call: Option<CallId>,
    after: Option<String>,
    unmasked: bool,
}

/// One who watches.
pub(super) struct Watcher {
    watch: Watch,
    call: Option<CallId>,
    sight: Sight,
    is_begun: bool,
}

/// `GET /api/v1/events`.
pub(super) async fn watch(ask: Ask) -> Answered {
    let Question { call, after, unmasked } = ask.params()?;
    let sight = ask.sight(unmasked)?;
    let seen = ask.request.header("last-event-id").map(str::to_owned).or(after);
    let watch = ask.doors.control.feed().watch(seen.as_deref());
    let watch = watch.ok_or_else(|| Problem::too_many("too many watch already: close a page"))?;
    if sight.words {
        let how = if unmasked { "unmasked" } else { "masked" };
        ask.audit_reading("events.watch", call, Some(how.to_owned())).await?;
    }
    let watcher = Watcher { watch, call, sight, is_begun: false };
    let pieces = stream::unfold(watcher, |mut watcher| async move {
        let piece = watcher.piece().await?;
        Some((std::io::Result::Ok(piece), watcher))
    });
    Ok(Response::builder()
        .content_type("text/event-stream")
        .header(header::CACHE_CONTROL, "no-store")
        .header("x-accel-buffering", "no")
        .body(Body::from_bytes_stream(pieces)))
}

impl Watcher {
    /// What is sent next; none: it is over.
    async fn piece(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.is_begun, true) {
            let name = if self.watch.is_reset() { "reset" } else { "hello" };
            let mut piece = event(&self.watch.seen(), name, &json!({}));
            for news in self.watch.speaking() {
                self.tell(&self.watch.seen(), news, &mut piece);
            }
            return Some(piece);
        }
        let Ok(news) = timeout(BEAT, self.watch.next()).await else {
            // With an id: what was skipped need not be looked through again.
            return Some(format!(":\nid: {}\n\n", self.watch.seen()));
        };
        let news = news?;
        let mut piece = String::new();
        for (n, news) in news {
            self.tell(&self.watch.id(n), &news, &mut piece);
        }
        if piece.is_empty() {
            let _ = write!(piece, "id: {}\n\n", self.watch.seen());
        }
        Some(piece)
    }

    /// Appends the event of some news, where it is asked for and seen.
    fn tell(&self, id: &str, news: &News, piece: &mut String) {
        if self.call.is_none_or(|call| call == news.call())
            && let Some((name, data)) = told(news, self.sight)
        {
            piece.push_str(&event(id, name, &data));
        }
    }
}

fn event(id: &str, name: &str, data: &Value) -> String {
    // JSON on one line: a line break in it would end the event.
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

/// The event of some news, as far as it is seen.
fn told(news: &News, sight: Sight) -> Option<(&'static str, Value)> {
    Some(match news {
        News::Call(record) => ("call", json!(ShownCall::of((**record).clone(), sight))),
        News::Line(call, line) => {
            let mut line = line.clone();
            sight.of_line(&mut line);
            ("line", json!({ "call": call, "line": line }))
        }
        News::Growing(..) if !sight.words => return None,
        News::Growing(call, growing) => {
            let mut data = json!(growing);
            data["call"] = json!(call);
            ("growing", data)
        }
        News::ToolCall(call, tool_call) => {
            let mut tool_call = tool_call.clone();
            sight.of_tool_call(&mut tool_call);
            ("tool", json!({ "call": call, "tool_call": tool_call }))
        }
        News::Event(call, event) => {
            let mut event = event.clone();
            sight.of_event(&mut event);
            ("happened", json!({ "call": call, "event": event }))
        }
        News::Usage(call, usage, cost_usd) => {
            ("usage", json!({ "call": call, "usage": usage, "cost_usd": cost_usd }))
        }
        News::Speaking(call, speaking) => {
            let (caller, assistant) = (speaking.caller, speaking.assistant);
            ("speaking", json!({ "call": call, "caller": caller, "assistant": assistant }))
        }
        News::Gone(call) => ("gone", json!({ "call": call })),
    })
}
