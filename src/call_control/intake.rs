//! Who is let in: the carrier's question what to do with a caller, and the provider's offer of a call.
//!
//! Both may come more than once; the same question gets the same answer, and an offered call is
//! decided once. An offer is joined to the carrier's call by our signed token, else by what a signed
//! callback told of the carrier's leg; what cannot be joined is routed on its own where the operator
//! allows bare SIP trunks, and turned away where not. The provider's accept is under way before the
//! webhook is on disk; the answer to the webhook waits for the disk.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::admission::{Overflow, Place, TooMany};
use super::answering::UNAVAILABLE;
use super::feed::News;
use super::incoming::Beginnings;
use super::order::{self, Again};
use super::paths::Way;
use super::registry::Message;
use super::{CallControl, DeliverError, Held};
use crate::call::consent::Consent;
use crate::call::event::{Event, Offer};
use crate::call::notification::Kind;
use crate::call::record::{CallRecord, Carrier, EndedReason, JoinedBy, Path};
use crate::call::{Beginning, Call};
use crate::clock::Timestamp;
use crate::ids::{CallId, CallSid, ProviderCallId, SipCallId, WebhookId};
use crate::phone::{CallingCode, PartyNumber, SipHeaders};
use crate::routing::{self, Action, Fallback, Recording, RejectCode, RejectReason, Target};
use crate::session::Session;
use crate::store::{Alias, Expect, Health, StoreError, Tx, Write};
use crate::wire::join_token;

/// The header in which Twilio names its own leg (observed; Twilio, "TwiML Voice: Sip", on custom headers).
const TWILIO_LEG_HEADER: &str = "X-Twilio-CallSid";

/// Who is refused because the machine is late waits this long for the disk at most.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// The carrier asks what to do with a caller.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The carrier's name.
    pub carrier: &'static str,
    /// The caller's leg.
    pub call_sid: CallSid,
    /// The account it belongs to.
    pub account_sid: String,
    /// Who calls.
    pub from: PartyNumber,
    /// The dialled number.
    pub to: PartyNumber,
    /// The leg's status in the carrier's words.
    pub status: String,
}

/// What the carrier shall do with the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialPlan {
    /// Dial the provider.
    Provider {
        /// Our id of the call, for the callbacks.
        call: CallId,
        /// Joins the provider's call to this one.
        token: String,
        /// What to show as the caller, where it is a number.
        caller: Option<String>,
        /// How long to dial, in seconds; none: as long as for any call.
        timeout_s: Option<u32>,
        /// Whether its sound is not to be encrypted, as the provider could not agree on that.
        is_plain: bool,
        /// How the call is recorded; none: it is not.
        recording: Option<Recording>,
    },
    /// Open a media stream to us, which we bridge to the provider.
    Bridge {
        /// Our id of the call, for the callbacks.
        call: CallId,
        /// Lets the stream into this call.
        token: String,
        /// How the call is recorded; none: it is not.
        recording: Option<Recording>,
    },
    /// Send the caller to somebody else.
    Forward {
        /// Our id of the call, for the callbacks.
        call: CallId,
        /// To whom.
        target: Target,
    },
    /// Turn the caller away unanswered.
    Reject(RejectReason),
    /// Tell the caller that nobody can answer.
    Apology,
    /// What the route does where no model is to be had.
    Fallback {
        /// Our id of the call, for the callbacks.
        call: CallId,
        /// What it does.
        fallback: Fallback,
    },
}

/// The provider offers a call: a verified webhook.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The provider's name.
    pub provider: &'static str,
    /// The delivery.
    pub webhook_id: WebhookId,
    /// The provider's id of the call.
    pub call_id: ProviderCallId,
    /// When the provider made the event.
    pub created: Timestamp,
    /// When it was read and verified.
    pub received: Timestamp,
    /// The INVITE's headers.
    pub sip_headers: SipHeaders,
}

/// What became of an offer. All of them are acknowledged to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is being looked after, and on disk.
    Taken,
    /// It came before.
    Duplicate,
    /// It is too old: the caller is gone.
    Stale,
}

/// Deliveries that are being decided now, so that their duplicates wait instead of being decided too.
#[derive(Default)]
pub(super) struct Deliveries {
    open: Mutex<HashSet<String>>,
    changed: Notify,
}

/// Names that one delivery is decided under; dropping it lets others look again.
pub(super) struct Claim<'a> {
    deliveries: &'a Deliveries,
    names: Vec<String>,
}

impl Deliveries {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits until nobody else decides about this delivery or the provider's call.
    async fn claim(&self, delivery: &Delivery) -> Claim<'_> {
        // The webhook's id and the call's: a second webhook for one call is a duplicate as well.
        self.claim_all(vec![format!("w/{}", delivery.webhook_id), format!("c/{}", delivery.call_id)]).await
    }

    /// Waits until nobody else decides what joins this call; only for who has claimed the delivery.
    pub(super) async fn claim_call(&self, call: CallId) -> Claim<'_> {
        self.claim_all(vec![format!("j/{call}")]).await
    }

    async fn claim_all(&self, names: Vec<String>) -> Claim<'_> {
        loop {
            let changed = self.changed.notified();
            {
                let mut open = self.lock();
                if names.iter().all(|name| !open.contains(name)) {
                    open.extend(names.iter().cloned());
                    return Claim { deliveries: self, names };
                }
            }
            changed.await;
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut open = self.deliveries.lock();
        for name in &self.names {
            open.remove(name);
        }
        drop(open);
        self.deliveries.changed.notify_waiters();
    }
}

/// What is to be done with a call, before it is put into a carrier's or a provider's words.
#[derive(Clone)]
pub(super) enum Choice {
    Answer { route: Option<String>, session: Arc<Session>, vars: BTreeMap<String, String> },
    Forward { route: Option<String>, target: Target },
    Reject { route: Option<String>, code: RejectCode },
    Apology { route: Option<String> },
    Stopping { route: Option<String> },
    TooMany { route: Option<String>, why: TooMany },
}

/// The carrier's call that an offer belongs to.
enum Join {
    To(CallId, JoinedBy),
    Refused(String),
    Alone,
}

impl CallControl {
    /// Decides what the carrier shall do with a caller, and keeps the call. The same question again
    /// gets the same answer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the call cannot be kept: the carrier then goes on to its fallback.
    pub async fn carrier_asked(self: &Arc<Self>, asked: Asked) -> Result<DialPlan, StoreError> {
        let alias = Alias::Carrier(asked.call_sid.clone());
        loop {
            if let Some(id) = self.store.call_by_alias(&alias)?
                && let Some(record) = self.store.call(id)?
            {
                return Ok(self.plan_again(&record));
            }
            match self.new_call(&asked, &alias).await {
                // The same question was asked at the same time, and was faster.
                Err(StoreError::Conflict { .. }) => continue,
                other => return other,
            }
        }
    }

    async fn new_call(self: &Arc<Self>, asked: &Asked, alias: &Alias) -> Result<DialPlan, StoreError> {
        self.refuse_when_full()?;
        let now = self.clock.now();
        let caller = asked.from.as_str().map(str::to_owned);
        let callee = asked.to.as_str().map(str::to_owned);
        let mut choice = self.choose(caller.as_deref(), callee.as_deref(), &[], now);
        // A caller without a number is drawn anew with every call.
        let drawn = caller.as_deref().unwrap_or(asked.call_sid.as_str());
        let way = self.way(&mut choice, drawn, true);
        let place = self.take_place(&mut choice, caller.as_deref());
        let way = way.filter(|_| matches!(choice, Choice::Answer { .. }));
        let mut call = Call::begin(Beginning {
            id: CallId::new(now, self.entropy.bytes()),
            path: way.as_ref().map_or(Path::None, |way| way.path),
            caller,
            callee,
            route: choice.route().cloned(),
            carrier: Some(carrier_of(asked, self.rules().settings.leg_limit_s)),
            carrier_asked: Some(now),
            vars: choice.vars(),
            other_path: way.as_ref().and_then(|way| way.other),
            avoided: way.as_ref().and_then(|way| way.avoided),
        });
        call.expect_offer_within(self.webhook_within(&call.record));
        call.may_dial_plainly(self.rules().settings.is_plain_taken);
        if let Choice::Answer { route: Some(route), .. } = &choice {
            call.record.consent = self.rules().settings.routes.recording_of(route).map(Recording::consent);
        }
        if let Some((reason, detail)) = choice.ends_with() {
            call.end_at_the_door(reason, detail, now);
            self.metrics.call_ended(call.record.route.as_deref(), reason.as_str(), None);
        }
        let id = call.record.id;
        let mut writes = vec![Write::Call(Box::new(call.record.clone())), Write::Alias(alias.clone(), id)];
        writes.extend(self.notify(Kind::CallStarted, &call.record, None));
        if call.is_over() {
            writes.extend(self.notify_ended(&call.record));
        }
        let landing = self.notifications.landing(&writes);
        let kept = self.store.commit(Tx { expect: vec![Expect::AliasFree(alias.clone())], writes });
        match &choice {
            // Perhaps it is the disk that is late: then this is written when it can be, and answered now.
            Choice::TooMany { why: TooMany::Behind(_), .. } => match timeout(REFUSED_WITHIN, kept).await {
                Ok(kept) => kept?,
                Err(_) => {
                    self.tell_turned_away(&call.record);
                    return Ok(DialPlan::Reject(RejectReason::Busy));
                }
            },
            _ => kept.await?,
        };
        landing.landed();
        self.feed.publish([News::Call(Box::new(call.record.clone()))]);
        let plan = self.dial_plan(&call.record, choice);
        match call.is_over() {
            true => self.tell_turned_away(&call.record),
            false => self.look_after(call, Held { place, trial: way.and_then(|way| way.trial) }),
        }
        Ok(plan)
    }

    /// The answer that was given before: the same question at the same moment has the same answer.
    fn plan_again(&self, record: &CallRecord) -> DialPlan {
        match Again::of(record) {
            Again::Way => return self.provider_plan(record),
            Again::Overflow => return self.overflow_plan(record),
            Again::Fallback => return self.fallback_plan(record),
            Again::Route => {}
        }
        let then = record.stages.carrier_asked.unwrap_or_default();
        let mut choice = self.choose(record.caller.as_deref(), record.callee.as_deref(), &[], then);
        // There was no way to a model then.
        if let Choice::Answer { route, .. } = &mut choice {
            choice = Choice::Apology { route: route.take() };
        }
        self.dial_plan(record, choice)
    }

    fn dial_plan(&self, record: &CallRecord, choice: Choice) -> DialPlan {
        match choice {
            Choice::Answer { .. } => self.provider_plan(record),
            Choice::Forward { target, .. } => DialPlan::Forward { call: record.id, target },
            Choice::Reject { code, .. } => DialPlan::Reject(code.reason()),
            Choice::Apology { .. } => DialPlan::Apology,
            Choice::Stopping { .. } => self.fallback_plan(record),
            Choice::TooMany { .. } => self.overflow_plan(record),
        }
    }

    /// What those get who are one too many.
    fn overflow_plan(&self, record: &CallRecord) -> DialPlan {
        match self.rules().settings.admission.overflow {
            Overflow::Busy => DialPlan::Reject(RejectReason::Busy),
            Overflow::Fallback => self.fallback_plan(record),
        }
    }

    fn fallback_plan(&self, record: &CallRecord) -> DialPlan {
        DialPlan::Fallback { call: record.id, fallback: self.fallback(record) }
    }

    /// The way to the model that the call goes now.
    pub(super) fn provider_plan(&self, record: &CallRecord) -> DialPlan {
        let announced = record.consent.as_ref().map_or(Duration::ZERO, Consent::spoken_within);
        let (attempt, since) = order::attempt_of(record, announced);
        let rules = self.rules();
        let token = self.join_key.mint(record.id, attempt, since + rules.settings.join_within);
        let recording = order::recording_on(record);
        let is_plain = record.carrier.as_ref().is_some_and(|carrier| carrier.is_plain);
        // Somebody who can still be brought to the model another way need not wait long for this one.
        let failover = rules.settings.failover.as_ref().filter(|_| record.other_path.is_some());
        match record.path {
            Path::MediaStreams => DialPlan::Bridge { call: record.id, token, recording },
            Path::Sip | Path::None => {
                let timeout_s = failover.map(|failover| failover.dial_timeout_s);
                let caller = record.caller.clone();
                DialPlan::Provider { call: record.id, token, caller, timeout_s, is_plain, recording }
            }
        }
    }

    /// Takes an offer of the provider: joined, decided once, answered and on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`DeliverError`] when it cannot be kept: the provider then delivers it again.
    pub async fn provider_offered(self: &Arc<Self>, delivery: Delivery) -> Result<Offered, DeliverError> {
        let now = self.clock.now();
        let _claim = self.deliveries.claim(&delivery).await;
        let alias = Alias::ProviderCall(delivery.call_id.clone());
        if self.store.webhook_seen(&delivery.webhook_id)? || self.store.call_by_alias(&alias)?.is_some() {
            return Ok(Offered::Duplicate);
        }
        let join = self.join(&delivery, now)?;
        let is_stale = order::is_stale(delivery.created, now, self.rules().settings.stale_after);
        if is_stale && !self.is_waited_for(&join, delivery.created)? {
            return Ok(Offered::Stale);
        }
        if let Err(error) = self.refuse_when_full() {
            // The caller must not ring into nothing while the provider tries again.
            if let Err(why) = self.rules().openai.reject(&delivery.call_id, UNAVAILABLE).await {
                tracing::warn!(why, "a call that cannot be kept could not be rejected");
            }
            return Err(error.into());
        }
        let _joining;
        let (id, message) = match join {
            Join::To(call, joined_by) => {
                // Two INVITEs may show the same token at the same time.
                _joining = self.deliveries.claim_call(call).await;
                match self.waiting(call)? {
                    Ok(record) if record.path != Path::Sip => {
                        (call, self.offer_late(&record, delivery, joined_by, now))
                    }
                    Ok(record) => {
                        let mut choice = self.choose_again(&record);
                        let headers = delivery.sip_headers.as_slice();
                        let beginnings = self.ask(&record, &mut choice, headers).await;
                        (call, self.offer(&record, delivery, joined_by, choice, beginnings, now))
                    }
                    Err(why) => self.offer_alone(delivery, Err(why.to_owned()), now).await,
                }
            }
            Join::Refused(why) => self.offer_alone(delivery, Err(why), now).await,
            Join::Alone => self.offer_alone(delivery, Ok(()), now).await,
        };
        self.deliver(id, message).await?;
        Ok(Offered::Taken)
    }

    /// Begins a call of its own for an offer that belongs to no call of the carrier.
    async fn offer_alone(
        self: &Arc<Self>,
        delivery: Delivery,
        admitted: Result<(), String>,
        now: Timestamp,
    ) -> (CallId, (Message, super::registry::Done)) {
        let headers = &delivery.sip_headers;
        let caller = headers.caller(self.country()).as_str().map(str::to_owned);
        let callee = headers.called_number(&self.rules().settings.called_number_headers, self.country());
        let callee = callee.map(|number| number.as_str().to_owned());
        let mut choice =
            admitted.map(|()| self.choose(caller.as_deref(), callee.as_deref(), headers.as_slice(), now));
        if let Ok(choice) = &mut choice {
            self.way(choice, caller.as_deref().unwrap_or(delivery.call_id.as_str()), false);
        }
        let place = choice.as_mut().ok().and_then(|choice| self.take_place(choice, caller.as_deref()));
        let call = Call::begin(Beginning {
            id: CallId::new(now, self.entropy.bytes()),
            path: Path::Sip,
            caller,
            callee,
            route: choice.as_ref().ok().and_then(|choice| choice.route().cloned()),
            carrier: None,
            carrier_asked: None,
            vars: choice.as_ref().map(Choice::vars).unwrap_or_default(),
            other_path: None,
            avoided: None,
        });
        let beginnings = self.ask(&call.record, &mut choice, delivery.sip_headers.as_slice()).await;
        let mut message = self.offer(&call.record, delivery, JoinedBy::None, choice, beginnings, now);
        message.0.writes.extend(self.notify(Kind::CallStarted, &call.record, None));
        let id = call.record.id;
        self.look_after(call, Held { place, trial: None });
        (id, message)
    }

    /// The offer of a call that went on over another path meanwhile: nobody need be asked what to do with it.
    fn offer_late(
        &self,
        record: &CallRecord,
        delivery: Delivery,
        joined_by: JoinedBy,
        now: Timestamp,
    ) -> (Message, super::registry::Done) {
        let beginnings = Beginnings::new(self.tools.current());
        self.offer(record, delivery, joined_by, Err("it comes too late".to_owned()), beginnings, now)
    }

    /// Puts what was decided into the words of the call.
    fn offer(
        &self,
        record: &CallRecord,
        delivery: Delivery,
        joined_by: JoinedBy,
        choice: Result<Choice, String>,
        beginnings: Beginnings,
        now: Timestamp,
    ) -> (Message, super::registry::Done) {
        let (verdict, plan) = self.verdict(record, choice, &beginnings, now);
        let writes = vec![
            Write::Alias(Alias::ProviderCall(delivery.call_id.clone()), record.id),
            Write::Webhook { id: delivery.webhook_id.clone(), seen: delivery.received },
        ];
        let offer = Offer {
            path: Path::Sip,
            provider: delivery.provider,
            call_id: delivery.call_id,
            webhook_id: delivery.webhook_id,
            created: delivery.created,
            received: delivery.received,
            joined_by,
            sip_headers: delivery.sip_headers.as_slice().to_vec(),
            verdict,
            hooks: beginnings.hooks,
            accept_within: self.accept_within(record),
        };
        let (mut message, done) = Message::durable(Event::Offered(Box::new(offer)), writes);
        message.plan = plan;
        (message, done)
    }

    // === joining ===

    fn join(&self, delivery: &Delivery, now: Timestamp) -> Result<Join, StoreError> {
        let headers = &delivery.sip_headers;
        if let Some(token) = headers.first(join_token::HEADER) {
            return match self.join_key.verify(token, now) {
                Ok(joined) => Ok(Join::To(joined.call_id, JoinedBy::Token)),
                Err(refusal) => Ok(Join::Refused(format!("join token refused: {refusal}"))),
            };
        }
        let leg = headers.first(TWILIO_LEG_HEADER).map(|sid| Alias::CarrierLeg(CallSid::from(sid)));
        let sip = headers.first("Call-ID").map(|id| Alias::SipCallId(SipCallId::from(id)));
        for (alias, joined_by) in
            [(leg, JoinedBy::CallSid), (sip, JoinedBy::SipCallId)].into_iter().filter_map(known)
        {
            if let Some(id) = self.store.call_by_alias(&alias)? {
                return Ok(Join::To(id, joined_by));
            }
        }
        if self.rules().settings.direct_sip {
            return Ok(Join::Alone);
        }
        Ok(Join::Refused("no join token, and `server.direct_sip` is off".to_owned()))
    }

    /// The carrier's call, if it waits for the provider's, or did until it went on over another path; else why
    /// it does not.
    fn waiting(&self, id: CallId) -> Result<Result<CallRecord, &'static str>, StoreError> {
        Ok(order::awaits_offer(self.store.call(id)?))
    }

    fn is_waited_for(&self, join: &Join, created: Timestamp) -> Result<bool, StoreError> {
        match join {
            Join::To(call, _) => {
                Ok(self.waiting(*call)?.is_ok_and(|record| order::is_waited_for(&record, created)))
            }
            Join::Refused(_) | Join::Alone => Ok(false),
        }
    }

    // === choosing ===

    pub(super) fn choose(
        &self,
        caller: Option<&str>,
        callee: Option<&str>,
        headers: &[(String, String)],
        now: Timestamp,
    ) -> Choice {
        let rules = self.rules();
        let decision =
            rules.settings.routes.decide(&routing::Asked { from: caller, to: callee, headers, now });
        let route = decision.route.map(str::to_owned);
        match decision.action {
            Action::Reject(code) => Choice::Reject { route, code: *code },
            Action::Forward(target) => Choice::Forward { route, target: target.clone() },
            Action::Answer { session, vars } => match rules.sessions.get(session) {
                Some(session) => Choice::Answer { route, session: Arc::clone(session), vars: vars.clone() },
                // The configuration was checked; a session that is gone all the same is no reason to panic.
                None => Choice::Apology { route },
            },
        }
    }

    /// What was decided when the carrier asked; the room for the call was taken then.
    pub(super) fn choose_again(&self, record: &CallRecord) -> Result<Choice, String> {
        let then = record.stages.carrier_asked.unwrap_or_default();
        let asked = routing::Asked {
            from: record.caller.as_deref(),
            to: record.callee.as_deref(),
            headers: &[],
            now: then,
        };
        let rules = self.rules();
        let decision = rules.settings.routes.decide(&asked);
        let Action::Answer { session, vars } = decision.action else {
            return Err("its route does not answer any more".to_owned());
        };
        let session = rules.sessions.get(session).ok_or("its session does not exist any more")?;
        Ok(Choice::Answer { route: record.route.clone(), session: Arc::clone(session), vars: vars.clone() })
    }

    /// How the audio of an answered call will reach the model; a call without a way hears the apology.
    fn way(&self, choice: &mut Choice, caller: &str, has_stream: bool) -> Option<Way> {
        let Choice::Answer { route, .. } = choice else { return None };
        let way =
            self.paths.choose(&self.rules().settings, route.as_deref(), caller, has_stream, Instant::now());
        if way.is_none() {
            *choice = Choice::Apology { route: route.take() };
        }
        way
    }

    /// How long an accept may take, where a caller can be brought to the model another way.
    pub(super) fn accept_within(&self, record: &CallRecord) -> Option<Duration> {
        let rules = self.rules();
        let failover = rules.settings.failover.as_ref().filter(|_| record.path == Path::Sip)?;
        record.other_path.map(|_| failover.accept_within)
    }

    /// How long the provider's webhook may take, where a caller can be brought to the model another way and there
    /// is a way to end the leg that nobody offers.
    pub(super) fn webhook_within(&self, record: &CallRecord) -> Option<Duration> {
        let rules = self.rules();
        let failover = rules.settings.failover.as_ref().filter(|_| record.path == Path::Sip)?;
        rules.carrier.as_ref().and(record.other_path)?;
        Some(failover.webhook_within)
    }

    /// Takes the place that an answered call needs; who gets none is one too many. A gateway that is being stopped
    /// has none.
    fn take_place(&self, choice: &mut Choice, caller: Option<&str>) -> Option<Place> {
        let Choice::Answer { route, .. } = choice else { return None };
        if self.closing.is_cancelled() {
            *choice = Choice::Stopping { route: route.take() };
            return None;
        }
        let rules = &self.rules().settings;
        let (limits, now) = (&rules.admission, Instant::now());
        match self.admission.admit(limits, &rules.routes, route.as_deref(), caller, now) {
            Ok(place) => Some(place),
            Err(why) => {
                self.metrics.call_refused(why.as_str());
                *choice = Choice::TooMany { route: route.take(), why };
                None
            }
        }
    }

    fn refuse_when_full(&self) -> Result<(), StoreError> {
        match self.store.health() {
            Health::Ok => Ok(()),
            Health::Full { free_bytes, needed_bytes } => Err(StoreError::Full { free_bytes, needed_bytes }),
            Health::Poisoned { reason } => Err(StoreError::Poisoned { reason }),
        }
    }

    pub(super) fn country(&self) -> CallingCode {
        self.rules().settings.default_country
    }
}

impl Choice {
    fn route(&self) -> Option<&String> {
        match self {
            Choice::Answer { route, .. }
            | Choice::Forward { route, .. }
            | Choice::Reject { route, .. }
            | Choice::Apology { route }
            | Choice::Stopping { route }
            | Choice::TooMany { route, .. } => route.as_ref(),
        }
    }

    fn vars(&self) -> BTreeMap<String, String> {
        match self {
            Choice::Answer { vars, .. } => vars.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Why the call is over before it began; none when a model will answer.
    fn ends_with(&self) -> Option<(EndedReason, Option<String>)> {
        match self {
            Choice::Answer { .. } => None,
            Choice::Forward { .. } => Some((EndedReason::Forwarded, None)),
            Choice::Reject { code, .. } => Some((EndedReason::Rejected, Some(format!("SIP {}", code.get())))),
            Choice::Apology { .. } => Some((EndedReason::Apology, None)),
            Choice::Stopping { .. } => Some((EndedReason::Stopping, None)),
            Choice::TooMany { why, .. } => Some((EndedReason::Busy, Some(why.to_string()))),
        }
    }
}

fn carrier_of(asked: &Asked, time_limit_s: Option<u32>) -> Carrier {
    let asking = Carrier::asking(asked.carrier, asked.call_sid.clone(), &asked.account_sid, &asked.status);
    Carrier { time_limit_s, ..asking }
}

fn known((alias, joined_by): (Option<Alias>, JoinedBy)) -> Option<(Alias, JoinedBy)> {
    alias.map(|alias| (alias, joined_by))
}
