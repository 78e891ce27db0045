//! Who a media stream is for, before anything is opened for it.
//!
//! The signature of the upgrade is the same for every call, so it proves the account and no more. What
//! proves the call is the token that our TwiML gave along and that comes back in `start`. A stream that
//! does not say in time who it is for is closed, and so is one whose first words are anything else.

use std::time::Duration;

use super::phone::{Phone, Said, Socket};
use crate::wire::media::{Body, FromCarrier, Start};

/// How long a stream may take to say who it is for.
const START_WITHIN: Duration = Duration::from_secs(5);
/// How many messages may come before that: `connected`, and what we do not know.
const EARLY_MAX: u32 = 8;
/// RFC 6455 §7.4.1: the close code for what breaks the rules of the house.
pub const POLICY: u16 = 1008;
/// RFC 6455 §7.4.1: the close code of an ordinary end.
pub const NORMAL: u16 = 1000;

/// Why a stream is not let in; also the verdict in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `start` came in time.
    #[error("no `start` came within {} s", START_WITHIN.as_secs())]
    Late,
    /// Something came that has no place before `start`.
    #[error("something else came before `start`")]
    NoStart,
    /// `start` could not be read.
    #[error("`start` could not be read")]
    Unreadable,
    /// It was closed before.
    #[error("it was closed before `start`")]
    Closed,
}

impl Refusal {
    /// A stable name, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Late => "start_late",
            Refusal::NoStart => "no_start",
            Refusal::Unreadable => "unreadable",
            Refusal::Closed => "closed",
        }
    }
}

/// Waits for `start`.
///
/// # Errors
///
/// [`Refusal`]; the socket is closed then.
pub async fn welcome(socket: Socket) -> Result<(Start, Phone), Refusal> {
    let mut phone = Phone::new(socket);
    let refusal = match tokio::time::timeout(START_WITHIN, start(&mut phone)).await {
        Ok(Ok(start)) => return Ok((start, phone)),
        Ok(Err(refusal)) => refusal,
        Err(_) => Refusal::Late,
    };
    phone.close(POLICY).await;
    Err(refusal)
}

async fn start(phone: &mut Phone) -> Result<Start, Refusal> {
    for _ in 0..EARLY_MAX {
        let text = match phone.next().await {
            Said::Text(text) => text,
            Said::Binary => return Err(Refusal::NoStart),
            Said::Gone(_) => return Err(Refusal::Closed),
        };
        match FromCarrier::read(&text).map_err(|_| Refusal::Unreadable)?.body {
            Body::Start(start) => return Ok(*start),
            Body::Connected | Body::Unknown(_) => {}
            Body::Media(_) | Body::Key(_) | Body::Mark(_) | Body::Stop => return Err(Refusal::NoStart),
        }
    }
    Err(Refusal::NoStart)
}
