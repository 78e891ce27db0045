//! Telling other systems of calls: signed webhooks, kept until they are taken.
//!
//! What is to be told is written in the commit of what it tells (`runner`, `intake`, `recordings`), a row for each
//! endpoint that wants it, and sent by `worker`, which no call ever waits for. So a crash loses none; a receiver may get
//! one twice, and knows it by its `webhook-id`. Each endpoint has a queue and connections of its own: one that is slow or
//! away delays no other. Who may see what is decided when it is put down ([`crate::call::notification`]).
//!
//! Where [`WAITING_MAX`] wait for one endpoint, what happens next is not put down for it: it is counted as `dropped`.

mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::CallControl;
use crate::call::notification::{Happened, Kind, ListedNotification, Notification, NotificationState};
use crate::call::record::CallRecord;
use crate::call::recording::RecordingRecord;
use crate::clock::Timestamp;
use crate::ids::{CallId, NotificationId};
use crate::routing::Wildcard;
use crate::secret::Secret;
use crate::store::{Due, Expect, NotificationKey, Store, StoreError, Tx, Write};
use crate::tool::outbound::{Client, Pattern, PatternError, Request, Rules, SystemResolver};
use crate::wire::webhook::{BadSecret, sign_with_all};

/// So many may wait for one endpoint: a busy gateway's day, some tens of megabytes.
pub const WAITING_MAX: usize = 20_000;
/// So many are sent again by one request; the next one goes on.
pub const RESENT_MAX: usize = 1_000;
/// How long one try may take, the whole answer included (Standard Webhooks asks for 15 to 30 s).
const TRY_WITHIN: Duration = Duration::from_secs(15);
/// Of an answer's body so much is read, so that the connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// So many rows are changed in one commit; each has some kilobytes.
const PER_COMMIT: usize = 32;

/// Who is told of calls.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The endpoints, `[notifications.NAME]`, by name.
    pub endpoints: BTreeMap<String, Endpoint>,
}

/// Where notifications are sent.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The URL.
    pub url: String,
    /// Each signs every request: more than one while they are rotated.
    pub secrets: Vec<Secret>,
    /// Which events, by name or pattern.
    pub events: Vec<Wildcard>,
    /// Words and whole numbers are told.
    pub content: bool,
}

impl Endpoint {
    fn wants(&self, kind: Kind) -> bool {
        self.events.iter().any(|pattern| pattern.matches(kind.as_str()))
    }
}

/// What may be requested of an endpoint's URL: this, and nothing else.
///
/// # Errors
///
/// The URL cannot be used.
pub fn pattern_of(url: &str) -> Result<Pattern, PatternError> {
    // A query is not a part of a pattern.
    let place = url.split('?').next().unwrap_or_default();
    let behind_scheme = place.split_once("://").map_or(place, |(_, rest)| rest);
    let root = if behind_scheme.contains('/') { "" } else { "/" };
    Pattern::parse(&format!("POST {place}{root}"))
}

/// An endpoint with its connections.
struct Sender {
    endpoint: Endpoint,
    client: Client,
}

impl Sender {
    fn new(endpoint: &Endpoint) -> Sender {
        // The operator wrote this host down, so it may be inside; what keeps tools and plugins off private addresses is
        // for hosts that a model or a stranger's code may choose. Nothing else is reached: no redirect is followed.
        let host = reqwest::Url::parse(&endpoint.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let rules = Rules {
            allow: pattern_of(&endpoint.url).into_iter().collect(),
            private_hosts: host.into_iter().collect(),
            response_bytes_max: ANSWER_BYTES_MAX,
            redirects_max: 0,
        };
        Sender { endpoint: endpoint.clone(), client: Client::new(rules, Arc::new(SystemResolver)) }
    }

    fn request(&self, id: &NotificationId, now: Timestamp, body: String) -> Result<Request, BadSecret> {
        let timestamp = now.as_secs().to_string();
        let signature = sign_with_all(&self.endpoint.secrets, id.as_str(), &timestamp, body.as_bytes())?;
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id.to_string()),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ];
        Ok(Request {
            method: "POST".to_owned(),
            url: self.endpoint.url.clone(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            secret_headers: Vec::new(),
            body: Some(body.into_bytes()),
        })
    }
}

type Senders = BTreeMap<String, Arc<Sender>>;

/// Notifications of one gateway: who is told, and what the worker is to know.
pub(super) struct Notifications {
    senders: ArcSwap<Senders>,
    /// What happened since the worker last looked; all of it is on disk.
    fresh: Mutex<Vec<Fresh>>,
    wake: Notify,
    standings: Mutex<BTreeMap<String, Standing>>,
}

/// Something that the worker is to know.
enum Fresh {
    /// A notification waits.
    Waiting(NotificationKey, Due),
    /// A call was erased, and with it what waited.
    Erased(CallId),
}

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    waiting: usize,
    oldest: Option<Timestamp>,
    is_disabled: bool,
}

/// An endpoint as operators see it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndpointView {
    /// Its name.
    pub name: String,
    /// The events that it is told of, as they are configured.
    pub events: Vec<String>,
    /// Words and whole numbers are told.
    pub content: bool,
    /// How many notifications it has yet to take.
    pub waiting: usize,
    /// When that happened which it has waited for longest to be told.
    pub oldest: Option<Timestamp>,
    /// It answered 410, and is told nothing until the gateway starts again or the configuration is loaded again.
    pub disabled: bool,
}

/// Notifications in a commit that is on its way to the disk.
pub(super) struct Landing {
    notifications: Arc<Notifications>,
    fresh: Vec<Fresh>,
}

impl Landing {
    /// The commit is on disk: the worker has something to do.
    pub fn landed(self) {
        self.notifications.tell(self.fresh);
    }
}

impl Notifications {
    pub(super) fn new(settings: &Settings) -> Arc<Notifications> {
        Arc::new(Notifications {
            senders: ArcSwap::from_pointee(senders(settings)),
            fresh: Mutex::default(),
            wake: Notify::new(),
            standings: Mutex::default(),
        })
    }

    /// What the worker is to know of these writes once they are on disk.
    pub(super) fn landing(self: &Arc<Self>, writes: &[Write]) -> Landing {
        let waiting = writes.iter().filter_map(|write| match write {
            Write::Notification(told) if told.state == NotificationState::Waiting => Some(waiting(told)),
            _ => None,
        });
        Landing { notifications: Arc::clone(self), fresh: waiting.collect() }
    }

    fn tell(&self, fresh: Vec<Fresh>) {
        if !fresh.is_empty() {
            locked(&self.fresh).extend(fresh);
            self.wake.notify_one();
        }
    }

    fn standing(&self, endpoint: &str) -> Standing {
        locked(&self.standings).get(endpoint).copied().unwrap_or_default()
    }
}

impl CallControl {
    /// What is to be written with a call of which something is to be told; nothing where nobody wants to know.
    pub(super) fn notify(
        &self,
        kind: Kind,
        call: &CallRecord,
        recording: Option<&RecordingRecord>,
    ) -> Vec<Write> {
        let senders = self.notifications.senders.load();
        let mut wanting = senders.iter().filter(|(_, sender)| sender.endpoint.wants(kind)).peekable();
        if wanting.peek().is_none() {
            return Vec::new();
        }
        let at = self.clock.now();
        let id = NotificationId::new(at, self.entropy.bytes());
        let happened = Happened { kind, at, call, recording };
        let has_room = |(name, _): &(&String, &Arc<Sender>)| {
            let has_room = self.notifications.standing(name).waiting < WAITING_MAX;
            if !has_room {
                self.metrics.notification(name, "dropped");
                tracing::warn!(call = %call.id, endpoint = %name, event = kind.as_str(), "too much waits for an endpoint: it is not told");
            }
            has_room
        };
        let told = wanting.filter(has_room).map(|(name, sender)| {
            Write::Notification(Box::new(happened.notification(id.clone(), name, sender.endpoint.content)))
        });
        told.collect()
    }

    /// The same of a call that is over, with all of it that is ready then.
    pub(super) fn notify_ended(&self, call: &CallRecord) -> Vec<Write> {
        let mut writes = self.notify(Kind::CallEnded, call, None);
        if call.counts.lines > 0 {
            writes.extend(self.notify(Kind::TranscriptReady, call, None));
        }
        writes
    }

    /// From now on these are told; an endpoint that answered 410 is tried again.
    pub fn set_notifications(&self, settings: &Settings) {
        self.notifications.senders.store(Arc::new(senders(settings)));
        self.notifications.wake.notify_one();
    }

    /// The endpoints, and how they stand.
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let view = |(name, sender): (&String, &Arc<Sender>)| {
            let Standing { waiting, oldest, is_disabled } = self.notifications.standing(name);
            EndpointView {
                name: name.clone(),
                events: sender.endpoint.events.iter().map(|event| event.as_str().to_owned()).collect(),
                content: sender.endpoint.content,
                waiting,
                oldest,
                disabled: is_disabled,
            }
        };
        self.notifications.senders.load().iter().map(view).collect()
    }

    /// Sends dead letters again, and what waits at once: those of this id, of this endpoint, or all; up to
    /// [`RESENT_MAX`] of endpoints that there are. Gives them as they wait now.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what was done before stays done.
    pub async fn resend(
        &self,
        id: Option<NotificationId>,
        endpoint: Option<String>,
    ) -> Result<Vec<ListedNotification>, StoreError> {
        let known = self.notifications.senders.load().keys().cloned().collect();
        let again = send_again(&self.store, known, id, endpoint, self.clock.now()).await?;
        self.notifications.tell(again.iter().map(waiting).collect());
        Ok(again.into_iter().map(ListedNotification::from).collect())
    }

    /// A call was erased, and with it what waited.
    pub(super) fn forget_notifications(&self, call: CallId) {
        self.notifications.tell(vec![Fresh::Erased(call)]);
    }
}

/// Has notifications be sent again, as [`CallControl::resend`] does; the gateway that looks at this store next sends
/// them. `known` are the endpoints that there are.
///
/// # Errors
///
/// [`StoreError`]; what was done before stays done.
pub async fn send_again(
    store: &Store,
    known: Vec<String>,
    id: Option<NotificationId>,
    endpoint: Option<String>,
    now: Timestamp,
) -> Result<Vec<Notification>, StoreError> {
    let is_wanted = move |key: &NotificationKey| {
        known.contains(&key.endpoint)
            && id.as_ref().is_none_or(|id| *id == key.id)
            && endpoint.as_ref().is_none_or(|endpoint| *endpoint == key.endpoint)
    };
    let mut again = Vec::new();
    for state in [NotificationState::Dead, NotificationState::Waiting] {
        let left = RESENT_MAX - again.len();
        again.extend(store.notifications(state, left, is_wanted.clone()).await?);
    }
    again.iter_mut().for_each(|notification| notification.revive(now));
    for some in again.chunks(PER_COMMIT) {
        keep(store, some).await?;
    }
    Ok(again)
}

/// Writes notifications whose calls were not erased meanwhile.
async fn keep(store: &Store, some: &[Notification]) -> Result<(), StoreError> {
    let expect = some.iter().map(|notification| Expect::NotErased(notification.call)).collect();
    let writes =
        some.iter().map(|notification| Write::Notification(Box::new(notification.clone()))).collect();
    store.commit(Tx { expect, writes }).await.map(drop)
}

fn waiting(notification: &Notification) -> Fresh {
    let due = Due { at: notification.at, next: notification.next };
    Fresh::Waiting(NotificationKey::of(notification), due)
}

fn senders(settings: &Settings) -> Senders {
    let sender = |(name, endpoint): (&String, &Endpoint)| (name.clone(), Arc::new(Sender::new(endpoint)));
    settings.endpoints.iter().map(sender).collect()
}

/// Nothing panics while one of these is held.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_allows_itself_and_nothing_else() {
        for (url, others) in [
            ("https://crm.example.com", ["https://crm.example.com/x", "https://crm.example.com:8443/"]),
            (
                "https://crm.example.com/in?key=1",
                ["https://crm.example.com/in/x", "http://crm.example.com/in"],
            ),
        ] {
            let pattern = pattern_of(url).unwrap();
            assert!(pattern.matches("POST", url) && !pattern.matches("GET", url), "{url}");
            assert!(!others.iter().any(|other| pattern.matches("POST", other)), "{url}");
        }
        assert!(pattern_of("https://crm.example.com/a*b").is_err());
    }
}
