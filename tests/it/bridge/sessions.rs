//! How many sessions a bridge opens: one at a time, and what it gives up is closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, sink, stream};
use serde_json::value::RawValue;
use switchboard::call::event::{AcceptAnswer, Event, ProviderEvent};
use switchboard::clock::SystemClock;
use switchboard::media::bridge::{Bridge, Parts};
use switchboard::media::phone::{Phone, Socket};
use switchboard::openai::Deadlines;
use switchboard::openai::sideband::Connector;
use switchboard::wire::media::StreamSid;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::openai::settings;

/// A caller who says nothing and stays.
fn silent() -> Phone {
    let outbound = Box::pin(sink::drain().sink_map_err(|never| match never {}));
    Phone::new(Socket { inbound: Box::pin(stream::pending()), outbound })
}

/// A bridge whose provider is there.
fn bridge(provider: SocketAddr, attach: Duration) -> Bridge {
    let connector = Connector::new(&settings(provider), Deadlines { attach, ..Deadlines::default() });
    let (bridge, task) = Bridge::new(Parts {
        phone: silent(),
        stream: StreamSid::parse(&format!("MZ{}", "0".repeat(32))).expect("a stream's id"),
        said: Vec::new(),
        connector: connector.expect("a connector"),
        model: "gpt-realtime".to_owned(),
        session: RawValue::from_string("{}".to_owned()).expect("JSON"),
        recording: None,
        clock: Arc::new(SystemClock),
    });
    tokio::spawn(task);
    bridge
}

async fn said(bridge: &mut Bridge) -> Event {
    timeout(Duration::from_secs(20), bridge.next()).await.expect("something happens").expect("a bridge")
}

type Session = WebSocketStream<TcpStream>;

/// Opens a session, as far as the gateway's wish how it shall be.
async fn session(listener: &TcpListener) -> Session {
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut session = accept_async(stream).await.expect("a handshake");
    tell(&mut session, "session.created").await;
    session.next().await.expect("a session.update").expect("a frame");
    session
}

async fn tell(session: &mut Session, kind: &str) {
    let event =
        format!(r#"{{"type":"{kind}","event_id":"event","session":{{"type":"realtime","id":"sess"}}}}"#);
    session.send(event.into()).await.expect("sent");
}

#[tokio::test]
async fn a_session_that_is_on_its_way_is_not_opened_once_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut bridge = bridge(listener.local_addr().expect("an address"), Duration::from_secs(5));
    let mut first = session(&listener).await;
    tell(&mut first, "session.updated").await;
    assert!(matches!(said(&mut bridge).await, Event::AcceptAnswered(AcceptAnswer::Session(_))));
    bridge.attach(Duration::ZERO);
    assert!(matches!(said(&mut bridge).await, Event::Provider(ProviderEvent::Attached { .. })));
    drop(first);
    assert!(matches!(said(&mut bridge).await, Event::SidebandLost(_)));
    bridge.attach(Duration::ZERO);
    let mut second = session(&listener).await;
    // The call has waited long enough, and wants it to be looked for again.
    bridge.attach(Duration::ZERO);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tell(&mut second, "session.updated").await;
    let event = said(&mut bridge).await;
    assert!(matches!(event, Event::Provider(ProviderEvent::Attached { .. })), "{event:?}");
}

#[tokio::test]
async fn a_handshake_that_is_given_up_leaves_no_session_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut bridge = bridge(listener.local_addr().expect("an address"), Duration::from_secs(1));
    let (mut slow, _) = listener.accept().await.expect("a connection");
    let mut second = session(&listener).await;
    // What the provider would answer now, nobody would hear.
    let mut request = Vec::new();
    timeout(Duration::from_secs(20), slow.read_to_end(&mut request)).await.expect("closed").expect("read");
    assert!(request.starts_with(b"GET /"), "{request:?}");
    tell(&mut second, "session.updated").await;
    assert!(matches!(said(&mut bridge).await, Event::AcceptAnswered(AcceptAnswer::Session(_))));
}
