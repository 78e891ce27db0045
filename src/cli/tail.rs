//! `switchboard calls tail`: what happens in calls, as it happens, of all calls or of one until it is over.
//!
//! A connection that is lost is opened again behind the event that was read last, so nothing is lost and nothing told
//! twice. Where the gateway has not kept what came in between (it was started anew), calls are read from their records.

mod console;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use anyhow::anyhow;
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::Failure;
use super::source::{Source, refusal};
use crate::call::record::State;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::ids::CallId;
use crate::wire::sse::{Reader, ServerSent};
use console::Console;

/// How long nothing may come: the gateway says every 15 s that it is there.
const SILENT_MAX: Duration = Duration::from_secs(45);
/// The first wait before the connection is opened again; each is twice as long as the one before.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The longest.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(5);
/// Calls that began so long before the gateway was heard last are read again after a gap: its clock is not ours.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// Follows calls until Ctrl-C, the end of the one call, or the end of whoever reads.
pub(super) async fn run(source: &Source, call: Option<CallId>, is_json: bool) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let tail =
        Tail { source, call, console: (!is_json).then(|| Console::of(call)), heard: SystemClock.now() };
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = tail.follow() => ended,
    }
}

struct Tail<'a> {
    source: &'a Source,
    call: Option<CallId>,
    /// None: events are printed as they are.
    console: Option<Console>,
    /// When something was heard of the gateway last.
    heard: Timestamp,
}

/// An event for programs.
#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    event: &'a str,
    data: &'a RawValue,
}

impl Tail<'_> {
    async fn follow(mut self) -> Result<(), Failure> {
        let mut response = self.open(None).await?.map_err(|words| Failure::Unavailable(anyhow!(words)))?;
        let what = self.call.map_or("calls".to_owned(), |call| call.to_string());
        eprintln!("following {what}; Ctrl-C ends it");
        if self.begin().await? {
            return Ok(());
        }
        let mut seen = None;
        loop {
            let mut reader = Reader::after(seen.take());
            if self.read(&mut response, &mut reader).await? {
                return Ok(());
            }
            seen = reader.seen().map(str::to_owned);
            response = self.open_again(seen.as_deref()).await?;
        }
    }

    /// Opens the stream; the text says why that may work later.
    async fn open(&self, seen: Option<&str>) -> Result<Result<Response, String>, Failure> {
        let response = match self.source.watch(self.call, seen).await {
            Err(Failure::Unavailable(error)) => return Ok(Err(error.to_string())),
            other => other?,
        };
        match response.status() {
            status if status.is_success() => Ok(Ok(response)),
            status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
                Ok(Err(refusal(response).await.into_error().to_string()))
            }
            _ => Err(refusal(response).await),
        }
    }

    async fn open_again(&self, seen: Option<&str>) -> Result<Response, Failure> {
        eprintln!("the connection is lost, and opened again");
        let mut wait = AGAIN_AFTER;
        loop {
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN_AFTER_MAX);
            if let Ok(response) = self.open(seen).await? {
                return Ok(response);
            }
        }
    }

    /// Tells what is kept already of the one call; the stream is open, so that nothing falls between. True: that is all.
    async fn begin(&mut self) -> Result<bool, Failure> {
        let Some(id) = self.call else { return Ok(false) };
        let detail = self.source.detail(id).await?.ok_or_else(|| anyhow!("no call `{id}`"))?;
        let is_over = detail.call.state == State::Ended;
        if is_over && self.console.is_none() {
            eprintln!("{id} is over: `switchboard calls show {id} --format json` has all of it");
        }
        let told = self.console.as_mut().map(|console| console.detail(&detail)).unwrap_or_default();
        Ok(!say(&told)? || is_over)
    }

    /// Reads until the connection is lost. True: there is nothing more to tell.
    async fn read(&mut self, response: &mut Response, reader: &mut Reader) -> Result<bool, Failure> {
        loop {
            let piece = match timeout(SILENT_MAX, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None) | Err(_)) | Err(_) => return Ok(false),
            };
            let events = reader.feed(&piece)?;
            for event in &events {
                if self.tell(event).await? {
                    return Ok(true);
                }
            }
            self.heard = SystemClock.now();
        }
    }

    /// True: there is nothing more to tell.
    async fn tell(&mut self, event: &ServerSent) -> Result<bool, Failure> {
        let ServerSent { id, name, data } = event;
        let Some(console) = &mut self.console else {
            let data: &RawValue = serde_json::from_str(data)?;
            let line = serde_json::to_string(&Told { id, event: name, data })? + "\n";
            return Ok(!say(&line)? || (self.call.is_some() && is_end(event)));
        };
        if name == "reset" {
            return self.read_again().await;
        }
        let told = console.event(name, data, SystemClock.now())?;
        if !say(&told)? {
            return Ok(true);
        }
        // With its end, what was kept with it, whatever its order.
        Ok(self.call.is_some() && is_end(event) && (name == "gone" || self.read_again().await?))
    }

    /// Tells what is kept and was not told. True: there is nothing more to tell.
    async fn read_again(&mut self) -> Result<bool, Failure> {
        let Some(console) = &mut self.console else { return Ok(false) };
        let mut ids: BTreeSet<CallId> = console.open_calls().collect();
        match self.call {
            Some(call) => ids = [call].into(),
            None => {
                let since = self.source.since(self.heard - CLOCKS_APART).await?;
                ids.extend(since.iter().map(|call| call.id).filter(|id| !console.knows_end_of(*id)));
            }
        }
        for id in ids {
            // An erased one has nothing more to tell.
            let Some(detail) = self.source.detail(id).await? else { continue };
            if !say(&console.detail(&detail))? || (self.call.is_some() && detail.call.state == State::Ended) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Claims that the call of this event is over with it.
fn is_end(event: &ServerSent) -> bool {
    #[derive(serde::Deserialize)]
    struct Stated {
        state: State,
    }
    let ended = || serde_json::from_str::<Stated>(&event.data).is_ok_and(|call| call.state == State::Ended);
    event.name == "gone" || (event.name == "call" && ended())
}

/// Prints, now. False: whoever read it has seen enough (`| head`).
fn say(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}
