//! The provider's end of a bridge: a socket that carries a session, from the try to open it to its loss.

use std::future::pending;
use std::pin::Pin;

use tokio::time::{Instant, sleep_until};

use crate::call::event::{AttachFailure, SpeechPadding};
use crate::clock::Timestamp;
use crate::openai::dialect;
use crate::openai::sideband::{Frame, Sideband};
use crate::wire::realtime::ClientEvent;
use crate::wire::realtime::server::Session;

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

pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Sideband, AttachFailure>> + Send>>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirming {
    Created,
    Updated,
}

/// What the provider's end has to say.
pub(super) enum Item {
    Look,
    Opened(Result<Sideband, AttachFailure>),
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
