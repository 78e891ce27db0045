//! Sends what waits, each endpoint on its own, again and again until it is taken or given up.
//!
//! What is due stands in memory, what is told on disk: a notification is read when it is sent, so one that was erased
//! meanwhile is not. What came of a try is on disk before the next one. Once a minute the store is looked at for what
//! waits unknown here, so nothing depends on being told.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Fresh, PER_COMMIT, Sender, Senders, Standing, TRY_WITHIN, keep, locked};
use crate::call::notification::{Notification, NotificationState};
use crate::call_control::CallControl;
use crate::clock::Timestamp;
use crate::store::{Due, NotificationKey, StoreError, Tx, Write};
use crate::text::excerpt;
use crate::tool::outbound::Response;

/// How many requests one endpoint gets at once. There are few endpoints, so that this bounds all of them, too.
const AT_ONCE: usize = 4;
/// While something waits the clock is looked at this often: somebody may set it, or the machine may have slept.
const CLOCK_EVERY: Duration = Duration::from_millis(250);
/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// Requests that are under way when the gateway stops may be answered within this; else they are sent again by the next.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// So many dead letters are kept; the oldest go first.
const DEAD_MAX: usize = 10_000;
/// Dead letters of calls that began longer ago are forgotten.
const DEAD_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// So many dead letters are forgotten in one commit.
const FORGOTTEN_AT_ONCE: usize = 500;
/// What a person is shown of why a try failed, in characters.
const PROBLEM_CHARS: usize = 200;
/// The receiver wants nothing more (Standard Webhooks, "Responding to webhooks").
const GONE: u16 = 410;

/// What one endpoint has yet to take.
#[derive(Default)]
struct Queue {
    jobs: BTreeMap<NotificationKey, Due>,
    due: BTreeSet<(Timestamp, NotificationKey)>,
    running: HashSet<NotificationKey>,
    is_disabled: bool,
}

/// What came of a try.
enum Outcome {
    /// It is taken, or erased.
    Done,
    /// It is a dead letter.
    Dead,
    /// The same, and the endpoint wants nothing more.
    Gone,
    /// It is tried again.
    Later(Timestamp),
}

/// The worker's own state.
struct Worker {
    control: Arc<CallControl>,
    senders: Arc<Senders>,
    queues: BTreeMap<String, Queue>,
    running: JoinSet<(NotificationKey, Outcome)>,
    /// What waits for endpoints that there are no more.
    strays: Vec<NotificationKey>,
    dead: usize,
    look_at: Instant,
}

impl CallControl {
    /// Sends notifications until told to stop; what is left then is on disk, and sent after the next start.
    pub async fn send_notifications(self: Arc<Self>, stopping: CancellationToken) {
        let mut worker = Worker {
            senders: self.notifications.senders.load_full(),
            control: Arc::clone(&self),
            queues: BTreeMap::new(),
            running: JoinSet::new(),
            strays: Vec::new(),
            dead: 0,
            look_at: Instant::now(),
        };
        worker.renew();
        worker.look().await;
        loop {
            worker.bury_strays().await;
            worker.start_due();
            worker.show();
            let pause = worker.pause();
            tokio::select! {
                () = stopping.cancelled() => break,
                () = self.notifications.wake.notified() => worker.take_fresh(),
                Some(ended) = worker.running.join_next() => worker.ended(ended),
                () = tokio::time::sleep(pause) => worker.look_if_due().await,
            }
        }
        let last = async { while worker.running.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ANSWERS_WITHIN, last).await.is_err() {
            worker.running.shutdown().await;
        }
    }
}

impl Worker {
    /// The endpoints are others from now on.
    fn renew(&mut self) {
        let known = &self.senders;
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.queues).into_iter().partition(|(name, _)| known.contains_key(name));
        for (name, queue) in gone {
            self.control.metrics.notifications_waiting(&name, 0, Duration::ZERO, false);
            // What is under way is found by the next look.
            self.strays.extend(queue.jobs.into_keys().filter(|key| !queue.running.contains(key)));
        }
        self.queues = kept;
        for name in self.senders.keys() {
            self.queues.entry(name.clone()).or_default().is_disabled = false;
        }
    }

    fn take_fresh(&mut self) {
        let senders = self.control.notifications.senders.load_full();
        if !Arc::ptr_eq(&senders, &self.senders) {
            self.senders = senders;
            self.renew();
            self.look_at = Instant::now();
        }
        let fresh = std::mem::take(&mut *locked(&self.control.notifications.fresh));
        for fresh in fresh {
            match fresh {
                Fresh::Waiting(key, due) => self.take(key, due),
                Fresh::Erased(call) => self.queues.values_mut().for_each(|queue| queue.forget(call)),
            }
        }
    }

    fn take(&mut self, key: NotificationKey, due: Due) {
        match self.queues.get_mut(&key.endpoint) {
            Some(queue) => queue.put(key, due),
            None => self.strays.push(key),
        }
    }

    /// Finds what waits and is not known here, and forgets dead letters that have had their time.
    async fn look(&mut self) {
        self.look_at = Instant::now() + LOOK_EVERY;
        let known: HashSet<NotificationKey> =
            self.queues.values().flat_map(|queue| queue.jobs.keys().cloned()).collect();
        match self.control.store.notifications_waiting(move |key| known.contains(key)).await {
            Ok(waiting) => waiting.into_iter().for_each(|(key, due)| self.take(key, due)),
            Err(error) => tracing::error!(%error, "the list of notifications cannot be read"),
        }
        match self.sweep().await {
            Ok(dead) => self.dead = dead,
            Err(error) => tracing::error!(%error, "old dead letters cannot be forgotten"),
        }
    }

    async fn look_if_due(&mut self) {
        if Instant::now() >= self.look_at {
            self.look().await;
        }
    }

    /// Gives how many dead letters are left.
    async fn sweep(&self) -> Result<usize, StoreError> {
        let store = &self.control.store;
        let before = self.control.clock.now() - DEAD_KEPT;
        let (left, old) = store.old_dead_letters(before, DEAD_MAX, FORGOTTEN_AT_ONCE).await?;
        if !old.is_empty() {
            let writes = old.into_iter().map(Write::Forget).collect();
            store.commit(Tx { expect: Vec::new(), writes }).await?;
        }
        Ok(left)
    }

    /// Some of what waits for endpoints that there are no more becomes dead letters.
    async fn bury_strays(&mut self) {
        let some = self.strays.split_off(self.strays.len().saturating_sub(PER_COMMIT));
        if some.is_empty() {
            return;
        }
        let mut strays: Vec<Notification> = Vec::new();
        for key in &some {
            let kept = self.control.store.notification(key).ok().flatten();
            strays.extend(kept.filter(|kept| kept.state == NotificationState::Waiting));
        }
        for stray in &mut strays {
            stray.problem = Some("the configuration has no such endpoint".to_owned());
            stray.bury();
        }
        match keep(&self.control.store, &strays).await {
            Ok(()) => self.dead += strays.len(),
            // The next look finds them again.
            Err(error) => tracing::warn!(%error, "notifications without an endpoint still wait"),
        }
    }

    fn start_due(&mut self) {
        let now = self.control.clock.now();
        for (name, queue) in &mut self.queues {
            let Some(sender) = self.senders.get(name) else { continue };
            while let Some(key) = queue.next_due(now) {
                let (control, sender) = (Arc::clone(&self.control), Arc::clone(sender));
                self.running.spawn(async move {
                    let outcome = attempt(&control, &sender, &key).await;
                    (key, outcome)
                });
            }
        }
    }

    /// How long nothing is due, as far as it is known.
    fn pause(&self) -> Duration {
        if !self.strays.is_empty() {
            return Duration::ZERO;
        }
        let now = self.control.clock.now();
        let next = self.queues.values().filter_map(Queue::due).min();
        let due = next.map(|at| at.since(now).min(CLOCK_EVERY));
        let look = self.look_at.saturating_duration_since(Instant::now());
        due.map_or(look, |due| due.min(look))
    }

    /// Has everybody know how the endpoints stand.
    fn show(&self) {
        let (now, metrics) = (self.control.clock.now(), &self.control.metrics);
        let mut standings = BTreeMap::new();
        for (name, queue) in &self.queues {
            // Ids sort by time.
            let oldest = queue.jobs.first_key_value().map(|(_, due)| due.at);
            let (waiting, is_disabled) = (queue.jobs.len(), queue.is_disabled);
            let age = oldest.map_or(Duration::ZERO, |at| now.since(at));
            metrics.notifications_waiting(name, waiting, age, is_disabled);
            standings.insert(name.clone(), Standing { waiting, oldest, is_disabled });
        }
        metrics.notifications_dead(self.dead);
        *locked(&self.control.notifications.standings) = standings;
    }

    fn ended(&mut self, ended: Result<(NotificationKey, Outcome), JoinError>) {
        match ended {
            Ok((key, outcome)) => self.settle(&key, &outcome),
            Err(error) => self.recover(&error),
        }
    }

    fn settle(&mut self, key: &NotificationKey, outcome: &Outcome) {
        self.dead += usize::from(matches!(outcome, Outcome::Dead | Outcome::Gone));
        // None where the endpoint is gone from the configuration.
        let Some(queue) = self.queues.get_mut(&key.endpoint) else { return };
        queue.running.remove(key);
        match outcome {
            Outcome::Later(next) => {
                if let Some(due) = queue.jobs.get(key).copied() {
                    queue.put(key.clone(), Due { next: Some(*next), ..due });
                }
                return;
            }
            Outcome::Gone if !queue.is_disabled => {
                queue.is_disabled = true;
                tracing::warn!(
                    endpoint = key.endpoint,
                    "an endpoint answered 410 Gone: it is told nothing until the next start; take it out of the configuration"
                );
            }
            _ => {}
        }
        queue.jobs.remove(key);
    }

    /// A task that panicked does not say which it was: all that run are tried again.
    fn recover(&mut self, error: &JoinError) {
        if error.is_cancelled() {
            return;
        }
        tracing::error!(%error, "sending a notification was cut off");
        self.running.abort_all();
        let next = self.control.clock.now() + STORE_PAUSE;
        for queue in self.queues.values_mut() {
            for key in std::mem::take(&mut queue.running) {
                if let Some(due) = queue.jobs.get(&key).copied() {
                    queue.put(key, Due { next: Some(next), ..due });
                }
            }
        }
    }
}

impl Queue {
    /// Takes a notification in, or changes when it is due; one that is being sent is left to what comes of it.
    fn put(&mut self, key: NotificationKey, due: Due) {
        if self.running.contains(&key) {
            return;
        }
        if let Some(before) = self.jobs.insert(key.clone(), due) {
            self.due.remove(&(before.next.unwrap_or_default(), key.clone()));
        }
        self.due.insert((due.next.unwrap_or_default(), key));
    }

    fn forget(&mut self, call: crate::ids::CallId) {
        self.jobs.retain(|key, _| key.call != call);
        self.due.retain(|(_, key)| key.call != call);
    }

    /// The next that is to be sent now; it is under way from here on.
    fn next_due(&mut self, now: Timestamp) -> Option<NotificationKey> {
        if self.is_disabled || self.running.len() >= AT_ONCE || self.due.first()?.0 > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.running.insert(key.clone());
        Some(key)
    }

    /// When something is due that could be sent then.
    fn due(&self) -> Option<Timestamp> {
        let may_start = !self.is_disabled && self.running.len() < AT_ONCE;
        self.due.first().filter(|_| may_start).map(|(at, _)| *at)
    }
}

async fn attempt(control: &CallControl, sender: &Sender, key: &NotificationKey) -> Outcome {
    match try_once(control, sender, key).await {
        Ok(outcome) => outcome,
        // Erased while it was sent.
        Err(StoreError::Conflict { .. }) => Outcome::Done,
        Err(error) => {
            tracing::error!(endpoint = key.endpoint, id = %key.id, %error, "a notification must wait for the store");
            Outcome::Later(control.clock.now() + STORE_PAUSE)
        }
    }
}

async fn try_once(
    control: &CallControl,
    sender: &Sender,
    key: &NotificationKey,
) -> Result<Outcome, StoreError> {
    let (store, metrics) = (&control.store, &control.metrics);
    let kept = store.notification(key)?.filter(|kept| kept.state == NotificationState::Waiting);
    let Some(mut notification) = kept else { return Ok(Outcome::Done) };
    let lines = if notification.wants_lines() { store.lines(key.call).await? } else { Vec::new() };
    let body = notification.body(lines, sender.endpoint.content);
    let answer = send(control, sender, key, body).await;
    let status = answer.as_ref().ok().map(|answer| answer.status);
    if status.is_some_and(|status| (200..300).contains(&status)) {
        let taken = vec![Write::NotificationTaken(key.clone())];
        store.commit(Tx { expect: Vec::new(), writes: taken }).await?;
        metrics.notification(&key.endpoint, "delivered");
        return Ok(Outcome::Done);
    }
    let now = control.clock.now();
    let wanted = answer.as_ref().ok().and_then(|answer| retry_after(answer, now));
    let problem = match &answer {
        Ok(answer) => format!("status {}", answer.status),
        Err(problem) => excerpt(problem, PROBLEM_CHARS),
    };
    let [chance] = control.draw::<1>();
    notification.fail(problem, chance, wanted, now);
    if status == Some(GONE) {
        notification.bury();
    }
    keep(store, std::slice::from_ref(&notification)).await?;
    let outcome = match notification.next {
        Some(next) => Outcome::Later(next),
        None if status == Some(GONE) => Outcome::Gone,
        None => Outcome::Dead,
    };
    let is_dead = !matches!(outcome, Outcome::Later(_));
    metrics.notification(&key.endpoint, if is_dead { "dead" } else { "failed" });
    tracing::warn!(
        call = %key.call,
        endpoint = key.endpoint,
        id = %key.id,
        tries = notification.tries,
        problem = notification.problem,
        is_dead,
        "a notification was not taken"
    );
    Ok(outcome)
}

/// One request; the error is for a person.
async fn send(
    control: &CallControl,
    sender: &Sender,
    key: &NotificationKey,
    body: String,
) -> Result<Response, String> {
    let request = sender.request(&key.id, control.clock.now(), body).map_err(|error| error.to_string())?;
    sender.client.fetch_status(request, TRY_WITHIN).await.map_err(|error| error.to_string())
}

/// How long the receiver wants to be left alone (RFC 9110, "Retry-After": seconds, or a date).
fn retry_after(answer: &Response, now: Timestamp) -> Option<Duration> {
    let text = answer.header("retry-after")?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Timestamp::from_micros(u64::try_from(date.as_microsecond()).ok()?).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(retry_after: &str) -> Response {
        let headers = vec![("Retry-After".to_owned(), retry_after.to_owned())];
        Response { status: 503, headers, body: Vec::new() }
    }

    #[test]
    fn a_receiver_asks_for_a_pause_in_two_ways() {
        let now: Timestamp = "2026-11-18T11:06:40Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            ("Wed, 18 Nov 2026 11:07:40 GMT", Some(60)),
            ("Wed, 18 Nov 2026 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(&answer(text), now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
