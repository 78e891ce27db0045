//! The voice provider: calls it offers, decides and ends, and the sockets beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::doors::{Answer, Delivery};
use super::law::TOLD_WITHIN;
use super::talk::Talk;
use super::world::World;
use crate::call::event::{AcceptAnswer, AttachFailure, Event, ProviderEvent, SpeechPadding};
use crate::call::record::Speaker;
use crate::clock::Timestamp;
use crate::ids::{CallId, ItemId, ProviderCallId, ToolCallId, WebhookId};

/// Pauses between the deliveries of a webhook that was not acknowledged.
const DELIVER_AGAIN_S: [u64; 6] = [1, 4, 10, 20, 40, 80];
/// How long an accept is waited for.
const ACCEPT_LATE: Duration = Duration::from_secs(10);
/// A call's socket does not exist at once.
const SOCKET_EXISTS_AFTER: Duration = Duration::from_millis(250);

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Ringing,
    Up,
    Over,
}

/// One call at the provider.
#[derive(Debug)]
pub(super) struct Session {
    pub caller: u32,
    pub stage: Stage,
    /// The stream that a bridge carries to it; none: it came over SIP.
    pub stream: Option<u32>,
    up_since: Timestamp,
    /// The socket that is open, and the call at its other end.
    pub socket: Option<(u64, CallId)>,
    pub socket_since: Timestamp,
    /// How many were opened.
    pub sockets: u32,
    is_confirmed: bool,
    last_out: Timestamp,
    last_in: Timestamp,
    pub talk: Talk,
    /// What was asked for, and what the answer was.
    pub asked: BTreeMap<ToolCallId, String>,
    pub outputs: BTreeMap<ToolCallId, String>,
    /// What was said, by item, and the item that was put into the conversation last.
    pub words: BTreeMap<ItemId, (Speaker, String)>,
    pub last_item: Option<ItemId>,
}

impl Session {
    fn new(caller: u32, stream: Option<u32>) -> Session {
        Session {
            caller,
            stage: Stage::Ringing,
            stream,
            up_since: Timestamp::default(),
            socket: None,
            socket_since: Timestamp::default(),
            sockets: 0,
            is_confirmed: false,
            last_out: Timestamp::default(),
            last_in: Timestamp::default(),
            talk: Talk::of(caller),
            asked: BTreeMap::new(),
            outputs: BTreeMap::new(),
            words: BTreeMap::new(),
            last_item: None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    pub fn up_since(&self) -> Timestamp {
        self.up_since
    }
}

/// The provider's name of a session.
pub(super) fn name_of(session: u32) -> ProviderCallId {
    ProviderCallId(format!("rtc_{session}"))
}

/// The session of that name.
pub(super) fn session_of(name: &ProviderCallId) -> Option<u32> {
    name.as_str().strip_prefix("rtc_")?.parse().ok()
}

impl World {
    // === offered, decided, over ===

    /// An INVITE has come: the gateway is told.
    pub(super) fn invite(&mut self, caller: u32, token: String) -> u32 {
        let session = self.number() as u32;
        self.sessions.insert(session, Session::new(caller, None));
        let skew = self.chance.between(0, u64::from(self.weather.skew_s) * 2);
        let mid = Duration::from_secs(u64::from(self.weather.skew_s));
        // The provider tells whole seconds.
        let created = Timestamp::from_secs((self.now + Duration::from_secs(skew) - mid).as_secs());
        let webhook = WebhookId(format!("wh_{session}"));
        let delivery = Delivery { session, caller, webhook, created, token };
        let late = self.chance.permille(self.weather.webhook_late);
        let takes = if late { self.chance.seconds(2, 90) } else { self.chance.millis(50, 700) };
        if self.chance.permille(self.weather.webhook_doubled) {
            let (again, takes) = (delivery.clone(), takes + self.chance.millis(0, 1_500));
            self.after(takes, move |world| world.deliver_webhook(again, DELIVER_AGAIN_S.len()));
        }
        self.after(takes, move |world| world.deliver_webhook(delivery, 0));
        session
    }

    fn deliver_webhook(&mut self, delivery: Delivery, tries: usize) {
        let again = delivery.clone();
        let is_lost = self.chance.permille(self.weather.webhook_lost);
        let then = move |world: &mut World, answer: Answer| {
            let pause = DELIVER_AGAIN_S.get(tries).filter(|_| !matches!(answer, Answer::Ok));
            if let Some(pause) = pause {
                world
                    .after(Duration::from_secs(*pause), move |world| world.deliver_webhook(again, tries + 1));
            }
        };
        match is_lost {
            true => then(self, Answer::Lost),
            false => self.post(move |world, request| world.webhook(request, delivery), then),
        }
    }

    /// The gateway accepts: what it is told, and how late.
    pub(super) fn accept(&mut self, session: u32) -> (AcceptAnswer, Duration) {
        if self.chance.permille(self.weather.accept_refused) {
            return (AcceptAnswer::Refused("429: try again later".to_owned()), Duration::ZERO);
        }
        let is_slow = self.chance.permille(self.weather.accept_slow);
        if is_slow && self.chance.permille(300) {
            return (AcceptAnswer::Unclear("no answer".to_owned()), ACCEPT_LATE);
        }
        let answer = match self.sessions.get(&session).map(|session| session.stage) {
            None | Some(Stage::Over) => AcceptAnswer::Gone,
            Some(Stage::Up) => AcceptAnswer::AlreadyDecided,
            Some(Stage::Ringing) => {
                self.answer_session(session);
                AcceptAnswer::Ok
            }
        };
        match is_slow {
            true => (AcceptAnswer::Unclear("no answer".to_owned()), ACCEPT_LATE),
            false => (answer, Duration::ZERO),
        }
    }

    fn answer_session(&mut self, id: u32) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.stage == Stage::Ringing)
        else {
            return;
        };
        (session.stage, session.up_since) = (Stage::Up, now);
        let (caller, is_bridged) = (session.caller, session.stream.is_some());
        self.law.tally.answered += 1;
        self.after(TOLD_WITHIN, move |world| world.law_is_told(id));
        self.tell(caller, || format!("provider: {} answers", name_of(id)));
        if !is_bridged {
            self.leg_answered(caller);
        }
        if self.chance.permille(self.weather.provider_drops) {
            let lives = self.chance.seconds(1, 120);
            self.after(lives, move |world| world.provider_ends(id, "drops the call"));
        }
        self.begin_talk(id);
    }

    pub(super) fn reject(&mut self, session: u32) {
        if self.sessions.get(&session).is_some_and(|known| known.stage == Stage::Ringing) {
            let caller = self.sessions[&session].caller;
            self.session_over(session, "turned away");
            self.leg_dropped(caller, session, false);
        }
    }

    pub(super) fn hang_up(&mut self, session: u32) {
        if self.chance.permille(self.weather.hang_up_lost) {
            return;
        }
        if self.sessions.get(&session).is_some_and(Session::is_up) {
            self.provider_ends(session, "hangs up as it was asked to");
        }
    }

    pub(super) fn refer(&mut self, session: u32) -> Result<(), String> {
        let Some(known) = self.sessions.get(&session).filter(|known| known.is_up()) else {
            return Err("404".to_owned());
        };
        let caller = known.caller;
        if self.chance.permille(self.weather.refer_refused) {
            return Err("400".to_owned());
        }
        if !self.chance.permille(self.weather.refer_ignored) {
            let soon = self.chance.millis(50, 1_500);
            self.after(soon, move |world| world.referred(caller, session));
        }
        Ok(())
    }

    /// The provider ends its side by itself.
    fn provider_ends(&mut self, id: u32, why: &'static str) {
        let Some(session) = self.sessions.get(&id).filter(|session| session.is_up()) else { return };
        let (caller, stream) = (session.caller, session.stream);
        self.session_over(id, why);
        match stream {
            Some(stream) => self.stream_closed(stream),
            None => self.leg_dropped(caller, id, true),
        }
    }

    /// The session is over, for whatever reason; its socket is closed with a word.
    pub(super) fn session_over(&mut self, id: u32, why: &'static str) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.stage != Stage::Over) else {
            return;
        };
        session.stage = Stage::Over;
        let (caller, is_bridged) = (session.caller, session.stream.is_some());
        self.tell(caller, || format!("provider: {} is over: {why}", name_of(id)));
        let event = Event::SidebandLost(Some(1_000));
        let open = self.out(id, Duration::ZERO);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.socket = None;
        }
        if let Some((at, socket, call)) = open {
            self.at(at, move |world| match is_bridged {
                true => world.bridge_is_down(call, socket),
                false => world.heard(call, socket, event, true),
            });
        }
    }

    // === sockets ===

    /// Opens the socket of a call.
    pub(super) fn open_socket(&mut self, id: u32, call: CallId) -> Result<(u64, u32), AttachFailure> {
        if self.chance.permille(self.weather.attach_refused) {
            return Err(AttachFailure::Passing("503".to_owned()));
        }
        let now = self.now;
        let is_there =
            |session: &&mut Session| session.is_up() && now.since(session.up_since) >= SOCKET_EXISTS_AFTER;
        let socket = self.number();
        let Some(session) = self.sessions.get_mut(&id).filter(is_there) else {
            return Err(AttachFailure::NotFound);
        };
        session.socket = Some((socket, call));
        session.socket_since = now;
        session.sockets += 1;
        session.is_confirmed = false;
        Ok((socket, id))
    }

    /// A session that a bridge opens for a stream.
    pub(super) fn bridge_session(&mut self, caller: u32, stream: u32, call: CallId) -> (u32, u64) {
        let (id, socket) = (self.number() as u32, self.number());
        let mut session = Session::new(caller, Some(stream));
        session.socket = Some((socket, call));
        session.socket_since = self.now;
        self.sessions.insert(id, session);
        (id, socket)
    }

    /// The session says that it is there; on a bridge this is when it begins.
    pub(super) fn confirm(&mut self, id: u32) {
        let takes = self.chance.millis(20, 200);
        let padding = SpeechPadding { before: Duration::from_millis(300), after: Duration::from_millis(200) };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.is_confirmed = true;
        let is_bridged = session.stream.is_some();
        let expires_at = Some(self.now + Duration::from_secs(3_600));
        self.say(id, takes, ProviderEvent::Attached { expires_at, padding });
        if is_bridged {
            self.after(takes, move |world| world.answer_session(id));
        }
    }

    /// The next moment at which something that is said now can arrive, and where.
    fn out(&mut self, id: u32, after: Duration) -> Option<(Timestamp, u64, CallId)> {
        let travels = self.chance.millis(3, 60);
        let now = self.now;
        let session = self.sessions.get_mut(&id)?;
        let (socket, call) = session.socket?;
        let at = (now + after + travels).max(session.last_out + Duration::from_micros(1));
        session.last_out = at;
        Some((at, socket, call))
    }

    /// Says something over the socket, if there is one: in order, and lost where it breaks on the way.
    pub(super) fn say(&mut self, id: u32, after: Duration, event: ProviderEvent) {
        let is_silent = self.sessions.get(&id).is_none_or(|session| !session.is_confirmed);
        let Some((at, socket, call)) = self.out(id, after).filter(|_| !is_silent) else { return };
        let is_strange = self.chance.permille(self.weather.strange_event);
        let breaks = self.chance.permille(self.weather.flap);
        if is_strange {
            self.say_strange(call, socket, at);
        }
        self.at(at, move |world| world.heard(call, socket, Event::Provider(event), false));
        let is_bridged = self.sessions.get(&id).is_some_and(|session| session.stream.is_some());
        if breaks && !is_bridged {
            self.break_socket(id, socket, call);
        }
    }

    fn say_strange(&mut self, call: CallId, socket: u64, at: Timestamp) {
        use crate::call::event::ErrorClass;
        let flood = if self.chance.permille(20) { 300 } else { 1 };
        let error = |class| ProviderEvent::Error {
            class,
            code: Some("odd".to_owned()),
            message: "odd".to_owned(),
            command: None,
        };
        let event = match self.chance.below(5) {
            0 => error(ErrorClass::Benign),
            1 => error(ErrorClass::Other),
            2 => ProviderEvent::Ignored,
            3 => error(ErrorClass::Capacity),
            _ => ProviderEvent::Unknown { kind: "brand.new".to_owned() },
        };
        for _ in 0..flood {
            let event = event.clone();
            self.at(at, move |world| world.heard(call, socket, Event::Provider(event), false));
        }
    }

    /// The connection breaks: what is on its way is lost, and the gateway notices some time later.
    fn break_socket(&mut self, id: u32, socket: u64, call: CallId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.socket = None;
        session.last_out = Timestamp::default();
        let caller = session.caller;
        self.law.tally.sockets_lost += 1;
        self.tell(caller, || format!("the sideband of {} breaks", name_of(id)));
        let notices = self.chance.millis(0, 3_000);
        self.after(notices, move |world| {
            world.heard(call, socket, Event::SidebandLost(None), true);
        });
    }

    /// Whoever held the socket of a session is gone, or closed it.
    pub(super) fn socket_gone(&mut self, id: u32) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.socket = None;
        if let Some(stream) = session.stream {
            self.session_over(id, "its socket was closed");
            self.stream_closed(stream);
        }
    }

    /// The gateway's process is gone, and with it all sockets; streams break off.
    pub(super) fn sockets_broke(&mut self) {
        let open = |(id, session): (&u32, &Session)| session.socket.map(|_| *id);
        for id in self.sessions.iter().filter_map(open).collect::<Vec<_>>() {
            self.socket_gone(id);
        }
        // Streams that were being let in.
        let phones = self.phones.values().filter(|phone| phone.announced_until <= self.now);
        let waiting: Vec<u32> = phones.filter_map(|phone| phone.stream).collect();
        for stream in waiting {
            self.stream_closed(stream);
        }
    }

    /// The gateway closes a bridge: both its sockets.
    pub(super) fn close_bridge(&mut self, id: u32) {
        let stream = self.sessions.get(&id).and_then(|session| session.stream);
        self.session_over(id, "the bridge was closed");
        if let Some(stream) = stream {
            self.stream_closed(stream);
        }
    }

    /// The carrier stops a stream, for its caller is gone.
    pub(super) fn stream_stops(&mut self, stream: u32) {
        let is_its = |session: &&Session| session.stream == Some(stream);
        let found = self.sessions.iter().find(|(_, session)| is_its(session)).map(|(id, _)| *id);
        if let Some(id) = found {
            self.session_over(id, "the caller is gone");
        }
    }

    /// When a command that is sent now arrives; none: the socket is not this session's any more.
    pub(super) fn arrives(&mut self, id: u32, socket: u64) -> Option<Timestamp> {
        let travels = self.chance.millis(3, 60);
        let now = self.now;
        let session = self.sessions.get_mut(&id)?;
        if session.socket.is_none_or(|(open, _)| open != socket) {
            return None;
        }
        let at = (now + travels).max(session.last_in + Duration::from_micros(1));
        session.last_in = at;
        Some(at)
    }
}
