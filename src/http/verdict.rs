//! What became of a request at a public door: for operators and metrics, never for whoever sent it.

use crate::media::reception;
use crate::wire::join_token::TokenRefusal;
use crate::wire::{twilio_signature, webhook};

/// What became of a request of the carrier or the provider. `switchboard explain` tells cause and remedy of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is genuine, and on disk.
    Taken,
    /// It was taken before.
    Duplicate,
    /// Too old to be of use to anybody.
    Stale,
    /// An event that is none of ours.
    Ignored,
    /// Genuine, and not understood.
    Unreadable,
    /// Its body is too long.
    TooLarge,
    /// Its body broke off.
    Truncated,
    /// Its body did not come in time.
    Slow,
    /// It could not be written to disk.
    NotKept,
    /// Of a call that is not kept.
    UnknownCall,
    /// Of another call than it says.
    OtherCall,
    /// Of another account.
    OtherAccount,
    /// Hands on a caller whom nobody wants to be handed on.
    UnaskedRefer,
    /// What should be dialled cannot be.
    Unanswerable,
    /// No form, where one was to be verified.
    UnreadableForm,
    /// No carrier is configured.
    NoCarrier,
    /// Too many streams wait to be let in.
    TooMany,
    /// No upgrade to a WebSocket, where one was wanted.
    NoUpgrade,
    /// A stream for a call that waits for none.
    NotAwaited,
    /// The provider's signature does not verify.
    Webhook(webhook::Refusal),
    /// The carrier's signature does not verify.
    Signature(twilio_signature::Refusal),
    /// A stream did not say who it is for.
    Start(reception::Refusal),
    /// A stream's token is not believed.
    Token(TokenRefusal),
}

impl Verdict {
    /// A stable name, for metric labels and lists.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Taken => "taken",
            Verdict::Duplicate => "duplicate",
            Verdict::Stale => "stale",
            Verdict::Ignored => "ignored",
            Verdict::Unreadable => "unreadable",
            Verdict::TooLarge => "too_large",
            Verdict::Truncated => "truncated",
            Verdict::Slow => "slow",
            Verdict::NotKept => "not_kept",
            Verdict::UnknownCall => "unknown_call",
            Verdict::OtherCall => "other_call",
            Verdict::OtherAccount => "other_account",
            Verdict::UnaskedRefer => "unasked_refer",
            Verdict::Unanswerable => "unanswerable",
            Verdict::UnreadableForm => "unreadable_form",
            Verdict::NoCarrier => "no_carrier",
            Verdict::TooMany => "too_many",
            Verdict::NoUpgrade => "no_upgrade",
            Verdict::NotAwaited => "not_awaited",
            Verdict::Webhook(refusal) => refusal.name(),
            Verdict::Signature(refusal) => refusal.name(),
            Verdict::Start(refusal) => refusal.name(),
            Verdict::Token(refusal) => refusal.name(),
        }
    }
}
