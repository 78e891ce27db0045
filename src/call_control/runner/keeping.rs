//! What a call keeps: when it is written, what waits for it, and what follows once it is on disk.

use std::pin::Pin;

use tokio::sync::oneshot;

use super::Runner;
use super::words::unavailable;
use crate::call::event::{CommandId, Event, Keep, ProviderCommand};
use crate::call_control::feed::News;
use crate::call_control::order::{self, Waited};
use crate::clock::{Clock as _, Timestamp};
use crate::store::{Committed, StoreError, Tx, Write};

/// A commit on its way to the disk, and what waits for it.
pub(super) type Commit = Pin<Box<dyn Future<Output = Landed> + Send>>;

/// What waits until everything up to here is on disk.
pub(super) type Waiting = order::Waiting<oneshot::Sender<Result<(), StoreError>>>;

/// A commit that is on disk, or will never be.
pub(super) struct Landed {
    result: Result<Committed, StoreError>,
    waiting: Waiting,
    writes: Vec<Write>,
    /// It had the call's record, too, and nobody watched when it was submitted.
    has_unshown: bool,
    cost_usd: Option<f64>,
}

impl Runner {
    pub(super) fn keep(&mut self, keep: Keep, now: Timestamp) {
        self.gathered.keep(&keep);
        match &keep {
            Keep::Line(line) => self.follow(line),
            // What was acknowledged was counted when it was answered.
            Keep::ToolCall(record) if !record.acknowledged => {
                if let Some(outcome) = record.outcome {
                    let tool = self.label(&record.name);
                    self.control.metrics.tool_call(tool, outcome.as_str(), now.since(record.requested));
                }
            }
            _ => {}
        }
        self.batch.keep(self.call.record.id, keep);
    }

    pub(super) fn say(&mut self, commands: impl IntoIterator<Item = (CommandId, ProviderCommand)>) {
        if let Some(link) = &mut self.link {
            commands.into_iter().for_each(|(id, command)| link.send(id, command));
        }
    }

    /// Writes what there is to write, or leaves it to wait for company where nobody waits for it.
    pub(super) async fn commit(&mut self, waiting: Waiting) {
        if !waiting.is_nobody() {
            self.batch.hurry();
        }
        if self.is_batch_due() {
            self.write(waiting).await;
        }
    }

    pub(super) fn is_batch_due(&mut self) -> bool {
        self.batch.is_due(self.time.now())
    }

    /// Writes what there is to write.
    pub(super) async fn write(&mut self, waiting: Waiting) {
        let (writes, has_record) = self.batch.take_beside();
        if writes.is_empty() && !has_record && waiting.is_nobody() {
            return;
        }
        let mut tx = Tx { expect: Vec::new(), writes };
        let cost_usd = self.call.record.cost_usd;
        let landing = self.control.notifications.landing(&tx.writes);
        let record = has_record.then_some(&self.call.record);
        let submitted = self.control.store.submit_with(&tx, record).await;
        let is_shown = self.control.feed.is_followed();
        tx.writes.extend(record.filter(|_| is_shown).map(|record| Write::Call(Box::new(record.clone()))));
        let has_unshown = has_record && !is_shown;
        let landed = move |result| Landed { result, waiting, writes: tx.writes, has_unshown, cost_usd };
        self.commits.push(match submitted {
            Ok(receipt) => Box::pin(async move { landed(receipt.await.inspect(|_| landing.landed())) }),
            Err(error) => Box::pin(std::future::ready(landed(Err(error)))),
        });
    }

    pub(super) async fn on_landed(&mut self, landed: Landed) {
        let Landed { result, waiting, mut writes, has_unshown, cost_usd } = landed;
        if let Err(error) = &result {
            self.control.metrics.store_failed();
            tracing::error!(call = %self.call.record.id, error = %error, "a call could not be kept");
        }
        let is_kept = result.is_ok();
        if is_kept {
            if has_unshown && self.control.feed.is_followed() {
                // Somebody has begun to watch since: what is on disk is what is told.
                let stored = self.control.store.call(self.call.record.id).ok().flatten();
                writes.extend(stored.map(|record| Write::Call(Box::new(record))));
            }
            self.control.feed.publish(writes.into_iter().filter_map(|write| News::of(write, cost_usd)));
        }
        if let Some(done) = waiting.done {
            // Nobody waits any more: the request that wanted to know was given up.
            let _ = done.send(result.map(|_| ()));
        }
        for _ in 0..waiting.releases {
            let ready = self.outbox.landed();
            self.say(ready);
        }
        for call in waiting.tools {
            match Waited::for_commit(&self.call, &call.id, is_kept) {
                Waited::Run => {
                    self.outbox.runs_once(call.id.clone());
                    self.run_tool(call);
                }
                Waited::Refuse => {
                    Box::pin(self.on_event(Event::ToolFinished(unavailable(&call)))).await;
                }
                Waited::Forget => {}
            }
        }
    }
}
