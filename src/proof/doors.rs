//! The doors of the gateway: requests of the vendors, and when they are answered.
//!
//! This mirrors `call_control/intake.rs`, `afterwards.rs` and `streams.rs` where they wait and claim; what they decide
//! comes from [`order`].

use std::time::Duration;

use super::Broken;
use super::disk::Refused;
use super::house::{number_of, route_of};
use super::keeper::Message;
use super::process::{STALE_AFTER, accept_within};
use super::provider::name_of;
use super::terms::{other_path_of, path_of, terms_of};
use super::world::{Deed, World};
use crate::call::consent::Consent;
use crate::call::event::{CarrierEvent, Event, FromHooks, Offer, Verdict};
use crate::call::record::{CallRecord, Carrier, EndedReason, JoinedBy, Path, State};
use crate::call::{Beginning, Call};
use crate::call_control::admission::{Overflow, Place, TooMany};
use crate::call_control::order::{self, Afterwards, Again, Left};
use crate::clock::Timestamp;
use crate::ids::{CallId, CallSid, ProviderCallId, RecordingId, WebhookId};
use crate::routing::Recording;
use crate::store::{Alias, Expect, Tx, Write};

/// How long a join token holds.
const JOIN_WITHIN: Duration = Duration::from_secs(90);
/// How long a vendor waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What a vendor gets.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Told(Told),
    Ok,
    /// 503.
    Failed,
    /// The connection broke, or nothing came in time.
    Lost,
}

/// What the carrier is told to do with a caller.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Dial { call: CallId, token: String, recording: Option<Recording> },
    Stream { call: CallId, token: String, recording: Option<Recording> },
    Forward,
    Fallback,
    Busy,
    HangUp,
    Later,
}

/// What the provider's webhook says.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub session: u32,
    pub caller: u32,
    pub webhook: WebhookId,
    pub created: Timestamp,
    pub token: String,
}

/// What a request is about.
pub(super) type Door = Box<dyn FnOnce(&mut World, u64)>;

impl World {
    // === requests ===

    /// A request of a vendor to the gateway; `then` is told what came of it.
    pub(super) fn post(
        &mut self,
        door: impl FnOnce(&mut World, u64) + 'static,
        then: impl FnOnce(&mut World, Answer) + 'static,
    ) {
        let request = self.number();
        self.requests.insert(request, Box::new(then));
        let there = self.chance.millis(2, 40);
        self.after(there, move |world| world.arrive(request, Box::new(door)));
        self.after(ANSWER_WITHIN, move |world| world.resolve(request, Answer::Lost));
    }

    /// A request is there: at the door, or in the socket of a process that makes place for the next one.
    pub(super) fn arrive(&mut self, request: u64, door: Door) {
        match &mut self.process {
            Some(process) if !process.is_shut => {
                process.requests.insert(request);
                door(self, request);
            }
            None if !self.is_handing_over => self.resolve(request, Answer::Lost),
            _ => self.backlog.push((request, door)),
        }
    }

    /// The gateway answers.
    pub(super) fn answer(&mut self, request: u64, answer: Answer) {
        if let Some(process) = &mut self.process {
            process.requests.remove(&request);
        }
        let is_lost = self.chance.permille(self.weather.answer_lost);
        let back = self.chance.millis(2, 40);
        self.after(back, move |world| world.resolve(request, if is_lost { Answer::Lost } else { answer }));
    }

    /// What a vendor learns of its request, once.
    pub(super) fn resolve(&mut self, request: u64, answer: Answer) {
        if let Some(then) = self.requests.remove(&request) {
            then(self, answer);
        }
    }

    /// Waits until nobody else decides under one of these names.
    pub(super) fn claim(&mut self, names: Vec<String>, deed: Deed) {
        let Some(process) = &mut self.process else { return };
        let taken = names.iter().find(|name| process.claims.contains_key(*name)).cloned();
        if let Some(waiters) = taken.and_then(|name| process.claims.get_mut(&name)) {
            return waiters.push(Box::new(move |world| world.claim(names, deed)));
        }
        for name in names {
            process.claims.insert(name, Vec::new());
        }
        deed(self);
    }

    pub(super) fn release(&mut self, names: &[String]) {
        let Some(process) = &mut self.process else { return };
        let waiters: Vec<Deed> =
            names.iter().filter_map(|name| process.claims.remove(name)).flatten().collect();
        let incarnation = self.incarnation;
        for waiter in waiters {
            self.after(Duration::ZERO, move |world| {
                if world.incarnation == incarnation {
                    waiter(world);
                }
            });
        }
    }

    // === the carrier asks ===

    /// What to do with a caller?
    pub(super) fn voice(&mut self, request: u64, caller: u32, status: &'static str) {
        let alias = Alias::Carrier(sid_of(caller));
        let known = self.disk.books.aliases.get(&alias).copied();
        if let Some(record) = known.and_then(|id| self.disk.record(id)) {
            if order::came_back(&record, status) {
                let event = CarrierEvent::AsksAgain { caller_status: status.to_owned() };
                return self.way_over(request, record.id, event, record.path);
            }
            let told = self.told(&record);
            return self.answer(request, Answer::Told(told));
        }
        if self.disk.is_full || self.disk.is_poisoned {
            return self.answer(request, Answer::Failed);
        }
        let now = self.gateway_now();
        let id = CallId::new(now, self.ten_bytes());
        let place = self.take_place(id, caller);
        let is_in = place.is_ok();
        let beginning = move || Beginning {
            id,
            path: if is_in { path_of(caller) } else { Path::None },
            caller: Some(number_of(caller)),
            callee: Some("+81312345678".to_owned()),
            route: Some(route_of(caller).to_owned()),
            carrier: Some(carrier_of(caller, status)),
            carrier_asked: Some(now),
            vars: Default::default(),
            other_path: other_path_of(caller).filter(|_| is_in),
            avoided: None,
        };
        let consent = self.house.recording_of(caller).filter(|_| is_in).map(|how| how.consent());
        let begin = move || {
            let mut call = Call::begin(beginning());
            call.record.consent = consent.clone();
            call
        };
        let mut call = begin();
        let place = match place {
            Ok(place) => Some(place),
            Err(why) => {
                let reason = if why.is_some() { EndedReason::Busy } else { EndedReason::Stopping };
                call.end_at_the_door(reason, why.map(|why| why.to_string()), now);
                None
            }
        };
        let (record, is_over) = (call.record.clone(), call.is_over());
        let writes = vec![Write::Call(Box::new(record.clone())), Write::Alias(alias.clone(), id)];
        let tx = Tx { expect: vec![Expect::AliasFree(alias)], writes };
        let incarnation = self.incarnation;
        self.calls.insert(id, caller);
        self.submit(
            tx,
            Box::new(move |world, result| {
                if world.incarnation != incarnation {
                    return;
                }
                world.law.entered(id);
                match result {
                    Err(Refused::Conflict) => world.voice(request, caller, status),
                    Err(Refused::Poisoned) => world.answer(request, Answer::Failed),
                    Ok(()) => {
                        let told = world.told(&record);
                        world.law_acknowledged_call(id, caller);
                        world.answer(request, Answer::Told(told));
                        if !is_over {
                            world.look_after(begin(), caller, place);
                        }
                    }
                }
            }),
        );
    }

    /// Takes the place that an answered call needs; else why there is none, nothing where the gateway is being stopped.
    fn take_place(&mut self, id: CallId, caller: u32) -> Result<Place, Option<TooMany>> {
        let process = self.process.as_ref().filter(|process| !process.is_closing).ok_or(None)?;
        let (limits, routes, now) = (&self.house.admission, &self.house.routes, self.instant());
        let (route, number) = (route_of(caller), number_of(caller));
        let place = process.admission.admit(limits, routes, Some(route), Some(&number), now);
        self.law_admitted(id, caller, place.as_ref().err());
        place.map_err(Some)
    }

    /// What a caller is told: the way that the call goes now, or what those get who were not let in.
    fn told(&self, record: &CallRecord) -> Told {
        let overflow = match self.house.admission.overflow {
            Overflow::Busy if self.broken != Some(Broken::OverflowForgotten) => Told::Busy,
            _ => Told::Fallback,
        };
        match Again::of(record) {
            Again::Way => self.way(record),
            Again::Overflow => overflow,
            Again::Fallback | Again::Route => Told::Fallback,
        }
    }

    fn way(&self, record: &CallRecord) -> Told {
        let call = record.id;
        let announced = record.consent.as_ref().map_or(Duration::ZERO, Consent::spoken_within);
        let (attempt, since) = order::attempt_of(record, announced);
        let token = self.join_key.mint(call, attempt, since + JOIN_WITHIN);
        let recording = match self.broken {
            Some(Broken::ToldNothing) => order::recording_on(record).map(|_| Recording::default()),
            Some(Broken::RecordedAnyway) => Some(Recording::default()),
            _ => order::recording_on(record),
        };
        match record.path {
            Path::Sip => Told::Dial { call, token, recording },
            Path::MediaStreams => Told::Stream { call, token, recording },
            Path::None => Told::Fallback,
        }
    }

    /// A dial is over, and names its recording: what becomes of the caller?
    pub(super) fn dial_over_told(
        &mut self,
        request: u64,
        call: CallId,
        event: CarrierEvent,
        named: Option<RecordingId>,
    ) {
        let told = move |world: &mut World, is_kept| match is_kept {
            true => world.way_over(request, call, event, Path::Sip),
            false => world.answer(request, Answer::Failed),
        };
        self.named(call, named, Box::new(told));
    }

    /// A way is over: what becomes of the caller?
    pub(super) fn way_over(&mut self, request: u64, call: CallId, event: CarrierEvent, over: Path) {
        if let Some(process) = self.process.as_mut().filter(|process| process.left != Left::None)
            && matches!(event, CarrierEvent::StreamEnded { .. })
        {
            process.sent_on += 1;
            return self.answer(request, Answer::Told(Told::Later));
        }
        let writes = order::aliases_of(call, &event);
        let mut message = Message::new(Event::Carrier(event));
        message.writes = writes;
        message.done = Some(Box::new(move |world, is_kept| {
            let Some(record) = world.disk.record(call).filter(|_| is_kept) else {
                return world.answer(request, Answer::Failed);
            };
            let told = match Afterwards::of(&record, over) {
                Afterwards::HangUp => Told::HangUp,
                Afterwards::Forward(_) => Told::Forward,
                Afterwards::GoOn => world.told(&record),
                Afterwards::Fallback => {
                    let detail = "apology".to_owned();
                    let mut noted = Message::new(Event::Noted { kind: "fallback", detail });
                    noted.done = Some(Box::new(move |world, is_kept| {
                        let answer = if is_kept { Answer::Told(Told::Fallback) } else { Answer::Failed };
                        world.answer(request, answer);
                    }));
                    return world.deliver(call, noted);
                }
            };
            world.answer(request, Answer::Told(told));
        }));
        self.deliver(call, message);
    }

    /// A report of the carrier.
    pub(super) fn report(&mut self, request: u64, call: CallId, event: CarrierEvent) {
        let writes = order::aliases_of(call, &event);
        let mut message = Message::new(Event::Carrier(event));
        message.writes = writes;
        message.done = Some(Box::new(move |world, is_kept| {
            world.answer(request, if is_kept { Answer::Ok } else { Answer::Failed });
        }));
        self.deliver(call, message);
    }

    /// A stream says which call it is for.
    pub(super) fn stream_started(&mut self, request: u64, caller: u32, token: String, stream: u32) {
        let Ok(joined) = self.join_key.verify(&token, self.gateway_now()) else {
            return self.answer(request, Answer::Failed);
        };
        let call = joined.call_id;
        let names = vec![format!("j/{call}")];
        self.claim(
            names.clone(),
            Box::new(move |world| {
                let is_awaited = |record: &CallRecord| {
                    let is_callers =
                        record.carrier.as_ref().is_some_and(|carrier| carrier.call_sid == sid_of(caller));
                    is_callers && record.path == Path::MediaStreams && record.state == State::Dialing
                };
                let Some(record) = world.disk.record(call).filter(is_awaited) else {
                    world.release(&names);
                    return world.answer(request, Answer::Failed);
                };
                let now = world.gateway_now();
                let id = format!("MZ{stream}");
                let answered = (caller, record.consent.as_ref());
                let (session, webhook) = (ProviderCallId(id.clone()), WebhookId(id));
                let offer = offer(Path::MediaStreams, session, webhook, (now, now), answered);
                let mut message = Message::new(Event::Offered(Box::new(offer)));
                message.has_plan = true;
                message.stream = Some(stream);
                message.done = Some(Box::new(move |world, is_kept| {
                    world.release(&names);
                    world.answer(request, if is_kept { Answer::Ok } else { Answer::Failed });
                }));
                world.deliver(call, message);
            }),
        );
    }

    // === the provider offers ===

    /// A verified webhook of the provider.
    pub(super) fn webhook(&mut self, request: u64, delivery: Delivery) {
        let now = self.gateway_now();
        let names = vec![format!("w/{}", delivery.webhook), format!("c/{}", delivery.session)];
        self.claim(names.clone(), Box::new(move |world| world.decide(request, delivery, now, names)));
    }

    fn decide(&mut self, request: u64, delivery: Delivery, now: Timestamp, names: Vec<String>) {
        let books = &self.disk.books;
        let alias = Alias::ProviderCall(name_of(delivery.session));
        if books.webhooks.contains(&delivery.webhook) || books.aliases.contains_key(&alias) {
            self.release(&names);
            return self.answer(request, Answer::Ok);
        }
        let joined = match self.join_key.verify(&delivery.token, now) {
            Ok(joined) => Some(joined.call_id),
            Err(_) => None,
        };
        let waiting = joined.and_then(|call| order::awaits_offer(self.disk.record(call)).ok());
        let is_waited_for = waiting.is_some_and(|record| order::is_waited_for(&record, delivery.created));
        if order::is_stale(delivery.created, now, STALE_AFTER) && !is_waited_for {
            self.release(&names);
            return self.answer(request, Answer::Ok);
        }
        if self.disk.is_full || self.disk.is_poisoned {
            self.reject(delivery.session);
            self.release(&names);
            return self.answer(request, Answer::Failed);
        }
        let Some(call) = joined else { return self.offer_alone(request, delivery, now, names) };
        let joining = vec![format!("j/{call}")];
        self.claim(
            joining.clone(),
            Box::new(move |world| {
                let names = [names, joining].concat();
                match order::awaits_offer(world.disk.record(call)) {
                    Err(_) => world.offer_alone(request, delivery, now, names),
                    Ok(record) => {
                        let session = name_of(delivery.session);
                        let answered = (delivery.caller, record.consent.as_ref());
                        let times = (delivery.created, now);
                        let mut offer = offer(Path::Sip, session, delivery.webhook.clone(), times, answered);
                        offer.accept_within = accept_within(&record);
                        if record.path != Path::Sip {
                            offer.verdict = refused();
                        }
                        world.law.joined(call, delivery.session);
                        world.take(request, call, offer, &delivery, names);
                    }
                }
            }),
        );
    }

    /// A call of its own for an offer that belongs to none: it is turned away.
    fn offer_alone(&mut self, request: u64, delivery: Delivery, now: Timestamp, names: Vec<String>) {
        let id = CallId::new(now, self.ten_bytes());
        self.calls.insert(id, delivery.caller);
        self.look_after(
            Call::begin(Beginning {
                id,
                path: Path::Sip,
                caller: None,
                callee: None,
                route: None,
                carrier: None,
                carrier_asked: None,
                vars: Default::default(),
                other_path: None,
                avoided: None,
            }),
            delivery.caller,
            None,
        );
        let times = (delivery.created, now);
        let session = name_of(delivery.session);
        let mut offer = offer(Path::Sip, session, delivery.webhook.clone(), times, (delivery.caller, None));
        offer.verdict = refused();
        self.take(request, id, offer, &delivery, names);
    }

    fn take(&mut self, request: u64, call: CallId, offer: Offer, delivery: &Delivery, names: Vec<String>) {
        let webhook = delivery.webhook.clone();
        let mut message = Message::new(Event::Offered(Box::new(offer)));
        message.writes = vec![
            Write::Alias(Alias::ProviderCall(name_of(delivery.session)), call),
            Write::Webhook { id: webhook.clone(), seen: delivery.created },
        ];
        message.has_plan = true;
        let is_hasty = self.broken == Some(Broken::AckBeforeCommit);
        let caller = delivery.caller;
        if is_hasty {
            self.law_acknowledged_webhook(&webhook, caller);
            self.answer(request, Answer::Ok);
        }
        message.done = Some(Box::new(move |world, is_kept| {
            world.release(&names);
            if is_hasty {
                return;
            }
            if is_kept {
                world.law_acknowledged_webhook(&webhook, caller);
            }
            world.answer(request, if is_kept { Answer::Ok } else { Answer::Failed });
        }));
        self.deliver(call, message);
    }

    fn ten_bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let (high, low) = (self.chance.next().to_be_bytes(), self.chance.next().to_be_bytes());
        bytes[..8].copy_from_slice(&high);
        bytes[8..].copy_from_slice(&low[..2]);
        bytes
    }
}

fn offer(
    path: Path,
    call_id: ProviderCallId,
    webhook_id: WebhookId,
    (created, received): (Timestamp, Timestamp),
    (caller, consent): (u32, Option<&Consent>),
) -> Offer {
    Offer {
        path,
        provider: "openai-realtime",
        call_id,
        webhook_id,
        created,
        received,
        joined_by: JoinedBy::Token,
        sip_headers: Vec::new(),
        verdict: Verdict::Answer(Box::new(terms_of(caller, consent))),
        hooks: FromHooks::default(),
        accept_within: None,
    }
}

fn refused() -> Verdict {
    Verdict::Refuse { sip_code: 603, reason: EndedReason::Rejected, detail: None }
}

/// The caller's own leg.
pub(super) fn sid_of(caller: u32) -> CallSid {
    CallSid(format!("CA{caller}"))
}

fn carrier_of(caller: u32, status: &str) -> Carrier {
    Carrier { time_limit_s: Some(3_600), ..Carrier::asking("twilio", sid_of(caller), "AC1", status) }
}
