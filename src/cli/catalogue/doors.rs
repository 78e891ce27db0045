//! What the doors answer: refusals of the admin API, verdicts on the requests of carrier and provider.

use super::explained;
use crate::http::{Refusal, Verdict};
use crate::media::reception::Refusal as Start;
use crate::wire::join_token::TokenRefusal;
use crate::wire::twilio_signature::Refusal as Signature;
use crate::wire::webhook::Refusal as Webhook;

explained! { refusals: Refusal of Refusal by name;
    BadRequest:
        "400: a parameter, a header or the body cannot be understood, or is not known.",
        "The message names it; `/api/` has what the endpoint takes.";
    Unauthorized:
        "401: no token, a wrong one, or a session that is over.",
        "Send `Authorization: Bearer …` with the contents of `admin.token` or a token of `[[admin.tokens]]`; \
         sign in again on the dashboard.";
    Forbidden:
        "403: the token's role is too low, or a browser's request comes from a page or a name that is not \
         ours.",
        "Ask with a token of the role that the message names; a name of yours belongs into `admin.hosts`.";
    NotFound:
        "404: there is no such call, recording, tool or path.",
        "Look at the id; `/api/` lists the paths.";
    MethodNotAllowed:
        "405: the path takes other methods.",
        "`/api/` says which.";
    Conflict:
        "409: it cannot be done as things stand: the call is over, the key of `Idempotency-Key` was used for \
         something else.",
        "Read the call again; use a new key for a new act.";
    TooLarge:
        "413: the body is longer than this endpoint takes.",
        "Send less; the message has the number of bytes.";
    Unprocessable:
        "422: it was understood and cannot be followed: an unknown transfer target, a configuration with \
         mistakes.",
        "The message says what is wrong.";
    TooMany:
        "429: too many ask at once, watch events, or try to sign in.",
        "Ask again in a moment; close what is not needed.";
    Unavailable:
        "503: it cannot be done just now: the store, the disk or the carrier; or the act could not be written \
         into the audit log.",
        "The message and the log say what failed; ask again afterwards.";
    Internal:
        "500: something of ours is broken.",
        "The log has the rest; `switchboard doctor --store` looks at the store.";
    Refused:
        "The server refused the request before any endpoint saw it; the status says why.",
        "Look at the status and the message.";
}

explained! { verdicts: Verdict of Verdict by name
    without [Verdict::Webhook(_) | Verdict::Signature(_) | Verdict::Start(_) | Verdict::Token(_)];
    Taken:
        "It is genuine, and on disk.",
        "Nothing.";
    Duplicate:
        "It was taken before, by its id or its call.",
        "Nothing: vendors deliver again where an answer was lost.";
    Stale:
        "It was older than 60 s when it came, and no call waited for it: the caller is gone.",
        "Nothing if it is once; else look for what delays requests: the proxy, the provider's status, our \
         clock.";
    Ignored:
        "An event that is none of ours: another kind than `realtime.call.incoming`.",
        "Nothing, or unsubscribe the other events at the provider.";
    Unreadable:
        "It is genuine and could not be understood.",
        "Look at the log: a vendor may have changed something. Look for an update.";
    TooLarge:
        "The body is longer than `server.body_max`.",
        "Nothing where it is a stranger; else raise the limit.";
    Truncated:
        "The body broke off.",
        "Nothing if it is once; else look at the proxy.";
    Slow:
        "The body did not come within 10 s.",
        "Nothing where it is a stranger; else look at the proxy.";
    NotKept:
        "It could not be written to disk, and was answered with 503, so that it comes again.",
        "Look at the disk at once: is it full, is it slow? `switchboard_store_failures_total` counts.";
    UnknownCall:
        "The carrier reports on a call that is not kept here: it was erased, or is another gateway's.",
        "Nothing, unless calls of today are meant: does another gateway have the same public URL?";
    OtherCall:
        "A recording's report, or a stream, names another call than its address or token does.",
        "Nothing if it is once; else somebody replays requests.";
    OtherAccount:
        "It is signed with our token, and is of another account.",
        "Is `TWILIO_ACCOUNT_SID` the account whose number is called, not its parent's?";
    UnaskedRefer:
        "The provider hands a caller on whom nobody wants to be handed on.",
        "Look at the call's events.";
    Unanswerable:
        "What should be dialled is no address that can be dialled; the caller heard the apology.",
        "Look at the log for the address, and at `forward`, `transfer` and `openai.project_id`.";
    UnreadableForm:
        "The body is no form, so that its signature cannot be checked.",
        "Nothing where it is a stranger; else look for a proxy that changes bodies.";
    NoCarrier:
        "A request of Twilio, and no Twilio is configured.",
        "Set `TWILIO_ACCOUNT_SID` and `TWILIO_AUTH_TOKEN`.";
    TooMany:
        "256 streams wait to be let in; the next one was refused.",
        "Somebody replays upgrades: look at the proxy's log.";
    NoUpgrade:
        "A signed request to `/twilio/media` that opens no WebSocket.",
        "Does the proxy pass `Upgrade` and `Connection` on?";
    NotAwaited:
        "A media stream for a call that has one already, or is over.",
        "Nothing.";
}

explained! { webhooks: Verdict of Webhook by name;
    MissingHeader:
        "From `openai`: `webhook-id`, `webhook-timestamp` or `webhook-signature` is missing.",
        "Nothing where it is a stranger; else look for a proxy that takes headers away.";
    BadId:
        "From `openai`: the `webhook-id` is empty, too long, or not printable.",
        "Nothing: it is not of the provider.";
    BadTimestamp:
        "From `openai`: the `webhook-timestamp` is no number.",
        "Nothing: it is not of the provider.";
    TooOld:
        "From `openai`: signed longer ago than `openai.tolerance`, or by a clock that is behind ours.",
        "Is this machine's clock right? An old delivery that is replayed looks the same.";
    TooNew:
        "From `openai`: signed further in the future than `openai.tolerance`.",
        "Set this machine's clock: it is behind.";
    NoMatch:
        "From `openai`: no signature belongs to one of `openai.webhook_secrets`.",
        "Is `OPENAI_WEBHOOK_SECRET` the one of this endpoint? A proxy must not change bodies.";
}

explained! { signatures: Verdict of Signature by name;
    MissingSignature:
        "From `twilio`: no `X-Twilio-Signature`.",
        "Nothing where it is a stranger; else look for a proxy that takes headers away.";
    SharedKeyRequired:
        "From `twilio`: signed with an auth token, and `twilio.require_shared_key` is on.",
        "Have Twilio sign with the shared key, or turn that off.";
    UnknownSharedKey:
        "From `twilio`: signed with a shared key that is not in `twilio.shared_keys`.",
        "Add its id and secret there.";
    UnknownAlgorithm:
        "From `twilio`: signed by a way that this version does not know.",
        "Look for an update.";
    BodyHash:
        "From `twilio`: the body is not the one whose hash stands in the URL.",
        "Look for a proxy that changes bodies.";
    FieldsNotSigned:
        "From `twilio`: the signature leaves fields out; it is not believed.",
        "Look for something between Twilio and here that adds `CallToken` or `StirVerstat`.";
    NoMatch:
        "From `twilio`: the signature fits no token and no form of the URL.",
        "Is `BASE_URL` exactly what Twilio calls (scheme, host, port), and `TWILIO_AUTH_TOKEN` this \
         account's?";
}

explained! { starts: Verdict of Start by name;
    Late:
        "Of a media stream: it did not say in time who it is for.",
        "Nothing if it is once; else look at the network.";
    NoStart:
        "Of a media stream: something came before `start`.",
        "Nothing: it is not of the carrier, or look for an update.";
    Unreadable:
        "Of a media stream: its `start` could not be read.",
        "Look for an update: the carrier may have changed it.";
    Closed:
        "Of a media stream: it was closed before `start`.",
        "Nothing: the caller hung up.";
}

explained! { tokens: Verdict of TokenRefusal by name;
    Malformed:
        "Of a media stream: its token is none of ours by its form.",
        "Does something between Twilio and here change parameters?";
    BadSignature:
        "Of a media stream: its token was not made by this gateway.",
        "Is the data directory new, or does another gateway have the same public URL?";
    Expired:
        "Of a media stream: its token is too old.",
        "Nothing if it is once; else look at this machine's clock.";
}
