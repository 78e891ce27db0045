//! The carrier's end of a media stream: a WebSocket that strangers opened, held at arm's length.
//!
//! Which library carries it is the door's business: a [`Socket`] is a stream and a sink of [`Frame`]s. A
//! [`Phone`] hands over without waiting, keeps what the carrier does not take at once in bounds, and gives
//! up a carrier that is silent, stalled, or sends more than any telephone can.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, Stream};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest message that is read, in bytes; the door sees to it.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// How many messages may wait for a carrier that does not read: with the lead of the playback a second
/// of audio is twenty of them, marks included.
const UNSENT_MAX: usize = 512;
/// A carrier that takes nothing of what waits for this long is gone.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// Between two pings of ours.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Without a message, not even a pong, for this long the stream is lost. Twilio sends 50 a second.
const SILENT_AFTER: Duration = Duration::from_secs(25);
/// How long a carrier may take to answer a close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// How many messages may come at once, where a network held them back.
const BURST_MAX: f64 = 1_000.0;
/// How many messages a second may come for long: four times what a telephone sends.
const RATE_PER_S: f64 = 200.0;

/// A frame of the carrier's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text message.
    Text(String),
    /// A ping.
    Ping,
    /// The close, with its code.
    Close(u16),
    /// Anything else that shows that somebody is there.
    Other,
    /// A binary message, which no media stream has.
    Binary,
}

/// The carrier's socket.
pub struct Socket {
    /// What comes; it ends with the socket.
    pub inbound: Pin<Box<dyn Stream<Item = Frame> + Send>>,
    /// What goes.
    pub outbound: Pin<Box<dyn Sink<Frame, Error = io::Error> + Send>>,
}

/// The end of a carrier's stream, as far as the socket tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It was closed.
    Closed,
    /// It fell silent.
    Silent,
    /// It did not take what we sent.
    Stalled,
    /// It sent more than any telephone can.
    Flood,
}

impl Gone {
    /// A stable name, for records.
    pub fn name(self) -> &'static str {
        match self {
            Gone::Closed => "closed",
            Gone::Silent => "silent",
            Gone::Stalled => "stalled",
            Gone::Flood => "flood",
        }
    }
}

/// What a phone says.
#[derive(Debug)]
pub enum Said {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary,
    /// The end, after which there is only the end.
    Gone(Gone),
}

/// The carrier's end of a call's audio. Dropping it drops the connection; [`Phone::close`] says goodbye.
pub struct Phone {
    socket: Socket,
    unsent: VecDeque<Frame>,
    stalled: Option<Instant>,
    heard: Instant,
    pinged: Instant,
    /// How many messages may still come at once.
    allowance: f64,
    filled: Instant,
    alarm: Pin<Box<Sleep>>,
    gone: Option<Gone>,
}

impl Phone {
    /// A phone on this socket.
    pub fn new(socket: Socket) -> Phone {
        let now = Instant::now();
        Phone {
            socket,
            unsent: VecDeque::new(),
            stalled: None,
            heard: now,
            pinged: now,
            allowance: BURST_MAX,
            filled: now,
            alarm: Box::pin(sleep_until(now + PING_EVERY)),
            gone: None,
        }
    }

    /// Claims that more audio may be handed over.
    pub fn has_room(&self) -> bool {
        self.unsent.len() < UNSENT_MAX / 2
    }

    /// Hands a text message over and does not wait; [`Phone::next`] moves it on.
    pub fn send(&mut self, text: String) {
        self.hand_over(Frame::Text(text));
    }

    /// Says that nothing more comes, and waits a moment for the carrier to hang up, too: a connection that
    /// is dropped with something unread on it is reset, and the carrier would never learn why.
    pub async fn close(mut self, code: u16) {
        self.hand_over(Frame::Close(code));
        let closed = poll_fn(|context| {
            if self.push(context).is_err() {
                return Poll::Ready(());
            }
            while let Poll::Ready(frame) = self.socket.inbound.as_mut().poll_next(context) {
                if matches!(frame, None | Some(Frame::Close(_))) {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        });
        let _ = tokio::time::timeout(CLOSE_WITHIN, closed).await;
    }

    /// What the phone says next. Cancel-safe: a call that is dropped has taken nothing.
    pub async fn next(&mut self) -> Said {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Said> {
        loop {
            if let Some(gone) = self.gone {
                return Poll::Ready(Said::Gone(gone));
            }
            if self.push(context).is_err() {
                self.gone = Some(Gone::Closed);
                continue;
            }
            match self.socket.inbound.as_mut().poll_next(context) {
                Poll::Ready(Some(frame)) => {
                    if let Some(said) = self.take(frame) {
                        return Poll::Ready(said);
                    }
                }
                Poll::Ready(None) => self.gone = Some(Gone::Closed),
                Poll::Pending => match self.keep_watch(context) {
                    Poll::Ready(()) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    fn take(&mut self, frame: Frame) -> Option<Said> {
        self.heard = Instant::now();
        if !self.may_speak() {
            self.gone = Some(Gone::Flood);
            return None;
        }
        match frame {
            Frame::Text(text) => Some(Said::Text(text)),
            Frame::Binary => Some(Said::Binary),
            Frame::Close(_) => {
                self.gone = Some(Gone::Closed);
                None
            }
            // Pongs are sent by the socket itself.
            Frame::Ping | Frame::Other => None,
        }
    }

    /// A bucket that refills: bursts pass, floods do not.
    fn may_speak(&mut self) -> bool {
        let refill = self.heard.saturating_duration_since(self.filled).as_secs_f64() * RATE_PER_S;
        self.filled = self.heard;
        self.allowance = (self.allowance + refill).min(BURST_MAX) - 1.0;
        self.allowance >= 0.0
    }

    /// Moves on what the carrier has not taken yet.
    fn push(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let mut is_taken = true;
        while !self.unsent.is_empty() {
            match self.socket.outbound.as_mut().poll_ready(context)? {
                Poll::Ready(()) => {
                    if let Some(frame) = self.unsent.pop_front() {
                        self.socket.outbound.as_mut().start_send(frame)?;
                    }
                }
                Poll::Pending => {
                    is_taken = false;
                    break;
                }
            }
        }
        is_taken &= self.socket.outbound.as_mut().poll_flush(context)?.is_ready();
        self.stalled = if is_taken { None } else { self.stalled.or_else(|| Some(Instant::now())) };
        Ok(())
    }

    fn keep_watch(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let silent = self.heard + SILENT_AFTER;
        let stalled = self.stalled.map(|since| since + STALLED_AFTER);
        let ping = self.pinged + PING_EVERY;
        if stalled.is_some_and(|at| at <= now) {
            self.gone = Some(Gone::Stalled);
            return Poll::Ready(());
        }
        if silent <= now {
            self.gone = Some(Gone::Silent);
            return Poll::Ready(());
        }
        if ping <= now {
            self.pinged = now;
            self.hand_over(Frame::Ping);
            return Poll::Ready(());
        }
        let due = stalled.map_or(silent, |at| at.min(silent)).min(ping);
        if self.alarm.deadline() != due {
            self.alarm.as_mut().reset(due);
        }
        self.alarm.as_mut().poll(context)
    }

    fn hand_over(&mut self, frame: Frame) {
        if self.unsent.len() < UNSENT_MAX {
            self.unsent.push_back(frame);
        } else {
            self.gone.get_or_insert(Gone::Stalled);
        }
    }
}
