//! The lean carrier of a call over SIP: it asks what to do with a caller, hands the headers of the INVITE on, and
//! reports the leg's progress as it was asked to.
//!
//! Every request is really signed and sent. What the documents say is read by `sim::twiml`, which is as strict as the
//! vendor; nothing else is checked.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::figures::{Wrong, wrong};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::http::{TWILIO_STATUS, TWILIO_VOICE};
use crate::secret::Secret;
use crate::sim::log::WorldLog;
use crate::sim::sip::{Invite, SipLeg};
use crate::sim::twilio::{self, ExplicitRequest, Fields, Signing, SipPeer, TwilioSim};
use crate::sim::twiml::{Dial, Document, Method, Request, Target, Verb};
use crate::sim::world::{ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL};

/// The number that is dialled.
pub(super) const CALLEE: &str = "+815012345678";
/// Who calls: the customer that the example's tool knows.
pub(super) const CALLER: &str = "+819012345678";

/// Asks one gateway.
#[derive(Clone)]
pub(super) struct Carrier(TwilioSim);

/// A caller's call, and the leg towards the provider.
pub(super) struct Leg {
    sid: String,
    parent: String,
    address: String,
    /// What the INVITE carries besides what every INVITE does.
    pub headers: Vec<(String, String)>,
    progress: Option<Request>,
    result: Option<Request>,
}

/// Nobody is called through it: who dials is [`Carrier::ring`].
struct Nobody;

impl SipPeer for Nobody {
    fn invite(&self, _: Invite) -> BoxFuture<'_, SipLeg> {
        let ((_, events), (commands, _)) = (mpsc::channel(1), mpsc::channel(1));
        Box::pin(async move { SipLeg { call_id: String::new(), events, commands } })
    }
}

impl Carrier {
    /// Asks the gateway at this address; the seed makes its ids others than those of another run.
    pub fn new(gateway_url: &str, seed: u64) -> reqwest::Result<Carrier> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = WorldLog::quiet(Arc::clone(&clock));
        let options = twilio::Options {
            clock,
            entropy: Arc::new(Entropy::seeded(seed)),
            log,
            account_sid: ACCOUNT_SID.to_owned(),
            auth_token: Secret::new(AUTH_TOKEN),
            gateway_url: gateway_url.to_owned(),
            public_url: PUBLIC_URL.to_owned(),
            peer: Arc::new(Nobody),
            speed: 1.0,
        };
        Ok(Carrier(TwilioSim::new(options)?))
    }

    /// A caller rings; gives what is to be dialled.
    pub async fn ring(&self) -> Result<Leg, Wrong> {
        let parent = self.0.new_call_sid();
        let fields = self.0.voice_fields(&parent, CALLER, CALLEE, "ringing");
        let answer = self.post("voice", TWILIO_VOICE, fields).await?;
        let document = Document::read(answer.content_type.as_deref(), &answer.body)
            .map_err(|problems| wrong("voice_twiml", format!("{problems:?}")))?;
        match document.verbs.into_iter().next() {
            Some(Verb::Dial(dial)) => self.leg(parent, *dial),
            Some(Verb::Reject(reason)) => Err(wrong("voice_rejected", format!("{reason:?}"))),
            Some(verb) => Err(wrong("voice_not_dialled", format!("the gateway says {verb:?}"))),
            None => Err(wrong("voice_not_dialled", "the gateway says nothing")),
        }
    }

    fn leg(&self, parent: String, dial: Dial) -> Result<Leg, Wrong> {
        let Target::Sip(uri) = dial.noun.target else {
            return Err(wrong("voice_not_dialled", format!("the gateway dials {}", dial.noun.target)));
        };
        let sid = self.0.new_call_sid();
        let mut headers = vec![("X-Twilio-CallSid".to_owned(), sid.clone())];
        headers.extend(uri.headers);
        let (progress, result) = (dial.noun.status_callback, dial.action);
        Ok(Leg { sid, parent, address: uri.address, headers, progress, result })
    }

    /// The leg is on its way, rings, and was answered.
    pub async fn was_answered(&self, leg: &Leg) -> Result<(), Wrong> {
        for (number, status) in (0..).zip(["initiated", "ringing", "in-progress"]) {
            self.tell(leg, status, number).await?;
        }
        Ok(())
    }

    /// The leg is over, and the call with it.
    pub async fn is_over(&self, leg: &Leg) -> Result<(), Wrong> {
        self.tell(leg, "completed", 3).await?;
        if let Some(result) = &leg.result {
            let mut fields = self.0.voice_fields(&leg.parent, CALLER, CALLEE, "in-progress");
            for (name, value) in [
                ("DialBridged", "true"),
                ("DialCallSid", leg.sid.as_str()),
                ("DialCallStatus", "completed"),
                ("DialCallDuration", "1"),
                ("DialSipCallId", &leg.sid),
                ("DialSipResponseCode", "200"),
            ] {
                fields.push((name.to_owned(), value.to_owned()));
            }
            self.post("callback", path(&result.url), fields).await?;
        }
        let mut fields = self.0.voice_fields(&leg.parent, CALLER, CALLEE, "completed");
        fields.push(("CallDuration".to_owned(), "1".to_owned()));
        self.post("callback", TWILIO_STATUS, fields).await.map(drop)
    }

    async fn tell(&self, leg: &Leg, status: &str, number: u32) -> Result<(), Wrong> {
        let Some(request) = &leg.progress else { return Ok(()) };
        let number = number.to_string();
        let fields = [
            ("AccountSid", ACCOUNT_SID),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", &leg.sid),
            ("CallStatus", status),
            ("CallbackSource", "call-progress-events"),
            ("Called", &leg.address),
            ("Caller", CALLER),
            ("Direction", "outbound-dial"),
            ("From", CALLER),
            ("ParentCallSid", &leg.parent),
            ("SequenceNumber", &number),
            ("SipCallId", &leg.sid),
            ("To", &leg.address),
        ];
        let mut fields: Fields =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if status == "completed" {
            fields.extend(
                [("CallDuration", "1"), ("Duration", "1"), ("SipResponseCode", "200")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
        self.post("callback", path(&request.url), fields).await.map(drop)
    }

    async fn post(&self, what: &str, path: &str, fields: Fields) -> Result<twilio::Answer, Wrong> {
        let path = path.to_owned();
        let request = ExplicitRequest { method: Method::Post, path, fields, signing: Signing::Right };
        let answer = self.0.request(request).await;
        let answer = answer.map_err(|error| wrong(format!("{what}_unreachable"), error.to_string()))?;
        match answer.status {
            200..=299 => Ok(answer),
            status => Err(wrong(format!("{what}_status_{status}"), answer.text())),
        }
    }
}

/// The path of a URL of the gateway's, which names its public address.
fn path(url: &str) -> &str {
    url.strip_prefix(PUBLIC_URL).unwrap_or(url)
}
