//! Calls that an earlier process left: found at the start, and looked after again.
//!
//! The lists by state name them. Each is entered at once, so that whatever arrives for it waits until it has been
//! taken up; they are then taken up one after the other at a steady pace, a few at a time, callers without audio
//! first. A provider that was away with us is not stormed by a thousand calls, and a thousand are back within
//! seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::incoming::Beginnings;
use super::intake::Choice;
use super::registry::Mailbox;
use super::runner::{Left, Plan, Runner};
use super::{CallControl, Held};
use crate::call::Call;
use crate::call::event::{TakenUp, Verdict};
use crate::call::record::{CallRecord, Path, State};
use crate::call::resume::Remembered;
use crate::call::terms::Terms;
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::store::{By, CallQuery, PAGE_MAX, StoreError};

/// Between two calls: two thousand a second.
const PACE: Duration = Duration::from_micros(500);
/// How far a call strays from the pace, so that gateways that were started together do not keep step.
const JITTER_MAX_MICROS: u64 = 50_000;
/// How many calls are taken up, or asked about, at the same time.
pub(super) const AT_ONCE: usize = 64;

/// A call that an earlier process left.
struct Found {
    id: CallId,
    /// Nobody has noticed anything.
    is_heard: bool,
    route: Option<String>,
}

/// How a call is gone on with.
#[derive(Default)]
struct Ways {
    terms: Option<Terms>,
    plan: Option<Box<Plan>>,
    forward_to: Option<String>,
}

impl CallControl {
    /// Finds every call that an earlier process left and looks after it again. Gives how many there are; they are
    /// taken up beside what follows. To be called before anybody is let in.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the lists cannot be read.
    pub async fn take_up(self: &Arc<Self>) -> Result<usize, StoreError> {
        let mut found = Vec::new();
        for state in [State::Offered, State::Accepted, State::Dialing, State::Live] {
            self.find(state, &mut found).await?;
        }
        // Who hears nothing comes first; over SIP nobody has noticed anything.
        found.sort_by_key(|found| found.is_heard);
        let count = found.len();
        for (place, Found { id, route, .. }) in found.into_iter().enumerate() {
            let (_, mailbox) = self.registry.enter(id);
            let Some(mailbox) = mailbox else { continue };
            // One that was let in stays in, also where fewer are let in now, and is counted before anybody else is.
            let held = Held { place: Some(self.admission.readmit(route.as_deref())), trial: None };
            let [high, low] = self.entropy.bytes();
            let jitter = u64::from(u16::from_be_bytes([high, low])) % JITTER_MAX_MICROS;
            let pace = PACE.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
            let wait = pace + Duration::from_micros(jitter);
            self.runners.spawn(Arc::clone(self).resume(id, (mailbox, held), wait));
        }
        Ok(count)
    }

    async fn find(&self, state: State, found: &mut Vec<Found>) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let query = CallQuery { by: By::State(state), ..CallQuery::default() };
            let page = self.store.calls(query, after, PAGE_MAX).await?;
            let is_heard = |record: &CallRecord| record.state == State::Live && record.path == Path::Sip;
            found.extend(page.items.into_iter().map(|record| Found {
                id: record.id,
                is_heard: is_heard(&record),
                route: record.route,
            }));
            after = match page.next {
                Some(next) => Some(next),
                None => return Ok(()),
            };
        }
    }

    async fn resume(self: Arc<Self>, id: CallId, (mailbox, held): (Mailbox, Held), wait: Duration) {
        let waiting = async {
            tokio::time::sleep(wait).await;
            Arc::clone(&self.resuming).acquire_owned().await.ok()
        };
        let turn = tokio::select! {
            turn = waiting => turn,
            // The next process finds it as this one did.
            () = self.leaving.cancelled() => return,
        };
        match self.remembered(id, turn).await {
            Ok(Some((call, left))) => {
                self.metrics.call_taken_up(call.record.path);
                let mut runner = Runner::new(Arc::clone(&self), call, mailbox, held);
                // On the heap and soon gone: what is kept for the life of the call is the task of any call.
                Box::pin(runner.take_up(left)).await;
                self.runners.spawn(runner.run());
            }
            Ok(None) => {}
            Err(error) => {
                self.metrics.store_failed();
                tracing::error!(call = %id, %error, "a call of an earlier run cannot be read: it is not looked after");
            }
        }
    }

    /// What is kept of a call, and how it is gone on with.
    async fn remembered(
        &self,
        id: CallId,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Option<(Call, Left)>, StoreError> {
        let Some(record) = self.store.call(id)?.filter(|record| record.state != State::Ended) else {
            return Ok(None);
        };
        let lines = self.store.lines(id).await?;
        let tool_calls = self.store.tool_calls(id).await?;
        let now = self.clock.now();
        let ways = self.ways(&record, now).await;
        let how = TakenUp {
            is_fresh: self.is_fresh(&record, now),
            accept_within: self.accept_within(&record),
            repeatable: ways.plan.as_ref().map(|plan| repeatable(plan)).unwrap_or_default(),
        };
        let remembered = Remembered {
            record,
            lines: lines.clone(),
            tool_calls,
            terms: ways.terms,
            forward_to: ways.forward_to,
        };
        let mut call = Call::restore(remembered, now);
        call.expect_offer_within(self.webhook_within(&call.record));
        call.may_dial_plainly(self.rules().settings.is_plain_taken);
        Ok(Some((call, Left { plan: ways.plan, lines, how, turn })))
    }

    fn is_fresh(&self, record: &CallRecord, now: Timestamp) -> bool {
        record
            .stages
            .webhook_created
            .is_some_and(|created| now.since(created) <= self.rules().settings.stale_after)
    }

    /// The terms and the tools of a call over SIP, by the configuration of now.
    async fn ways(&self, record: &CallRecord, now: Timestamp) -> Ways {
        let is_dialing = record.state == State::Dialing;
        if record.path != Path::Sip || is_dialing {
            return Ways::default();
        }
        if record.state == State::Offered && self.is_fresh(record, now) {
            return self.ways_of_an_offer(record, now).await;
        }
        let name = record.session.as_deref().unwrap_or_default();
        let rules = self.rules();
        let Some(session) = rules.sessions.get(name) else {
            tracing::error!(call = %record.id, session = name, "the session of a live call does not exist any more: its tools are not answered");
            return Ways::default();
        };
        let beginnings = Beginnings::new(self.tools.current());
        let forward_to = match (record.state, &record.carrier) {
            (State::Accepted, None) => match self.choose_alone(record) {
                Choice::Forward { target, .. } => Some(target.to_string()),
                _ => None,
            },
            _ => None,
        };
        match self.answer(record, session, &record.vars, &beginnings, now) {
            Ok((terms, plan)) => Ways { terms: Some(terms), plan: Some(Box::new(plan)), forward_to },
            Err(why) => {
                tracing::error!(call = %record.id, session = name, why, "the session of a live call cannot be used");
                Ways::default()
            }
        }
    }

    /// The offer is on disk, and perhaps nobody was told to accept it: it is decided as it was then.
    async fn ways_of_an_offer(&self, record: &CallRecord, now: Timestamp) -> Ways {
        let headers =
            record.provider.as_ref().map(|provider| provider.sip_headers.clone()).unwrap_or_default();
        let mut choice = match record.carrier {
            Some(_) => self.choose_again(record),
            None => Ok(self.choose_alone(record)),
        };
        let beginnings = self.ask(record, &mut choice, &headers).await;
        match self.verdict(record, choice, &beginnings, now) {
            (Verdict::Answer(terms), plan) => Ways { terms: Some(*terms), plan, forward_to: None },
            (Verdict::Forward { target, terms }, plan) => {
                Ways { terms: Some(*terms), plan, forward_to: Some(target) }
            }
            (Verdict::Refuse { .. }, _) => Ways::default(),
        }
    }

    /// What the routes say of a call that came over a bare trunk.
    fn choose_alone(&self, record: &CallRecord) -> Choice {
        let headers = record.provider.as_ref().map(|provider| provider.sip_headers.as_slice());
        let then = record.stages.webhook_received.unwrap_or_default();
        self.choose(record.caller.as_deref(), record.callee.as_deref(), headers.unwrap_or_default(), then)
    }
}

fn repeatable(plan: &Plan) -> BTreeSet<String> {
    plan.toolbox.tools().filter(|tool| tool.may_repeat).map(|tool| tool.definition.name).collect()
}
