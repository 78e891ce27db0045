//! A small client of the DevTools protocol: commands, their answers, and what happened in between.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// What a screenshot may need.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// What was seen of the pages.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The addresses of all requests.
    pub requests: Vec<String>,
    /// Errors that nobody caught, and what broke the content security policy.
    pub troubles: Vec<String>,
}

/// A connection to a browser.
pub struct Devtools {
    outgoing: mpsc::UnboundedSender<Message>,
    waiting: Waiting,
    seen: Arc<Mutex<Seen>>,
    next: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Devtools {
    pub async fn connect(url: &str) -> Devtools {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let (socket, _) = connect_async_with_config(url, Some(config), false).await.expect("a browser");
        let (mut sink, mut stream) = socket.split();
        let (outgoing, mut queue) = mpsc::unbounded_channel::<Message>();
        let (waiting, seen) = (Waiting::default(), Arc::new(Mutex::new(Seen::default())));
        tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                if sink.send(message).await.is_err() {
                    break;
                }
            }
        });
        let (answers, notes) = (Arc::clone(&waiting), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let Ok(text) = message.into_text() else { continue };
                let Ok(told) = serde_json::from_str::<Value>(&text) else { continue };
                match told["id"].as_u64().and_then(|id| lock(&answers).remove(&id)) {
                    Some(answer) => drop(answer.send(told)),
                    None => note(&mut lock(&notes), &told),
                }
            }
        });
        Devtools { outgoing, waiting, seen, next: AtomicU64::new(1) }
    }

    /// What the browser answers to a command; panics where it refuses.
    pub async fn command(&self, session: Option<&str>, method: &str, params: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut command = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(id, answer);
        self.outgoing.send(Message::text(command.to_string())).expect("a connection to the browser");
        let mut told = answered.await.expect("an answer of the browser");
        assert!(told["error"].is_null(), "{method}: {}", told["error"]);
        told["result"].take()
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

fn note(seen: &mut Seen, told: &Value) {
    let params = &told["params"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match told["method"].as_str() {
        Some("Network.requestWillBeSent") => seen.requests.push(text(&params["request"]["url"])),
        Some("Network.webSocketCreated") => seen.requests.push(text(&params["url"])),
        Some("Runtime.exceptionThrown") => {
            let details = &params["exceptionDetails"];
            seen.troubles.push(format!("{} {}", text(&details["text"]), details["exception"]["description"]));
        }
        Some("Log.entryAdded") if params["entry"]["source"] == "security" => {
            seen.troubles.push(text(&params["entry"]["text"]));
        }
        _ => {}
    }
}
