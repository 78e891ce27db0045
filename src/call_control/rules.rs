//! What a configuration says to call control: one value, which a reload replaces whole.
//!
//! Whoever decides something takes it once and decides by that. Its parts never change, so that no call sees half of
//! one configuration and half of another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::paths::Failover;
use super::{admission, notifications, recordings};
use crate::call::redaction::Redaction;
use crate::call::usage::Prices;
use crate::openai::{rest, sideband};
use crate::phone::CallingCode;
use crate::routing::{Rollout, Routes};
use crate::session::Session;
use crate::twilio;

/// What a configuration says.
pub struct Rules {
    /// What is plain data.
    pub settings: Settings,
    /// The sessions by name.
    pub sessions: BTreeMap<String, Arc<Session>>,
    /// What models cost.
    pub prices: Arc<Prices>,
    /// The provider's REST.
    pub openai: rest::Client,
    /// The provider's sidebands.
    pub sidebands: sideband::Connector,
    /// What is to become of recordings.
    pub recordings: recordings::Settings,
    /// Who is told of calls.
    pub notifications: notifications::Settings,
    /// The carrier's REST; none: no such carrier.
    pub carrier: Option<twilio::rest::Client>,
}

/// Routes, limits and times.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which call gets which session.
    pub routes: Routes,
    /// How many are let in.
    pub admission: admission::Settings,
    /// Which calls are answered over SIP (`features.openai_sip`), where their route does not say otherwise; the
    /// others go over a media stream, where the carrier has such.
    pub openai_sip: Rollout,
    /// How a call whose path fails goes on over the other one; none: it does not.
    pub failover: Option<Failover>,
    /// Whether calls without our token are taken: a bare SIP trunk towards the provider.
    pub direct_sip: bool,
    /// Headers that may hold the dialled number, tried in this order.
    pub called_number_headers: Vec<String>,
    /// Whose national notation is meant by a number without a calling code.
    pub default_country: CallingCode,
    /// How long a join token is good for.
    pub join_within: Duration,
    /// A provider that cannot agree on encrypted sound is dialled once more without it.
    pub is_plain_taken: bool,
    /// After so many seconds the carrier ends an answered leg to the provider; none: never.
    pub leg_limit_s: Option<u32>,
    /// A webhook event older than this is for a caller who is gone.
    pub stale_after: Duration,
    /// Calls that began longer ago are erased; none: they are kept.
    pub calls_kept: Option<Duration>,
    /// Entries of the audit log that are older are forgotten; none: they are kept.
    pub audit_kept: Option<Duration>,
    /// What is not kept of what is said.
    pub redaction: Redaction,
    /// Where the carrier tells how the dial to whom a caller was handed on went; the call's id is appended.
    pub handed_on_url: String,
}
