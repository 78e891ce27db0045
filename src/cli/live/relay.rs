//! The relay between one gateway and the provider: every event passes as it is, but for the caller's sound and words,
//! about which [`Talk`] decides.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use tokio_util::sync::CancellationToken;

use super::talk::{Act, Talk};
use super::{Report, lock};
use crate::call::event::AttachFailure;
use crate::openai::sideband::{Connector, Frame, Sideband};
use crate::sim::line::{BridgedCaller, Mouth};
use crate::sim::sip::{Invite, SipEvent, SipLeg};
use crate::sim::twilio::SipPeer;

/// What the carrier is told where it dials: here a call is a media stream, or none.
const UNAVAILABLE: u16 = 503;

/// What the sessions of one call share.
pub(super) struct Relay {
    connector: Connector,
    talk: Mutex<Talk>,
    mouth: Mutex<Option<mpsc::Sender<Mouth>>>,
    pub report: Mutex<Report>,
}

impl Relay {
    pub fn new(connector: Connector, sounds: BTreeMap<String, Vec<u8>>, speed: f64) -> Relay {
        let talk = Mutex::new(Talk::new(sounds, speed, Instant::now()));
        Relay { connector, talk, mouth: Mutex::default(), report: Mutex::default() }
    }

    async fn act(&self, provider: &mut Sideband) {
        let acts = lock(&self.talk).act(&mut lock(&self.report), Instant::now());
        for act in acts {
            match act {
                Act::Say(frame) => provider.send(frame),
                Act::Do(mouth) => {
                    let caller = lock(&self.mouth).clone();
                    if let Some(caller) = caller {
                        // A caller who has left does nothing more.
                        let _ = caller.send(mouth).await;
                    }
                }
            }
        }
    }
}

impl SipPeer for Relay {
    fn invite(&self, _: Invite) -> BoxFuture<'_, SipLeg> {
        Box::pin(async {
            let (events, received) = mpsc::channel(1);
            let (commands, _) = mpsc::channel(1);
            let _ = events.send(SipEvent::Failed(UNAVAILABLE)).await;
            SipLeg { call_id: String::new(), events: received, commands }
        })
    }

    fn expect(&self, caller: BridgedCaller) {
        // A stream that is opened again goes on where the caller was.
        if lock(&self.mouth).replace(caller.mouth).is_none() {
            lock(&self.talk).begin(caller.script.steps);
        }
    }
}

/// Takes in the gateway's sessions until told to stop.
pub(super) async fn serve(relay: Arc<Relay>, listener: TcpListener, stopping: CancellationToken) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (relay, stopping) = (Arc::clone(&relay), stopping.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(&relay, stream) => {}
                        () = stopping.cancelled() => {}
                    }
                });
            }
            () = stopping.cancelled() => return,
        }
    }
}

/// Carries one session. A gateway that is told nothing of a session asks once more, and then leaves it.
async fn carry(relay: &Relay, stream: TcpStream) {
    let Some((mut gateway, model)) = let_in(stream).await else { return };
    let mut provider = match relay.connector.open_session(&model).await {
        Ok(provider) => Box::new(provider),
        Err(failure) => {
            let why = match failure {
                AttachFailure::NotFound => format!("it knows no model `{model}` (404)"),
                AttachFailure::Denied(status) => format!("it denied the key or the project ({status})"),
                AttachFailure::Passing(why) => why,
            };
            lock(&relay.report).unreachable = Some(why);
            return;
        }
    };
    lock(&relay.report).unreachable = None;
    lock(&relay.talk).opened(Instant::now());
    loop {
        let due = lock(&relay.talk).due();
        tokio::select! {
            message = gateway.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(frame) = message else { continue };
                let now = Instant::now();
                let frame = lock(&relay.talk).on_gateway(&frame, &mut lock(&relay.report), now);
                frame.into_iter().for_each(|frame| provider.send(frame));
            }
            frame = provider.next_frame() => {
                let Frame::Text(frame) = frame else { return };
                let now = Instant::now();
                let frames = lock(&relay.talk).on_provider(&frame, &mut lock(&relay.report), now);
                for frame in frames {
                    if gateway.send(Message::from(frame)).await.is_err() {
                        return;
                    }
                }
            }
            () = until(due) => relay.act(&mut provider).await,
        }
    }
}

/// The gateway's socket, and the model that it asks for.
async fn let_in(stream: TcpStream) -> Option<(WebSocketStream<TcpStream>, String)> {
    let mut model = None;
    let look = |request: &Request, response: Response| {
        let url = reqwest::Url::parse(&format!("ws://relay{}", request.uri())).ok();
        let named = url.and_then(|url| {
            url.query_pairs().find(|(name, _)| name == "model").map(|(_, model)| model.into_owned())
        });
        model = named;
        Ok(response)
    };
    let socket = accept_hdr_async(stream, look).await.ok()?;
    Some((socket, model?))
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
