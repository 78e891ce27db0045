//! Callers, and the carrier that has them: it asks what to do, dials, streams, and reports late, twice or never.

use std::time::Duration;

use super::doors::{Answer, Told, sid_of};
use super::world::World;
use crate::call::consent::Announcer;
use crate::call::event::CarrierEvent;
use crate::call::record::Path;
use crate::clock::Timestamp;
use crate::ids::{CallId, CallSid, RecordingId};
use crate::routing::Recording;

/// How long the provider is dialled.
const DIAL_WITHIN: Duration = Duration::from_secs(30);
/// A carrier that is told the same again and again gives up: as many ways has nobody.
const WAYS_MAX: u32 = 8;

/// One caller.
#[derive(Debug)]
pub(super) struct Phone {
    pub call: Option<CallId>,
    pub is_gone: bool,
    /// Of the caller's own leg, in the carrier's words.
    pub status: &'static str,
    /// The session at the other end of the dial.
    pub session: Option<u32>,
    /// The media stream that is open, or is being opened.
    pub stream: Option<u32>,
    /// Whether the dial is recorded, and what is being made of it.
    pub is_recorded: bool,
    /// Somebody has said that the call is recorded.
    pub is_told: bool,
    /// Until then the carrier says that the call is recorded: nothing is dialled and no stream is open yet.
    pub announced_until: Timestamp,
    pub tape: Option<RecordingId>,
    /// The leg to the provider, and how many reports of it were made.
    leg: u64,
    reports: u32,
    is_dialing: bool,
    ways: u32,
}

impl World {
    /// A caller dials the number.
    pub(super) fn ring(&mut self, caller: u32) {
        self.law.tally.callers += 1;
        self.phones.insert(
            caller,
            Phone {
                call: None,
                is_gone: false,
                status: "ringing",
                session: None,
                stream: None,
                is_recorded: false,
                is_told: false,
                announced_until: Timestamp::default(),
                tape: None,
                leg: 0,
                reports: 0,
                is_dialing: false,
                ways: 0,
            },
        );
        self.tell(caller, || "rings".to_owned());
        let patience = match self.chance.below(10) {
            0 => self.chance.seconds(0, 8),
            1 => self.chance.seconds(300, 900),
            _ => self.chance.seconds(20, 240),
        };
        self.after(patience, move |world| world.caller_leaves(caller, "hangs up"));
        self.ask(caller, 0);
    }

    pub(super) fn phone(&mut self, caller: u32) -> Option<&mut Phone> {
        self.phones.get_mut(&caller).filter(|phone| !phone.is_gone)
    }

    /// The number's own address is asked, and once more its fallback.
    fn ask(&mut self, caller: u32, tries: u32) {
        let Some(status) = self.phone(caller).map(|phone| phone.status) else { return };
        self.post(
            move |world, request| world.voice(request, caller, status),
            move |world, answer| match answer {
                Answer::Told(told) => world.follow(caller, told),
                _ if tries == 0 => {
                    let pause = world.chance.millis(500, 10_000);
                    world.after(pause, move |world| world.ask(caller, 1));
                }
                _ => world.caller_leaves(caller, "hears that nobody is there"),
            },
        );
    }

    fn follow(&mut self, caller: u32, told: Told) {
        let Some(phone) = self.phone(caller) else { return };
        phone.ways += 1;
        if phone.ways > WAYS_MAX {
            return self.caller_leaves(caller, "has been sent round and round");
        }
        self.tell(caller, || format!("carrier: told {}", name(&told)));
        self.law_told(caller, &told);
        let pause = self.chance.millis(100, 600);
        match told {
            Told::Dial { call, token, recording } => {
                let leg = self.number();
                let pause = pause + self.announce(caller, recording.as_ref());
                let Some(phone) = self.phone(caller) else { return };
                (phone.call, phone.leg, phone.reports, phone.is_dialing) = (Some(call), leg, 0, true);
                phone.is_recorded = recording.is_some();
                self.after(pause, move |world| world.dial(caller, leg, token));
            }
            Told::Stream { call, token, recording } => {
                let stream = self.number() as u32;
                let pause = pause + self.announce(caller, recording.as_ref());
                let Some(phone) = self.phone(caller) else { return };
                (phone.call, phone.stream, phone.status) = (Some(call), Some(stream), "in-progress");
                self.after(pause, move |world| world.open_stream(caller, stream, token));
            }
            Told::Forward => self.hand_on(caller),
            Told::Later => self.after(Duration::from_secs(2), move |world| world.after_stream(caller)),
            Told::Fallback | Told::HangUp | Told::Busy => {
                let pause = self.chance.millis(10, 4_000);
                self.after(pause, move |world| world.caller_leaves(caller, "is told goodbye"));
            }
        }
    }

    /// The carrier answers the caller and says that the call is recorded, where that is for it to say; how long it takes.
    fn announce(&mut self, caller: u32, recording: Option<&Recording>) -> Duration {
        let announcement = recording.and_then(|recording| recording.announcement.as_ref());
        if announcement.is_none_or(|announcement| announcement.by != Announcer::Carrier) {
            return Duration::ZERO;
        }
        let takes = self.chance.millis(1_500, 4_000);
        let until = self.now + takes;
        if let Some(phone) = self.phone(caller) {
            (phone.status, phone.announced_until) = ("in-progress", until);
        }
        self.after(takes, move |world| world.is_told(caller));
        takes
    }

    /// A caller has heard that the call is recorded.
    pub(super) fn is_told(&mut self, caller: u32) {
        if let Some(phone) = self.phone(caller) {
            phone.is_told = true;
            self.law.tally.announced += 1;
        }
    }

    // === dialling ===

    fn dial(&mut self, caller: u32, leg: u64, token: String) {
        let is_mine = |phone: &Phone| phone.leg == leg && phone.is_dialing;
        if !self.phone(caller).is_some_and(|phone| is_mine(phone)) {
            return;
        }
        self.report_leg(caller, "initiated");
        if self.chance.permille(self.weather.invite_fails) {
            return self.dial_over(caller, "failed", Some(503), false);
        }
        let session = self.invite(caller, token);
        if let Some(phone) = self.phone(caller) {
            phone.session = Some(session);
        }
        self.report_leg(caller, "ringing");
        self.after(DIAL_WITHIN, move |world| {
            let rings = |phone: &Phone| phone.session == Some(session) && phone.is_dialing;
            let is_up = world.sessions.get(&session).is_some_and(|session| session.is_up());
            if !is_up && world.phone(caller).is_some_and(|phone| rings(phone)) {
                world.session_over(session, "not answered");
                world.dial_over(caller, "no-answer", Some(487), false);
            }
        });
    }

    /// The provider has answered the leg.
    pub(super) fn leg_answered(&mut self, caller: u32) {
        if let Some(phone) = self.phone(caller) {
            phone.status = "in-progress";
            self.report_leg(caller, "in-progress");
            self.tape_begins(caller);
        }
    }

    /// The provider's end of the leg is over, or turned it away.
    pub(super) fn leg_dropped(&mut self, caller: u32, session: u32, was_up: bool) {
        let is_mine = |phone: &Phone| phone.session == Some(session) && phone.is_dialing;
        if !self.phone(caller).is_some_and(|phone| is_mine(phone)) {
            return;
        }
        match was_up {
            true => self.dial_over(caller, "completed", Some(200), true),
            false => self.dial_over(caller, "busy", Some(603), false),
        }
    }

    fn dial_over(&mut self, caller: u32, status: &'static str, sip_code: Option<u16>, bridged: bool) {
        self.report_leg(caller, status);
        let named = self.tape_ends(caller);
        let Some(phone) = self.phone(caller) else { return };
        (phone.session, phone.is_dialing) = (None, false);
        let event = CarrierEvent::DialEnded {
            status: status.to_owned(),
            bridged: Some(bridged),
            leg_sid: Some(CallSid(format!("CL{}", phone.leg))),
            sip_code,
            sip_call_id: None,
            duration_s: None,
            caller_status: phone.status.to_owned(),
        };
        let Some(call) = phone.call else { return };
        let door = move |world: &mut World, request| world.dial_over_told(request, call, event, named);
        self.ask_next(caller, door);
    }

    fn ask_next(&mut self, caller: u32, door: impl FnOnce(&mut World, u64) + 'static) {
        self.post(door, move |world, answer| match answer {
            Answer::Told(told) => world.follow(caller, told),
            // By the number's fallback URL.
            _ => {
                let pause = world.chance.millis(500, 10_000);
                world.after(pause, move |world| world.ask(caller, 1));
            }
        });
    }

    // === streams ===

    fn open_stream(&mut self, caller: u32, stream: u32, token: String) {
        if self.phone(caller).is_none_or(|phone| phone.stream != Some(stream)) {
            return;
        }
        self.post(
            move |world, request| world.stream_started(request, caller, token, stream),
            move |world, answer| {
                // A socket knows no lost answers: it is open until somebody closes it.
                if matches!(answer, Answer::Failed) {
                    world.stream_closed(stream);
                }
            },
        );
    }

    /// The gateway closed a stream, or it broke off.
    pub(super) fn stream_closed(&mut self, stream: u32) {
        let is_mine = |phone: &&mut Phone| phone.stream == Some(stream) && !phone.is_gone;
        let Some((caller, phone)) =
            self.phones.iter_mut().find(|(_, phone)| is_mine(phone)).map(|(caller, phone)| (*caller, phone))
        else {
            return;
        };
        phone.stream = None;
        if self.chance.permille(150) {
            let waits = self.chance.millis(20, 1_500);
            self.after(waits, move |world| world.caller_leaves(caller, "hears nothing and hangs up"));
        }
        let soon = self.chance.millis(20, 300);
        self.after(soon, move |world| world.after_stream(caller));
    }

    fn after_stream(&mut self, caller: u32) {
        let Some(phone) = self.phone(caller) else { return };
        let (Some(call), status) = (phone.call, phone.status) else { return };
        let event = CarrierEvent::StreamEnded { caller_status: status.to_owned() };
        let over = Path::MediaStreams;
        self.ask_next(caller, move |world, request| world.way_over(request, call, event, over));
    }

    // === the end ===

    pub(super) fn caller_leaves(&mut self, caller: u32, how: &'static str) {
        let Some(phone) = self.phone(caller) else { return };
        let (session, stream, call) = (phone.session.take(), phone.stream.take(), phone.call);
        let was_dialing = std::mem::take(&mut phone.is_dialing);
        self.tell(caller, || how.to_owned());
        self.tape_ends(caller);
        if let Some(session) = session {
            let soon = self.chance.millis(20, 400);
            self.after(soon, move |world| world.session_over(session, "the caller is gone"));
        }
        if let Some(stream) = stream {
            self.stream_stops(stream);
        }
        if was_dialing {
            self.report_leg(caller, "completed");
        }
        let Some(phone) = self.phone(caller) else { return };
        (phone.status, phone.is_gone) = ("completed", true);
        if let Some(call) = call {
            self.report_later(call, caller, CarrierEvent::Caller { status: "completed".to_owned() });
        }
    }

    /// Somebody else is dialled for the caller.
    fn hand_on(&mut self, caller: u32) {
        let Some(call) = self.phone(caller).and_then(|phone| phone.call) else { return };
        let takes = self.chance.seconds(2, 40);
        let answered = self.chance.permille(700);
        self.after(takes, move |world| {
            let event = CarrierEvent::HandedOn {
                status: if answered { "completed" } else { "no-answer" }.to_owned(),
                answered,
                caller_status: "in-progress".to_owned(),
            };
            world.report_later(call, caller, event);
            world.caller_leaves(caller, "was handed on");
        });
    }

    // === asked by the gateway, or by the provider ===

    /// The gateway asks for the caller's status; the carrier does not always say.
    pub(super) fn status_of(&mut self, caller: u32) -> Option<String> {
        let is_silent = self.chance.permille(self.weather.callback_lost);
        self.phones.get(&caller).filter(|_| !is_silent).map(|phone| phone.status.to_owned())
    }

    pub(super) fn end_leg(&mut self, caller: u32, leg: &CallSid) -> Result<(), String> {
        if self.chance.permille(self.weather.refer_refused) {
            return Err("500".to_owned());
        }
        let is_mine = |phone: &Phone| phone.is_dialing && leg.0 == format!("CL{}", phone.leg);
        let Some(phone) = self.phone(caller).filter(|phone| is_mine(phone)) else { return Ok(()) };
        if let Some(session) = phone.session.take() {
            self.session_over(session, "the carrier ends its leg");
        }
        self.dial_over(caller, "canceled", Some(487), false);
        Ok(())
    }

    /// The gateway has the carrier take the caller from the provider.
    pub(super) fn redirect(&mut self, caller: u32) -> Result<(), String> {
        if self.chance.permille(self.weather.refer_refused) {
            return Err("500".to_owned());
        }
        let Some(phone) = self.phone(caller) else { return Err("404".to_owned()) };
        phone.is_dialing = false;
        let session = phone.session.take();
        self.tape_ends(caller);
        if let Some(session) = session {
            self.session_over(session, "the carrier takes the caller away");
        }
        self.hand_on(caller);
        Ok(())
    }

    /// The provider hands the caller on.
    pub(super) fn referred(&mut self, caller: u32, session: u32) {
        let Some(phone) = self.phone(caller).filter(|phone| phone.session == Some(session)) else { return };
        let Some(call) = phone.call else { return };
        (phone.is_dialing, phone.session) = (false, None);
        self.tape_ends(caller);
        self.report_later(call, caller, CarrierEvent::Referred);
        self.session_over(session, "handed on");
        self.hand_on(caller);
    }

    // === reports ===

    fn report_leg(&mut self, caller: u32, status: &'static str) {
        let Some(phone) = self.phone(caller) else { return };
        let sequence = phone.reports;
        phone.reports += 1;
        let Some(call) = phone.call else { return };
        let event = CarrierEvent::Leg {
            sid: CallSid(format!("CL{}", phone.leg)),
            status: status.to_owned(),
            sequence: Some(sequence),
            sip_code: None,
            sip_call_id: None,
            duration_s: None,
        };
        self.report_later(call, caller, event);
    }

    /// A report comes soon, late, twice or never; it is made once and not again.
    fn report_later(&mut self, call: CallId, caller: u32, event: CarrierEvent) {
        if self.chance.permille(self.weather.callback_lost) {
            return self.tell(caller, || format!("carrier: a report is lost: {event:?}"));
        }
        let times = if self.chance.permille(self.weather.callback_doubled) { 2 } else { 1 };
        for _ in 0..times {
            let late = self.chance.permille(self.weather.callback_late);
            let takes = if late { self.chance.seconds(1, 30) } else { self.chance.millis(20, 400) };
            let event = event.clone();
            self.after(takes, move |world| {
                world.post(move |world, request| world.report(request, call, event), |_, _| {});
            });
        }
    }

    /// Whose call it is.
    pub(super) fn caller_of(&self, call: CallId) -> u32 {
        self.calls.get(&call).copied().unwrap_or_default()
    }

    /// Claims that this caller is still on the line.
    pub(super) fn is_on_the_line(&self, caller: u32) -> bool {
        self.phones.get(&caller).is_some_and(|phone| !phone.is_gone)
    }
}

fn name(told: &Told) -> &'static str {
    match told {
        Told::Dial { .. } => "to dial the provider",
        Told::Stream { .. } => "to open a stream",
        Told::Forward => "to dial somebody else",
        Told::Fallback => "the fallback",
        Told::HangUp => "to hang up",
        Told::Busy => "that it is busy",
        Told::Later => "to ask later",
    }
}

/// The alias under which a caller's leg is known.
pub(super) fn alias_of(caller: u32) -> crate::store::Alias {
    crate::store::Alias::Carrier(sid_of(caller))
}
