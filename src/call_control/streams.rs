//! Media streams: which call a stream is let into.
//!
//! A stream is let in by the token that our TwiML gave along, once: for the caller's own leg, and for a call
//! that waits for it. A call that was moved here brings what was said before.

use std::sync::Arc;

use super::registry::{Caller, Message};
use super::{CallControl, DeliverError};
use crate::call::event::{Event, Offer};
use crate::call::record::{CallRecord, JoinedBy, Path, Speaker, State};
use crate::ids::{CallId, CallSid, ProviderCallId, WebhookId};
use crate::media::phone::Phone;
use crate::media::reception::POLICY;
use crate::wire::join_token::TokenRefusal;
use crate::wire::media::StreamSid;

/// The provider at the other end of a bridge.
const PROVIDER: &str = "openai-realtime";

/// A stream of the carrier said who it is for.
pub struct Stream {
    /// The caller's leg.
    pub call_sid: CallSid,
    /// What our TwiML gave along.
    pub token: String,
    /// The stream.
    pub sid: StreamSid,
    /// Its socket.
    pub phone: Phone,
}

/// Why a stream is not let in.
#[derive(Debug, thiserror::Error)]
pub enum StreamRefusal {
    /// The token is not one of ours, or too old.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// The token is of no call, of another leg's call, or of a call that is not bridged.
    #[error("the token is not for this call")]
    OtherCall,
    /// The call has a stream, or is over.
    #[error("the call does not wait for a stream")]
    NotAwaited,
    /// The call could not be kept.
    #[error("the call could not be kept")]
    Kept(#[from] DeliverError),
}

impl CallControl {
    /// Lets a stream into the call it is for; the call is on disk when this returns. A stream that is
    /// refused is closed.
    ///
    /// # Errors
    ///
    /// [`StreamRefusal`].
    pub async fn stream_started(self: &Arc<Self>, stream: Stream) -> Result<(), StreamRefusal> {
        let joined = match self.join_key.verify(&stream.token, self.clock.now()) {
            Ok(joined) => joined.call_id,
            Err(refusal) => return refuse(stream.phone, refusal.into()).await,
        };
        // Two streams may show the same token at the same time.
        let _joining = self.deliveries.claim_call(joined).await;
        let record = match self.awaiting(joined, &stream.call_sid) {
            Ok(record) => record,
            Err(refusal) => return refuse(stream.phone, refusal).await,
        };
        let now = self.clock.now();
        let mut choice = self.choose_again(&record);
        let beginnings = self.ask(&record, &mut choice, &[]).await;
        let (verdict, plan) = self.verdict(&record, choice, &beginnings, now);
        let offer = Offer {
            path: Path::MediaStreams,
            provider: PROVIDER,
            // Until the provider names its session.
            call_id: ProviderCallId::from(stream.sid.as_str()),
            webhook_id: WebhookId::from(stream.sid.as_str()),
            created: now,
            received: now,
            joined_by: JoinedBy::Token,
            sip_headers: Vec::new(),
            verdict,
            hooks: beginnings.hooks,
            accept_within: None,
        };
        let (mut message, done) = Message::durable(Event::Offered(Box::new(offer)), Vec::new());
        message.plan = plan;
        let said = self.said_before(&record).await?;
        message.caller = Some(Box::new(Caller { phone: stream.phone, stream: stream.sid, said }));
        Ok(self.deliver(joined, (message, done)).await?)
    }

    /// What was said before the call was moved here, or broke off; all of it is on disk, for the carrier was answered after.
    async fn said_before(&self, record: &CallRecord) -> Result<Vec<(Speaker, String)>, DeliverError> {
        if record.broken_off().is_none() || !record.heard.is_anybody() {
            return Ok(Vec::new());
        }
        let detail = self.store.detail(record.id).await?;
        let lines = detail.map(|detail| detail.lines).unwrap_or_default();
        Ok(lines.into_iter().map(|line| (line.speaker, line.text)).collect())
    }

    fn awaiting(&self, id: CallId, call_sid: &CallSid) -> Result<CallRecord, StreamRefusal> {
        let record = self.store.call(id).map_err(DeliverError::from)?.ok_or(StreamRefusal::OtherCall)?;
        let is_callers = record.carrier.as_ref().is_some_and(|carrier| carrier.call_sid == *call_sid);
        if !is_callers || record.path != Path::MediaStreams {
            return Err(StreamRefusal::OtherCall);
        }
        if record.state != State::Dialing {
            return Err(StreamRefusal::NotAwaited);
        }
        Ok(record)
    }
}

async fn refuse(phone: Phone, refusal: StreamRefusal) -> Result<(), StreamRefusal> {
    phone.close(POLICY).await;
    Err(refusal)
}
