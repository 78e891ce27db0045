//! The provider's end of a bridge: a socket that carries a session, from the try to open it to its loss.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::call::event::{AttachFailure, SpeechPadding};
use crate::clock::Timestamp;
use crate::openai::dialect;
use crate::openai::sideband::{Frame, Sideband};
use crate::wire::g711;
use crate::wire::realtime::ClientEvent;
use crate::wire::realtime::server::Session;

/// How much of the caller's audio waits for a session.
const RING: Duration = Duration::from_secs(3);
/// In how many pieces at most: those who send empty ones fill no memory.
const RING_PIECES_MAX: usize = 1_000;

/// The provider's end.
pub(super) enum Provider {
    /// Not there; the call says when to look again.
    Down,
    /// Looked for again at this moment.
    Resting(Instant),
    Opening(Opening),
    /// Open; the session is not confirmed.
    Confirming(Box<Sideband>, Confirming, Instant),
    /// Confirmed; the call has not opened the way.
    Ready(Box<Sideband>),
    Up(Box<Sideband>),
}

pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Box<Sideband>, AttachFailure>> + Send>>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirming {
    Created,
    Updated,
}

/// What the provider's end has to say.
pub(super) enum Item {
    Look,
    Opened(Result<Box<Sideband>, AttachFailure>),
    Late,
    Frame(Frame),
}

/// What is known of the present session.
#[derive(Default)]
pub(super) struct Known {
    pub id: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub padding: SpeechPadding,
    /// Speech stops what is said.
    pub interrupts: bool,
    /// It lives long enough to be exchanged in peace.
    pub may_rotate: bool,
}

/// The caller's audio that waits for a session; the oldest is dropped first.
#[derive(Default)]
pub(super) struct Ring {
    pieces: VecDeque<(String, usize)>,
    bytes: usize,
}

impl Ring {
    /// Keeps a piece: base64, and how many bytes it stands for. Claims that older audio had to go for it.
    pub fn push(&mut self, payload: &str, bytes: usize) -> bool {
        self.pieces.push_back((payload.to_owned(), bytes));
        self.bytes += bytes;
        let mut is_dropped = false;
        while self.bytes as u64 > g711::bytes(RING) || self.pieces.len() > RING_PIECES_MAX {
            is_dropped = self.pop().is_some();
        }
        is_dropped
    }

    /// The oldest piece.
    pub fn pop(&mut self) -> Option<String> {
        let (payload, bytes) = self.pieces.pop_front()?;
        self.bytes -= bytes;
        Some(payload)
    }
}

impl Known {
    /// The provider told how the session is.
    pub fn learn(&mut self, session: Session) {
        self.padding = dialect::padding_of(&session);
        self.interrupts = session
            .turn_detection
            .as_ref()
            .is_some_and(|detection| detection.interrupt_response.unwrap_or(true));
        self.id = session.id.or(self.id.take());
        self.expires_at = session.expires_at_s.map(Timestamp::from_secs).or(self.expires_at);
    }
}

/// Waits for the provider's end to say something.
pub(super) async fn next_item(provider: &mut Provider) -> Item {
    match provider {
        Provider::Down => pending().await,
        // A moment later the call opens the way; nothing is read before.
        Provider::Ready(_) => pending().await,
        Provider::Resting(until) => {
            sleep_until(*until).await;
            Item::Look
        }
        Provider::Opening(opening) => Item::Opened(opening.as_mut().await),
        Provider::Confirming(sideband, _, until) => tokio::select! {
            frame = sideband.next_frame() => Item::Frame(frame),
            () = sleep_until(*until) => Item::Late,
        },
        Provider::Up(sideband) => Item::Frame(sideband.next_frame().await),
    }
}

/// A piece of the caller's audio as the provider takes it.
pub(super) fn append(number: u64, audio: &str) -> String {
    let event_id = format!("in_{number}");
    ClientEvent::AudioAppend { event_id: &event_id, audio }.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_audio_makes_room_for_the_newest() {
        let mut ring = Ring::default();
        for number in 0..150 {
            assert!(!ring.push(&number.to_string(), 160), "three seconds have room");
        }
        assert!(ring.push("150", 160));
        assert_eq!(ring.pop().as_deref(), Some("1"));
        for _ in 0..2_000 {
            ring.push("", 0);
        }
        assert!(ring.pieces.len() <= RING_PIECES_MAX);
    }
}
