//! OpenAI as it may answer, or not: the REST client and the sideband against small servers on real
//! sockets, which do as each test tells them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use switchboard::call::event::{AcceptAnswer, AttachFailure, ProviderEvent};
use switchboard::ids::ProviderCallId;
use switchboard::openai::rest::Client;
use switchboard::openai::sideband::{Connector, Sideband, SidebandItem};
use switchboard::openai::{Deadlines, Settings, SettingsError};
use switchboard::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async, accept_hdr_async};

/// Nothing here takes longer unless it is broken.
const PATIENCE: Duration = Duration::from_secs(10);

const API_KEY: &str = "sk-proj-very-private";

pub fn settings(address: SocketAddr) -> Settings {
    Settings {
        api_key: Secret::new(API_KEY),
        project_id: "proj_1".to_owned(),
        organization: Some("org_1".to_owned()),
        base_url: format!("http://{address}/v1"),
        realtime_url: format!("ws://{address}/v1/realtime"),
        sip_host: "sip.api.openai.com".to_owned(),
        webhook_secrets: Vec::new(),
        tolerance: Duration::from_secs(300),
    }
}

/// Short where a test waits for the deadline, long where it must not strike.
fn deadlines() -> Deadlines {
    Deadlines {
        connect: PATIENCE,
        accept: PATIENCE,
        control: PATIENCE,
        retry_pause: Duration::from_millis(1),
        attach: PATIENCE,
        ping_every: PATIENCE,
        silence_max: PATIENCE,
        send: PATIENCE,
    }
}

fn call() -> ProviderCallId {
    "rtc_u1_9c2f41aa07".into()
}

/// An address on which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

// ---- REST ----

/// What a scripted server does with one request.
#[derive(Clone)]
enum Reply {
    /// Answers with a status, headers (each ending a line) and a body.
    Answer(u16, &'static str, String),
    /// Reads the request and never answers.
    Silence,
    /// Reads the request and closes the connection.
    Break,
}

use Reply::{Break, Silence};

fn status(status: u16) -> Reply {
    Reply::Answer(status, "", String::new())
}

fn error(status: u16, code: &str) -> Reply {
    let body = serde_json::json!({"error": {"message": "Told so.", "type": "some_error", "code": code}});
    Reply::Answer(status, "content-type: application/json\r\n", body.to_string())
}

/// A server that does one thing after another and remembers what it was asked.
struct Vendor {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Vendor {
    async fn start(script: impl IntoIterator<Item = Reply>) -> Vendor {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<Vec<_>>().into_iter()));
        let vendor = Vendor { address, asked: asked.clone(), connections: connections.clone() };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, script.clone(), asked.clone()));
            }
        });
        vendor
    }

    fn client(&self) -> Client {
        Client::new(&settings(self.address), deadlines()).expect("right settings")
    }

    /// The requests so far: head and body as they came.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic meanwhile").clone()
    }
}

async fn serve(
    mut socket: TcpStream,
    script: Arc<Mutex<std::vec::IntoIter<Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = read_request(&mut socket).await {
        asked.lock().expect("no panic meanwhile").push(request);
        let reply = script.lock().expect("no panic meanwhile").next().unwrap_or_else(|| status(599));
        match reply {
            Reply::Answer(status, headers, body) => {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} Said\r\n{headers}content-length: {length}\r\n\r\n");
                if socket.write_all((head + &body).as_bytes()).await.is_err() {
                    return;
                }
            }
            Silence => std::future::pending().await,
            Break => return,
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                return Some(text.into_owned());
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// An accept against `script`: the answer, and how often the server was asked.
async fn accept(script: Vec<Reply>, deadlines: Deadlines) -> (AcceptAnswer, usize) {
    let vendor = Vendor::start(script).await;
    let client = Client::new(&settings(vendor.address), deadlines).expect("right settings");
    let answer = timeout(PATIENCE, client.accept(&call(), "{}".to_owned())).await.expect("an answer");
    (answer, vendor.asked().len())
}

#[tokio::test]
async fn every_status_has_its_answer() {
    let name = |answer: &AcceptAnswer| match answer {
        AcceptAnswer::Ok => "ok".to_owned(),
        AcceptAnswer::Session(_) => "a session, which no accept gives".to_owned(),
        AcceptAnswer::Gone => "gone".to_owned(),
        AcceptAnswer::AlreadyDecided => "already decided".to_owned(),
        AcceptAnswer::Unclear(text) => format!("unclear: {text}"),
        AcceptAnswer::Refused(text) => format!("refused: {text}"),
    };
    let limited = Reply::Answer(
        429,
        "retry-after: 2\r\nx-request-id: req_7\r\n",
        r#"{"error":{"message":"Slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#
            .to_owned(),
    );
    let plain_text = Reply::Answer(500, "", "upstream\nexploded\n".to_owned());
    let table: Vec<(Vec<Reply>, &str, usize)> = vec![
        (vec![status(200)], "ok", 1),
        (vec![status(204)], "ok", 1),
        (vec![Reply::Answer(201, "", "{}".to_owned())], "ok", 1),
        (vec![error(404, "call_id_not_found")], "gone", 1),
        (vec![error(409, "decision_already_made")], "already decided", 1),
        (vec![error(400, "unknown_parameter")], "refused: status 400 unknown_parameter: Told so.", 1),
        (vec![error(401, "invalid_api_key")], "refused: status 401 invalid_api_key: Told so.", 1),
        (vec![status(403)], "refused: status 403", 1),
        (vec![Reply::Answer(307, "location: /elsewhere\r\n", String::new())], "refused: status 307", 1),
        (
            vec![limited],
            "refused: status 429 rate_limit_exceeded: Slow down (retry-after 2, x-request-id req_7)",
            1,
        ),
        (vec![plain_text], "refused: status 500: upstream exploded", 1),
        (vec![status(504)], "unclear: status 504", 1),
        // Passing failures are tried once more, and only once.
        (vec![status(503), status(200)], "ok", 2),
        (vec![status(502), status(200)], "ok", 2),
        (vec![status(503), status(503)], "refused: status 503", 2),
        (vec![status(502), status(502)], "unclear: status 502", 2),
        (vec![status(503), error(404, "call_id_not_found")], "gone", 2),
        // The first try worked after all.
        (vec![status(502), status(409)], "already decided", 2),
        // It may have worked: what comes later does not prove the contrary.
        (vec![status(502), status(500)], "unclear: status 500", 2),
    ];
    for (script, expected, requests) in table {
        let (answer, asked) = accept(script, deadlines()).await;
        assert_eq!((name(&answer).as_str(), asked), (expected, requests));
    }
}

#[tokio::test]
async fn an_accept_that_is_not_answered_is_unclear() {
    let deadlines = Deadlines { accept: Duration::from_millis(100), ..deadlines() };
    let (answer, asked) = accept(vec![Silence, status(200)], deadlines).await;
    assert_eq!(answer, AcceptAnswer::Unclear("no answer within 100ms".to_owned()));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_accept_whose_connection_breaks_is_unclear_and_not_tried_again() {
    let (answer, asked) = accept(vec![Break, status(200)], deadlines()).await;
    assert!(matches!(&answer, AcceptAnswer::Unclear(_)), "{answer:?}");
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn an_accept_that_reaches_nobody_is_refused() {
    let client = Client::new(&settings(nobody().await), deadlines()).unwrap();
    let answer = client.accept(&call(), "{}".to_owned()).await;
    let AcceptAnswer::Refused(text) = &answer else { panic!("{answer:?}") };
    assert!(text.contains("refused"), "{text}");
    assert!(client.warm_up().await.is_err());
    assert!(client.refer(&call(), "tel:+14155550123").await.is_err());
    assert!(client.hangup(&call()).await.is_err());
}

#[tokio::test]
async fn a_request_carries_what_the_vendor_wants() {
    let vendor = Vendor::start([status(200), status(200), status(200), status(200)]).await;
    let client = vendor.client();
    let body = r#"{"type":"realtime","model":"gpt-realtime-2.1"}"#;
    client.accept(&"rtc_a/b?c d".into(), body.to_owned()).await;
    client.reject(&call(), 486).await.unwrap();
    client.refer(&call(), "tel:+14155550123").await.unwrap();
    client.hangup(&call()).await.unwrap();
    let asked = vendor.asked();
    let starts = [
        "POST /v1/realtime/calls/rtc_a%2Fb%3Fc%20d/accept HTTP/1.1\r\n",
        "POST /v1/realtime/calls/rtc_u1_9c2f41aa07/reject HTTP/1.1\r\n",
        "POST /v1/realtime/calls/rtc_u1_9c2f41aa07/refer HTTP/1.1\r\n",
        "POST /v1/realtime/calls/rtc_u1_9c2f41aa07/hangup HTTP/1.1\r\n",
    ];
    let ends = [body, r#"{"status_code":486}"#, r#"{"target_uri":"tel:+14155550123"}"#, "\r\n\r\n"];
    for ((request, start), end) in asked.iter().zip(starts).zip(ends) {
        assert!(request.starts_with(start), "{request}");
        assert!(request.ends_with(end), "{request}");
        for header in [
            "authorization: Bearer sk-proj-very-private\r\n",
            "openai-project: proj_1\r\n",
            "openai-organization: org_1\r\n",
        ] {
            assert!(request.contains(header), "{request}");
        }
        let has_json = request.contains("content-type: application/json\r\n");
        assert_eq!(has_json, !end.starts_with('\r'), "{request}");
    }
    assert_eq!(asked.len(), 4);
}

#[tokio::test]
async fn the_first_caller_finds_a_warm_connection() {
    let vendor = Vendor::start([status(404), status(200), status(200)]).await;
    let client = vendor.client();
    client.warm_up().await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.accept(&call(), "{}".to_owned()).await, AcceptAnswer::Ok);
    }
    assert_eq!(vendor.connections.load(Ordering::SeqCst), 1);
    assert!(vendor.asked()[0].starts_with("HEAD /v1/models "));
}

#[tokio::test]
async fn a_hangup_and_a_reject_insist() {
    let table: Vec<(Vec<Reply>, Result<(), &str>, usize)> = vec![
        (vec![status(200)], Ok(()), 1),
        (vec![error(404, "call_id_not_found")], Ok(()), 1),
        (vec![status(409)], Ok(()), 1),
        (vec![status(500), Break, status(503), status(200)], Ok(()), 4),
        (vec![status(500), error(404, "call_id_not_found")], Ok(()), 2),
        (vec![status(429), status(200)], Ok(()), 2),
        (vec![status(500); 5], Err("status 500"), 4),
        (vec![error(400, "invalid_value")], Err("status 400 invalid_value: Told so."), 1),
    ];
    for (script, expected, requests) in table {
        let vendor = Vendor::start(script.clone()).await;
        let ended = vendor.client().hangup(&call()).await;
        assert_eq!((ended, vendor.asked().len()), (expected.map_err(str::to_owned), requests));

        let vendor = Vendor::start(script).await;
        let ended = vendor.client().reject(&call(), 603).await;
        assert_eq!((ended, vendor.asked().len()), (expected.map_err(str::to_owned), requests));
    }
}

#[tokio::test]
async fn a_hangup_that_is_not_answered_is_tried_again() {
    let vendor = Vendor::start([Silence, status(200)]).await;
    let deadlines = Deadlines { control: Duration::from_millis(300), ..deadlines() };
    let client = Client::new(&settings(vendor.address), deadlines).unwrap();
    assert_eq!(client.hangup(&call()).await, Ok(()));
    assert_eq!(vendor.asked().len(), 2);
}

#[tokio::test]
async fn a_refer_that_may_have_been_heard_is_not_repeated() {
    for reply in [status(500), status(503), error(404, "call_id_not_found"), Break] {
        let vendor = Vendor::start([reply, status(200)]).await;
        assert!(vendor.client().refer(&call(), "sip:agent@example.com").await.is_err());
        assert_eq!(vendor.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_endless_error_is_told_in_short() {
    let (answer, _) = accept(vec![Reply::Answer(400, "", "x".repeat(1 << 20))], deadlines()).await;
    let AcceptAnswer::Refused(text) = answer else { panic!("{answer:?}") };
    assert!(text.len() < 400, "{} bytes", text.len());
}

#[tokio::test]
async fn wrong_settings_are_named_and_secrets_are_not_printed() {
    let right = settings(nobody().await);
    let client = Client::new(&right, deadlines()).unwrap();
    assert!(!format!("{client:?}").contains("very-private"));

    let wrong = Settings { base_url: "ftp://example.com".to_owned(), ..right.clone() };
    assert!(matches!(Client::new(&wrong, deadlines()), Err(SettingsError::BaseUrl)));
    let wrong = Settings { realtime_url: "https://example.com".to_owned(), ..right.clone() };
    assert!(matches!(Connector::new(&wrong, deadlines()), Err(SettingsError::RealtimeUrl)));
    let wrong = Settings { api_key: Secret::new("very\nprivate"), ..right };
    let problem = Client::new(&wrong, deadlines()).unwrap_err();
    assert!(!problem.to_string().contains("private"), "{problem}");
    assert!(matches!(problem, SettingsError::Header("api_key")));
}

// ---- sideband ----

type Peer = WebSocketStream<TcpStream>;

/// A sideband with `deadlines`, and the provider's end of it.
async fn attached(deadlines: Deadlines) -> (Sideband, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    attached_at(listener, deadlines).await
}

async fn attached_at(listener: TcpListener, deadlines: Deadlines) -> (Sideband, Peer) {
    let settings = settings(listener.local_addr().expect("an address"));
    let connector = Connector::new(&settings, deadlines).expect("right settings");
    let call = call();
    let (sideband, peer) = tokio::join!(connector.connect(&call), async {
        let (socket, _) = listener.accept().await.expect("a connection");
        accept_async(socket).await.expect("a handshake")
    });
    (sideband.expect("a sideband"), peer)
}

async fn next(sideband: &mut Sideband) -> SidebandItem {
    timeout(PATIENCE, sideband.next()).await.expect("an item")
}

async fn next_unknown(sideband: &mut Sideband) -> String {
    match next(sideband).await {
        SidebandItem::Event(ProviderEvent::Unknown { kind }) => kind,
        other => panic!("{other:?}"),
    }
}

async fn assert_lost(sideband: &mut Sideband, code: Option<u16>) {
    // The end is repeated to whoever asks again.
    for _ in 0..2 {
        match next(sideband).await {
            SidebandItem::Lost(lost) => assert_eq!(lost, code),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_sideband_names_its_call_and_speaks_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let connector =
        Connector::new(&settings(listener.local_addr().expect("an address")), deadlines()).unwrap();
    let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri().to_string(), "/v1/realtime?call_id=rtc_a%26b");
        assert_eq!(request.headers()["authorization"], format!("Bearer {API_KEY}"));
        assert_eq!(request.headers()["openai-project"], "proj_1");
        Ok(response)
    };
    let call = "rtc_a&b".into();
    let (sideband, peer) = tokio::join!(connector.connect(&call), async {
        accept_hdr_async(listener.accept().await.unwrap().0, check).await.unwrap()
    });
    let (mut sideband, mut peer) = (sideband.unwrap(), peer);

    let created = r#"{"type":"session.created","event_id":"e1","session":{"expires_at":1795003600}}"#;
    peer.send(Message::text(created)).await.unwrap();
    let item = next(&mut sideband).await;
    assert!(matches!(item, SidebandItem::Event(ProviderEvent::Attached { .. })), "{item:?}");

    // It leaves at once, although nobody asks for the next event.
    sideband.send(r#"{"type":"response.create"}"#.to_owned());
    let heard = timeout(PATIENCE, peer.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(heard, Message::text(r#"{"type":"response.create"}"#));
}

#[tokio::test]
async fn a_refused_handshake_has_a_reason() {
    let table = [
        (status(404), AttachFailure::NotFound),
        (error(404, "call_id_not_found"), AttachFailure::NotFound),
        (status(401), AttachFailure::Denied(401)),
        (status(403), AttachFailure::Denied(403)),
        (status(500), AttachFailure::Passing("status 500".to_owned())),
        (Reply::Answer(503, "", "busy\n".to_owned()), AttachFailure::Passing("status 503: busy".to_owned())),
    ];
    for (reply, expected) in table {
        let vendor = Vendor::start([reply]).await;
        let connector = Connector::new(&settings(vendor.address), deadlines()).unwrap();
        assert_eq!(connector.connect(&call()).await.err(), Some(expected));
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_may_be_tried_again() {
    let deadlines = Deadlines { attach: Duration::from_millis(100), ..deadlines() };
    for reply in [Silence, Break] {
        let vendor = Vendor::start([reply]).await;
        let connector = Connector::new(&settings(vendor.address), deadlines).unwrap();
        let failure = connector.connect(&call()).await.err();
        assert!(matches!(failure, Some(AttachFailure::Passing(_))), "{failure:?}");
    }
    let connector = Connector::new(&settings(nobody().await), deadlines).unwrap();
    let failure = connector.connect(&call()).await.err();
    assert!(matches!(failure, Some(AttachFailure::Passing(_))), "{failure:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_no_reason_to_hang_up() {
    let (mut sideband, mut peer) = attached(deadlines()).await;
    let frames = [
        Message::text("{nonsense"),
        Message::binary(vec![0, 159]),
        Message::text(r#"{"type":"brand.new"}"#),
        Message::text(r#"{"type":"session.created"}"#),
        Message::text(r#"{"type":"session.updated","session":{}}"#),
    ];
    for frame in frames {
        peer.send(frame).await.unwrap();
    }
    for kind in ["", "binary", "brand.new", "session.created"] {
        assert_eq!(next_unknown(&mut sideband).await, kind);
    }
    let item = next(&mut sideband).await;
    assert!(matches!(item, SidebandItem::Event(ProviderEvent::Configured { .. })), "{item:?}");
}

#[tokio::test]
async fn a_dropped_connection_is_lost_without_a_code() {
    let (mut sideband, peer) = attached(deadlines()).await;
    drop(peer);
    assert_lost(&mut sideband, None).await;
}

#[tokio::test]
async fn what_was_said_before_the_end_is_heard() {
    let (mut sideband, mut peer) = attached(deadlines()).await;
    peer.send(Message::text(r#"{"type":"last.words"}"#)).await.unwrap();
    drop(peer);
    sideband.send("{}".to_owned());
    sideband.send("{}".to_owned());
    assert_eq!(next_unknown(&mut sideband).await, "last.words");
    assert_lost(&mut sideband, None).await;
}

#[tokio::test]
async fn a_close_frame_is_lost_with_its_code() {
    let (mut sideband, mut peer) = attached(deadlines()).await;
    peer.close(Some(CloseFrame { code: 1011.into(), reason: "oops".into() })).await.unwrap();
    assert_lost(&mut sideband, Some(1011)).await;

    let (mut sideband, mut peer) = attached(deadlines()).await;
    peer.close(None).await.unwrap();
    assert_lost(&mut sideband, Some(1005)).await;
}

#[tokio::test]
async fn too_large_a_message_is_lost() {
    let (mut sideband, mut peer) = attached(deadlines()).await;
    let sending = tokio::spawn(async move {
        let _ = peer.send(Message::text("x".repeat((8 << 20) + 1))).await;
    });
    assert_lost(&mut sideband, None).await;
    drop(sideband);
    timeout(PATIENCE, sending).await.unwrap().unwrap();
}

#[tokio::test]
async fn pings_are_answered() {
    let (mut sideband, mut peer) = attached(deadlines()).await;
    let peer = tokio::spawn(async move {
        peer.send(Message::Ping(b"are you there"[..].to_owned().into())).await.unwrap();
        let answer = timeout(PATIENCE, peer.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer, Message::Pong(b"are you there"[..].to_owned().into()));
        peer.send(Message::text(r#"{"type":"done"}"#)).await.unwrap();
        peer
    });
    assert_eq!(next_unknown(&mut sideband).await, "done");
    peer.await.unwrap();
}

#[tokio::test]
async fn pongs_keep_a_quiet_call_alive() {
    let deadlines = Deadlines {
        ping_every: Duration::from_millis(100),
        silence_max: Duration::from_millis(1000),
        ..deadlines()
    };
    let (mut sideband, mut peer) = attached(deadlines).await;
    // By the last of these pings, the longest silence is over.
    let peer = tokio::spawn(async move {
        for _ in 0..12 {
            let ping = timeout(PATIENCE, peer.next()).await.unwrap().unwrap().unwrap();
            assert!(ping.is_ping(), "{ping:?}");
        }
        peer.send(Message::text(r#"{"type":"done"}"#)).await.unwrap();
        peer
    });
    assert_eq!(next_unknown(&mut sideband).await, "done");
    peer.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_lost() {
    let deadlines = Deadlines {
        ping_every: Duration::from_millis(20),
        silence_max: Duration::from_millis(100),
        ..deadlines()
    };
    let (mut sideband, _peer_that_never_reads) = attached(deadlines).await;
    assert_lost(&mut sideband, None).await;
}

#[tokio::test]
async fn a_peer_that_does_not_take_what_we_send_is_lost() {
    let deadlines = Deadlines { send: Duration::from_millis(50), ..deadlines() };
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let (mut sideband, _peer_that_never_reads) = attached_at(listener, deadlines).await;
    // More than the system's buffers hold, less than the sideband's own limit.
    sideband.send("x".repeat(7 << 19));
    assert_lost(&mut sideband, None).await;
}

#[tokio::test]
async fn more_than_can_be_kept_for_a_slow_peer_is_lost() {
    let deadlines = Deadlines { send: Duration::from_millis(50), ..deadlines() };
    let (mut sideband, _peer_that_never_reads) = attached(deadlines).await;
    for _ in 0..16 {
        sideband.send("x".repeat(1 << 20));
    }
    assert_lost(&mut sideband, None).await;
}

#[tokio::test]
async fn asking_and_turning_away_loses_nothing() {
    const EVENTS: usize = 300;
    let (mut sideband, mut peer) = attached(deadlines()).await;
    let peer = tokio::spawn(async move {
        for number in 0..EVENTS {
            let filler = "x".repeat(number * 100);
            let event = format!(r#"{{"type":"event.{number}","filler":"{filler}"}}"#);
            peer.send(Message::text(event)).await.unwrap();
        }
        peer
    });
    let mut heard = Vec::new();
    let hearing = async {
        while heard.len() < EVENTS {
            tokio::select! {
                biased;
                item = sideband.next() => match item {
                    SidebandItem::Event(ProviderEvent::Unknown { kind }) => heard.push(kind),
                    other => panic!("{other:?}"),
                },
                () = tokio::task::yield_now() => {}
            }
        }
    };
    timeout(PATIENCE, hearing).await.unwrap();
    let expected: Vec<String> = (0..EVENTS).map(|number| format!("event.{number}")).collect();
    assert_eq!(heard, expected);
    peer.await.unwrap();
}
