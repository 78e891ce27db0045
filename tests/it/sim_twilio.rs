//! The simulated Twilio against a tiny gateway and a scripted provider: requests and signatures, the
//! outcomes of a dial, strictness, and the trouble it can make.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use poem::http::StatusCode;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Endpoint, Request, Response, endpoint};
use sha1::Sha1;
use switchboard::clock::{Entropy, SystemClock};
use switchboard::secret::Secret;
use switchboard::sim::log::WorldLog;
use switchboard::sim::script::Script;
use switchboard::sim::sip::{Invite, LegCommand, SipEvent, SipLeg};
use switchboard::sim::twilio::{
    CallerSetup, CarrierFaults, CarrierReport, ExplicitRequest, Heard, Human, Options, Reaction, RequestKind,
    Signing, SipPeer, TwilioSim,
};
use switchboard::sim::twiml::Method;
use tokio::sync::mpsc;

const TOKEN: &str = "gw_demo_auth_token_0123456789abc";
const ACCOUNT: &str = "AC00000000000000000000000000000abc";
const PUBLIC: &str = "https://gw.example.jp";
const SIP: &str = "sip:proj_demo@sip.api.openai.com;transport=tls";

/// A dial as a good gateway writes it.
const DIAL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Response><Dial answerOnBridge="true" timeout="8" timeLimit="3600" callerId="+819012345678"
 action="https://gw.example.jp/twilio/dial-result?c=c_01&amp;try=1" referUrl="/twilio/refer"><Sip
 statusCallback="https://gw.example.jp/twilio/leg?c=c_01" statusCallbackEvent="initiated ringing answered completed"
>sip:proj_demo@sip.api.openai.com;transport=tls;edge=tokyo?X-Gw-Token=a%3Db</Sip></Dial></Response>"#;
const APOLOGY: &str = "<Response><Say language=\"ja-JP\">申し訳ございません。</Say><Hangup/></Response>";

/// One request as it arrived.
#[derive(Clone, Debug)]
struct Arrived {
    path: String,
    query: String,
    host: String,
    signature: Option<String>,
    idempotency_token: String,
    fields: Vec<(String, String)>,
}

impl Arrived {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether `token` made the signature, over the public URL.
    fn is_signed_with(&self, token: &str) -> bool {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let mut text = format!("{PUBLIC}{}{query}", self.path);
        let mut fields = self.fields.clone();
        fields.sort();
        fields.iter().for_each(|(name, value)| text.extend([name.as_str(), value]));
        let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let expected = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        self.signature.as_ref() == Some(&expected)
    }
}

/// A gateway that answers by path, and remembers.
struct Gateway {
    url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Gateway {
    /// Answers documents by path; every other path with 204, and unsigned requests with 403.
    async fn start(documents: &[(&'static str, &str)]) -> Gateway {
        let documents: Vec<_> = documents.iter().map(|(path, body)| (*path, (*body).to_owned())).collect();
        Gateway::answering(move |arrived| {
            if !arrived.is_signed_with(TOKEN) {
                return (403, "text/plain", String::new());
            }
            match documents.iter().find(|(path, _)| *path == arrived.path) {
                Some((_, body)) => (200, "text/xml; charset=utf-8", body.clone()),
                None => (204, "text/plain", String::new()),
            }
        })
        .await
    }

    async fn answering(
        answer: impl Fn(&Arrived) -> (u16, &'static str, String) + Send + Sync + 'static,
    ) -> Gateway {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&arrived);
        let answer = Arc::new(answer);
        let endpoint = endpoint::make(move |request| {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            async move {
                let request = arrive(request).await;
                let (status, content_type, body) = answer(&request);
                seen.lock().unwrap().push(request);
                let status = StatusCode::from_u16(status).unwrap();
                poem::Result::<Response>::Ok(
                    Response::builder().status(status).content_type(content_type).body(body),
                )
            }
        });
        Gateway { url: serve(endpoint).await, arrived }
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    fn at(&self, path: &str) -> Vec<Arrived> {
        self.arrived().into_iter().filter(|arrived| arrived.path == path).collect()
    }

    fn one(&self, path: &str) -> Arrived {
        let [one] = self.at(path).try_into().unwrap_or_else(|all| panic!("{path}: {all:#?}"));
        one
    }
}

async fn serve(endpoint: impl Endpoint + 'static) -> String {
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(endpoint));
    format!("http://{address}")
}

async fn arrive(mut request: Request) -> Arrived {
    let header = |name: &str| request.header(name).map(str::to_owned);
    let (signature, token) = (header("X-Twilio-Signature"), header("I-Twilio-Idempotency-Token"));
    let host = header("Host").unwrap_or_default();
    let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or("").to_owned());
    let body = request.take_body().into_string().await.unwrap();
    let url = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
    let fields = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    Arrived { path, query, host, signature, idempotency_token: token.unwrap_or_default(), fields }
}

/// A provider that does what it was told, then waits to be hung up, or closes the leg.
#[derive(Default)]
struct Peer {
    events: Vec<SipEvent>,
    then_closes: bool,
    invites: Mutex<Vec<Invite>>,
    commands: Arc<Mutex<Vec<LegCommand>>>,
}

impl SipPeer for Peer {
    fn invite(&self, invite: Invite) -> BoxFuture<'_, SipLeg> {
        self.invites.lock().unwrap().push(invite);
        let (events, then_closes) = (self.events.clone(), self.then_closes);
        let commands = Arc::clone(&self.commands);
        Box::pin(async move {
            let (event_out, event_in) = mpsc::channel(8);
            let (command_out, mut command_in) = mpsc::channel(8);
            tokio::spawn(async move {
                for event in events {
                    event_out.send(event).await.unwrap();
                }
                if !then_closes && let Some(command) = command_in.recv().await {
                    commands.lock().unwrap().push(command);
                }
            });
            SipLeg { call_id: "rtc_demo01".to_owned(), events: event_in, commands: command_out }
        })
    }
}

fn peer(events: &[SipEvent]) -> Peer {
    Peer { events: events.to_vec(), ..Peer::default() }
}

/// A peer whose leg ends by itself after these events.
fn closing_peer(events: &[SipEvent]) -> Peer {
    Peer { then_closes: true, ..peer(events) }
}

fn caller() -> CallerSetup {
    CallerSetup::new("+819012345678", "+815012345678", Script::default())
}

fn twilio(gateway_url: &str, peer: Arc<Peer>) -> TwilioSim {
    let clock = Arc::new(SystemClock);
    TwilioSim::new(Options {
        clock: clock.clone(),
        entropy: Arc::new(Entropy::seeded(7)),
        log: WorldLog::new(clock, None),
        account_sid: ACCOUNT.to_owned(),
        auth_token: Secret::new(TOKEN),
        gateway_url: gateway_url.to_owned(),
        public_url: PUBLIC.to_owned(),
        peer,
        speed: 100.0,
    })
    .unwrap()
}

async fn play(gateway: &Gateway, peer: Peer, caller: CallerSetup) -> CarrierReport {
    twilio(&gateway.url, Arc::new(peer)).call(caller).await
}

/// Plays a call to a gateway whose first answer is `document` and whose dial results are apologies.
async fn play_document(document: &str, peer: Peer, caller: CallerSetup) -> CarrierReport {
    let gateway = Gateway::start(&[("/twilio/voice", document), ("/twilio/dial-result", APOLOGY)]).await;
    play(&gateway, peer, caller).await
}

#[tokio::test]
async fn an_answered_call_goes_as_twilio_documents_it() {
    let hangup = "<Response><Hangup/></Response>";
    let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/dial-result", hangup)]).await;
    let peer = Arc::new(closing_peer(&[SipEvent::Ringing, SipEvent::Answered, SipEvent::Bye]));
    let report = twilio(&gateway.url, Arc::clone(&peer)).call(caller()).await;

    assert_eq!(report.problems, Vec::<String>::new());
    assert!(gateway.arrived().iter().all(|arrived| arrived.is_signed_with(TOKEN)));
    assert!(gateway.arrived().iter().all(|arrived| arrived.host == "gw.example.jp"));

    let voice = gateway.one("/twilio/voice");
    assert_eq!(voice.fields.len(), 27);
    assert_eq!(voice.field("CallStatus"), Some("ringing"));

    let child = &report.dials[0].call_sid;
    let legs = gateway.at("/twilio/leg");
    let progress: Vec<_> = legs
        .iter()
        .map(|leg| (leg.field("SequenceNumber").unwrap(), leg.field("CallStatus").unwrap()))
        .collect();
    assert_eq!(progress, [("0", "initiated"), ("1", "ringing"), ("2", "in-progress"), ("3", "completed")]);
    for leg in &legs {
        assert_eq!(leg.field("CallSid"), Some(child.as_str()));
        assert_eq!(leg.field("ParentCallSid"), Some(report.call_sid.as_str()));
        assert_eq!(leg.field("Direction"), Some("outbound-dial"));
    }
    assert_eq!(legs[3].field("SipResponseCode"), Some("200"));

    let result = gateway.one("/twilio/dial-result");
    assert_eq!(result.query, "c=c_01&try=1");
    for (name, value) in [
        ("CallSid", report.call_sid.as_str()),
        ("CallStatus", "in-progress"),
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
        ("DialCallSid", child),
        ("DialSipResponseCode", "200"),
    ] {
        assert_eq!(result.field(name), Some(value), "{name}");
    }
    assert!(result.field("DialCallDuration").is_some());

    let status = gateway.one("/twilio/status");
    assert_eq!(status.field("CallStatus"), Some("completed"));
    assert_eq!(report.heard, [Heard::Ringing, Heard::Connected(format!("{SIP};edge=tokyo"))]);
    assert!(!report.caller_hung_up);

    let invites = peer.invites.lock().unwrap();
    assert_eq!(invites[0].request_uri, SIP);
    let names: Vec<_> = invites[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Max-Forwards",
            "Diversion",
            "X-Twilio-AccountSid",
            "X-Twilio-CallSid",
            "X-Gw-Token"
        ]
    );
    let header = |name| invites[0].headers.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_str());
    assert!(header("From").unwrap().starts_with("<sip:+819012345678@demo.pstn.twilio.com>;tag="));
    assert_eq!(header("Call-ID"), result.field("DialSipCallId"));
    assert_eq!(header("X-Twilio-CallSid"), Some(child.as_str()));
    assert_eq!(header("X-Gw-Token"), Some("a=b"));
}

#[tokio::test]
async fn the_world_can_be_read() {
    let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/dial-result", APOLOGY)]).await;
    let log = WorldLog::new(Arc::new(SystemClock), None);
    let twilio = TwilioSim::new(Options {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(Entropy::seeded(7)),
        log: log.clone(),
        account_sid: ACCOUNT.to_owned(),
        auth_token: Secret::new(TOKEN),
        gateway_url: gateway.url.clone(),
        public_url: PUBLIC.to_owned(),
        peer: Arc::new(closing_peer(&[SipEvent::Failed(503)])),
        speed: 100.0,
    })
    .unwrap();
    twilio.call(caller()).await;
    let text = log.text();
    for line in [
        "caller → twilio   calls +815012345678",
        "twilio → gateway  POST /twilio/voice  CA",
        "  +819012345678 → +815012345678",
        "twilio ← gateway  200 Dial Sip sip:proj_demo@sip.api.openai.com;transport=tls;edge=tokyo",
        "twilio → openai   INVITE sip:proj_demo@sip.api.openai.com;transport=tls  CA",
        "twilio ← openai   503",
        "twilio → gateway  POST /twilio/dial-result  CA",
        "  DialCallStatus=failed",
        "twilio ← gateway  200 Say 「申し訳ございません。」, Hangup",
        "twilio → caller   「申し訳ございません。」",
        "twilio ← gateway  204",
    ] {
        assert!(text.contains(line), "`{line}` is missing from\n{text}");
    }
}

#[tokio::test]
async fn every_failure_of_the_provider_has_its_outcome() {
    let failed = |code| closing_peer(&[SipEvent::Ringing, SipEvent::Failed(code)]);
    for (peer, status, code) in [
        (failed(400), "failed", Some("400")),
        (failed(403), "failed", Some("403")),
        (failed(404), "failed", Some("404")),
        (failed(486), "busy", Some("486")),
        (failed(487), "no-answer", Some("487")),
        (failed(488), "failed", Some("488")),
        (failed(500), "failed", Some("500")),
        (failed(503), "failed", Some("503")),
        (failed(603), "no-answer", Some("603")),
        // Nobody there: no answer of any kind.
        (closing_peer(&[]), "failed", None),
        // Never a final answer: the timeout.
        (peer(&[SipEvent::Ringing]), "no-answer", Some("487")),
    ] {
        let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/dial-result", APOLOGY)]).await;
        let what = format!("{:?}", peer.events);
        let report = play(&gateway, peer, caller()).await;
        let result = gateway.one("/twilio/dial-result");
        assert_eq!(result.field("DialCallStatus"), Some(status), "{what}");
        assert_eq!(result.field("DialBridged"), Some("false"), "{what}");
        assert_eq!(result.field("DialSipResponseCode"), code, "{what}");
        assert_eq!(result.field("DialCallDuration"), None, "{what}");
        assert_eq!(result.field("CallStatus"), Some("ringing"), "{what}");
        let completed = gateway.at("/twilio/leg").pop().unwrap();
        assert_eq!(completed.field("CallStatus"), Some(status), "{what}");
        assert_eq!(completed.field("SipResponseCode"), code, "{what}");
        assert_eq!(report.heard, [Heard::Ringing, Heard::Said("申し訳ございません。".to_owned())], "{what}");
        assert_eq!(report.problems, Vec::<String>::new(), "{what}");
    }
}

#[tokio::test]
async fn a_leg_that_never_answers_is_cancelled() {
    let peer = peer(&[]);
    let commands = Arc::clone(&peer.commands);
    let report = play_document(DIAL, peer, caller()).await;
    assert_eq!(report.dials[0].status, "no-answer");
    assert_eq!(*commands.lock().unwrap(), [LegCommand::HangUp]);
}

#[tokio::test]
async fn a_caller_who_leaves_hangs_up_the_leg_and_hears_nothing_more() {
    let answered = [SipEvent::Ringing, SipEvent::Answered];
    for (peer, status, code, bridged) in
        [(peer(&answered[..1]), "no-answer", "487", "false"), (peer(&answered), "completed", "200", "true")]
    {
        let commands = Arc::clone(&peer.commands);
        let patient = DIAL.replace("timeout=\"8\"", "timeout=\"600\"");
        let gateway = Gateway::start(&[("/twilio/voice", &patient), ("/twilio/dial-result", APOLOGY)]).await;
        let caller = CallerSetup { hangs_up_after: Some(Duration::from_secs(50)), ..caller() };
        let report = play(&gateway, peer, caller).await;
        let result = gateway.one("/twilio/dial-result");
        assert_eq!(result.field("CallStatus"), Some("completed"), "{status}");
        assert_eq!(result.field("DialCallStatus"), Some(status));
        assert_eq!(result.field("DialSipResponseCode"), Some(code));
        assert_eq!(result.field("DialBridged"), Some(bridged));
        assert!(report.caller_hung_up);
        assert!(!report.heard.contains(&Heard::Said("申し訳ございません。".to_owned())));
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(*commands.lock().unwrap(), [LegCommand::HangUp]);
    }
}

#[tokio::test]
async fn a_leg_that_closes_without_bye_means_that_the_caller_left() {
    let report = play_document(DIAL, closing_peer(&[SipEvent::Answered]), caller()).await;
    assert!(report.caller_hung_up);
    assert_eq!(report.dials[0].status, "completed");
    let result = report.deliveries_of(RequestKind::DialResult).next().unwrap();
    assert_eq!(result.field("CallStatus"), Some("completed"));
}

#[tokio::test]
async fn a_call_longer_than_its_limit_is_a_problem() {
    let caller = CallerSetup { time_limit: Duration::from_secs(3), ..caller() };
    let report = play_document(DIAL, peer(&[SipEvent::Answered]), caller).await;
    assert_eq!(report.problems, ["the call lasted longer than 3 s"]);
}

#[tokio::test]
async fn the_time_limit_of_a_dial_ends_the_leg() {
    let document = DIAL.replace("timeLimit=\"3600\"", "timeLimit=\"2\"");
    let peer = peer(&[SipEvent::Answered]);
    let commands = Arc::clone(&peer.commands);
    let report = play_document(&document, peer, caller()).await;
    assert_eq!((report.dials[0].status.as_str(), report.dials[0].is_bridged), ("completed", true));
    assert!(!report.caller_hung_up);
    assert_eq!(*commands.lock().unwrap(), [LegCommand::HangUp]);
}

#[tokio::test]
async fn a_dial_without_action_falls_through() {
    let document =
        format!("<Response><Dial answerOnBridge='true'><Sip>{SIP}</Sip></Dial><Say>bye</Say></Response>");
    let report = play_document(&document, closing_peer(&[SipEvent::Failed(503)]), caller()).await;
    assert_eq!(report.heard.last(), Some(&Heard::Said("bye".to_owned())));
    assert_eq!(report.deliveries_of(RequestKind::DialResult).count(), 0);
    assert_eq!(report.deliveries_of(RequestKind::LegCompleted).count(), 0);
}

#[tokio::test]
async fn a_person_answers_a_number_or_does_not() {
    let document = "<Response><Dial answerOnBridge='true' action='/twilio/dial-result'><Number>+81312345678</Number></Dial></Response>";
    for (reaction, status, bridged) in [
        (Reaction::Answers, "completed", true),
        (Reaction::Busy, "busy", false),
        (Reaction::Absent, "no-answer", false),
    ] {
        let caller = CallerSetup { human: Human { reaction, ..Human::default() }, ..caller() };
        let report = play_document(document, peer(&[]), caller).await;
        let dial = &report.dials[0];
        assert_eq!((dial.status.as_str(), dial.is_bridged, dial.sip_code), (status, bridged, None));
        let result = report.deliveries_of(RequestKind::DialResult).next().unwrap();
        assert_eq!(result.field("DialSipCallId"), None);
        assert_eq!(report.problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_refer_is_followed_where_the_dial_allows_it() {
    let refer = || peer(&[SipEvent::Answered, SipEvent::Refer("tel:+81312345678".to_owned())]);
    let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/refer", APOLOGY)]).await;
    let report = play(&gateway, refer(), caller()).await;
    assert_eq!(gateway.one("/twilio/refer").field("ReferTransferTarget"), Some("tel:+81312345678"));
    assert_eq!(report.heard.last(), Some(&Heard::Said("申し訳ございません。".to_owned())));
    assert_eq!(report.problems, Vec::<String>::new());

    let document = DIAL.replace(" referUrl=\"/twilio/refer\"", "");
    let caller = CallerSetup { hangs_up_after: Some(Duration::from_secs(50)), ..caller() };
    let report = play_document(&document, refer(), caller).await;
    assert!(report.problems[0].contains("referUrl"), "{:?}", report.problems);
}

#[tokio::test]
async fn the_small_verbs_end_a_call_as_they_should() {
    for (document, status, heard, answered) in [
        ("<Response><Reject reason='busy'/></Response>", "busy", vec![Heard::Busy], false),
        ("<Response><Reject/></Response>", "no-answer", vec![Heard::Rejected], false),
        ("<Response/>", "completed", vec![], false),
        (
            "<Response><Pause length='2'/><Say>a</Say><Hangup/><Say>b</Say></Response>",
            "completed",
            vec![Heard::Said("a".to_owned())],
            true,
        ),
        (
            "<Response><Redirect>dial-result</Redirect></Response>",
            "completed",
            vec![Heard::Said("申し訳ございません。".to_owned())],
            true,
        ),
    ] {
        let report = play_document(document, peer(&[]), caller()).await;
        assert_eq!(report.status, status, "{document}");
        assert_eq!(report.heard, heard, "{document}");
        assert_eq!(report.answered.is_some(), answered, "{document}");
        assert_eq!(report.problems, Vec::<String>::new(), "{document}");
        let last = report.deliveries_of(RequestKind::Status).next().unwrap();
        assert_eq!(last.field("CallStatus"), Some(status), "{document}");
    }
}

#[tokio::test]
async fn a_gateway_that_answers_nonsense_is_an_application_error() {
    for (status, content_type, body, expected) in [
        (500, "text/xml", "<Response/>", "11200: /twilio/voice answered 500"),
        (302, "text/xml", "", "11200: /twilio/voice answered 302"),
        (200, "application/json", "{}", "12300"),
        (200, "text/xml", "<Response><Dial>", "12100"),
        (
            200,
            "text/xml",
            "<Response><Redirect>/twilio/voice</Redirect></Response>",
            "more than 50 documents",
        ),
        (
            200,
            "text/xml",
            "<Response><Redirect>https://gw.example.jp.evil.test/x</Redirect></Response>",
            "not an address of the gateway",
        ),
    ] {
        let gateway = Gateway::answering(move |arrived| match arrived.path.as_str() {
            "/twilio/voice" => (status, content_type, body.to_owned()),
            _ => (204, "text/plain", String::new()),
        })
        .await;
        let report = play(&gateway, peer(&[]), caller()).await;
        assert_eq!(report.heard, [Heard::ApplicationError], "{body}");
        assert!(report.problems[0].contains(expected), "{:?}", report.problems);
        assert_eq!(gateway.at("/twilio/status").len(), 1);
    }
}

#[tokio::test]
async fn a_refused_callback_is_a_warning() {
    let gateway = Gateway::answering(|arrived| match arrived.path.as_str() {
        "/twilio/voice" => (200, "text/xml", "<Response/>".to_owned()),
        _ => (500, "text/plain", String::new()),
    })
    .await;
    let report = play(&gateway, peer(&[]), caller()).await;
    assert_eq!(report.problems, ["15003: callback /twilio/status answered 500"]);
}

#[tokio::test]
async fn only_a_connection_that_never_came_about_is_tried_again() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = twilio(&format!("http://{nobody}"), Arc::default()).call(caller()).await;
    let voice = report.deliveries_of(RequestKind::Voice).next().unwrap();
    assert_eq!(voice.attempts, 2);
    assert!(report.problems[0].contains("could not connect"), "{:?}", report.problems);
    assert_eq!(report.heard, [Heard::ApplicationError]);
}

fn faults(toml: &str) -> CallerSetup {
    CallerSetup { faults: toml::from_str::<CarrierFaults>(toml).unwrap(), ..caller() }
}

fn good_call() -> Peer {
    closing_peer(&[SipEvent::Ringing, SipEvent::Answered, SipEvent::Bye])
}

#[tokio::test]
async fn doubled_requests_share_their_idempotency_token() {
    let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/dial-result", APOLOGY)]).await;
    let caller = faults("doubled = ['voice', 'dial_result', 'leg_answered', 'status']");
    let report = play(&gateway, good_call(), caller).await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(gateway.at("/twilio/leg").len(), 5);
    for path in ["/twilio/voice", "/twilio/dial-result", "/twilio/status"] {
        let [first, second] = gateway.at(path).try_into().unwrap();
        assert_eq!(first.idempotency_token, second.idempotency_token);
    }
    let tokens: std::collections::BTreeSet<_> =
        gateway.arrived().into_iter().map(|arrived| arrived.idempotency_token).collect();
    assert_eq!(tokens.len(), 7);
}

#[tokio::test]
async fn two_answers_to_one_doubled_request_are_a_problem() {
    let count = Mutex::new(0);
    let gateway = Gateway::answering(move |_| {
        *count.lock().unwrap() += 1;
        (200, "text/xml", format!("<Response><Say>{}</Say></Response>", count.lock().unwrap()))
    })
    .await;
    let report = play(&gateway, peer(&[]), faults("doubled = ['voice']")).await;
    assert!(report.problems[0].contains("two different answers"), "{:?}", report.problems);
}

#[tokio::test]
async fn spoilt_signatures_are_really_spoilt() {
    let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/dial-result", APOLOGY)]).await;
    let caller = faults("unsigned = ['leg_ringing']\nwrong_token = ['leg_answered', 'status']");
    let report = play(&gateway, good_call(), caller).await;
    assert_eq!(report.problems, Vec::<String>::new(), "trouble made on purpose is no problem");
    let refused: Vec<_> = report
        .deliveries
        .iter()
        .filter(|delivery| delivery.status() == Some(403))
        .map(|delivery| delivery.kind)
        .collect();
    assert_eq!(refused, [RequestKind::LegRinging, RequestKind::LegAnswered, RequestKind::Status]);
    assert_eq!(gateway.at("/twilio/leg")[1].signature, None);
}

#[tokio::test]
async fn dropped_requests_never_arrive() {
    let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/dial-result", APOLOGY)]).await;
    let report = play(&gateway, good_call(), faults("dropped = ['leg_completed', 'status']")).await;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(gateway.at("/twilio/leg").len(), 3);
    assert_eq!(gateway.at("/twilio/status").len(), 0);
}

#[tokio::test]
async fn late_callbacks_all_arrive_and_shuffled_ones_in_another_order() {
    for toml in ["shuffled = true", "delayed_ms = 500"] {
        let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/dial-result", APOLOGY)]).await;
        let report = play(&gateway, good_call(), faults(toml)).await;
        assert_eq!(report.problems, Vec::<String>::new());
        let mut order: Vec<_> = gateway
            .arrived()
            .iter()
            .filter(|arrived| arrived.field("CallbackSource").is_some())
            .map(|arrived| format!("{} {}", arrived.path, arrived.field("SequenceNumber").unwrap()))
            .collect();
        let sent = ["/twilio/leg 0", "/twilio/leg 1", "/twilio/leg 2", "/twilio/leg 3", "/twilio/status 0"];
        assert_eq!(order == sent, toml != "shuffled = true", "{order:?}");
        order.sort();
        assert_eq!(order, sent);
    }
}

#[tokio::test]
async fn requests_can_be_made_by_hand() {
    let gateway = Gateway::start(&[("/twilio/voice", APOLOGY)]).await;
    let twilio = twilio(&gateway.url, Arc::default());
    for (signing, status) in [(Signing::Right, 200), (Signing::WrongToken, 403), (Signing::Missing, 403)] {
        let sid = twilio.new_call_sid();
        let fields = twilio.voice_fields(&sid, "+819012345678", "+815012345678", "ringing");
        let request =
            ExplicitRequest { method: Method::Post, path: "/twilio/voice?c=1".to_owned(), fields, signing };
        assert_eq!(twilio.request(request).await.unwrap().status, status, "{signing:?}");
    }
    let fields = vec![("x".to_owned(), "a b+".to_owned())];
    let request =
        ExplicitRequest { method: Method::Get, path: "/x?y=1".to_owned(), fields, signing: Signing::Right };
    assert_eq!(twilio.request(request).await.unwrap().status, 204);
    assert_eq!(gateway.one("/x").query, "y=1&x=a+b%2B");
}

#[tokio::test]
async fn many_calls_run_beside_each_other() {
    let gateway = Gateway::start(&[("/twilio/voice", DIAL), ("/twilio/dial-result", APOLOGY)]).await;
    let twilio = twilio(&gateway.url, Arc::new(good_call()));
    let calls = (0..20).map(|_| twilio.call(caller()));
    let reports = futures_util::future::join_all(calls).await;
    let sids: std::collections::BTreeSet<_> = reports.iter().map(|report| &report.call_sid).collect();
    assert_eq!(sids.len(), 20);
    assert!(reports.iter().all(|report| report.problems.is_empty() && report.dials.len() == 1));
}
