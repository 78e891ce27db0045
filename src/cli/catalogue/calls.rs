//! Why calls ended, and what came of tool calls.

use super::explained;
use crate::call::record::{EndedReason, ToolOutcomeKind};

explained! { ended: Ended of EndedReason by as_str;
    CallerHangup:
        "The socket ended with the call, and nobody here had asked for it.",
        "Nothing. Many short ones with a `first word` as always may be callers who do not hear the assistant.";
    AssistantHangup:
        "The model called `hangup`, or nobody spoke for `limits.silence`.",
        "Nothing. If it comes too soon, say in the instructions when to hang up, or raise the limit.";
    Transferred:
        "The caller was handed on by `transfer`. With the detail `unconfirmed` the provider never said how it \
         went, with `nobody answered` the carrier did.",
        "Nothing, unless nobody answers often: then look at the target in `[sessions.NAME.transfer]`.";
    Forwarded:
        "A route sent the caller to a number, without a model.",
        "Nothing, if the route is meant so.";
    Rejected:
        "A route turned the call away, or a plugin's `incoming` hook did, or no route matched; the detail \
         says which.",
        "Look at the route that the call names; the dashboard's *Routes* says which would take such a call.";
    Apology:
        "There was no way to a model: `features.openai_sip = false` and no carrier with media streams, or all \
         ways failed.",
        "Look at the route and at `switchboard features show`.";
    Busy:
        "The caller was one too many; the detail says of what, see \"Too many calls\" in docs/operations.md.",
        "More room (`server.max_calls`, the route's `max_calls` and `rate`, `admission.per_caller`), a larger \
         machine, or nothing.";
    ProviderSilent:
        "The carrier dialled, and the provider never told us of the call. SIP 400 is its way of saying \"no \
         accept in time\".",
        "Is the webhook subscribed at the provider, its URL right, its secret ours? Refused ones are in `GET \
         /api/v1/webhooks`.";
    AcceptFailed:
        "The provider refused the accept, or did not answer it in time; the detail has its words.",
        "A wrong key, the quota, or a field of the session that this model does not take: correct what the \
         detail names.";
    AttachFailed:
        "The call was accepted, and the sideband could not be attached: often a session that the provider did \
         not like after all.",
        "Try another model, or fewer fields in the session; look at the provider's status page.";
    CallerGone:
        "The caller had hung up before we could answer.",
        "Nothing, unless it is often: then look at `switchboard_first_word_seconds`.";
    MaxDuration:
        "The session's `limits.duration`, the provider's own limit, or the carrier's \
         (`twilio.dial.time_limit`) was reached.",
        "Where it is the carrier's, make `limits.duration` shorter, so that the caller is told in time.";
    ProviderDropped:
        "The sideband was lost and did not come back in five tries (15 s), or the provider ended a call whose \
         caller was still there.",
        "Look at the provider's status page, and at the network between here and there.";
    Operator:
        "An operator ended it: with `calls hangup`, on the dashboard, or over the admin API.",
        "Nothing; the audit log says who.";
    LegFailed:
        "The SIP leg failed before it was answered, or no media stream came.",
        "The detail has the SIP code. For streams: is the public URL reachable over `wss`? A Twilio trial \
         account leaves `<Stream>` out.";
    Stopping:
        "The call came while the gateway was being stopped; the caller got the route's fallback.",
        "Nothing. A new version without a pause is taken up with `switchboard handover`.";
    GatewayLost:
        "The gateway went away before it had answered the caller, or while it carried the audio, and the \
         caller did not come back.",
        "Find out why it died. For bridged calls set the number's fallback URL, see \"A restart\" in \
         docs/operations.md.";
}

explained! { tools: Tool of ToolOutcomeKind by as_str;
    Ok:
        "It answered.",
        "Nothing.";
    UnknownTool:
        "The model called a tool that is not offered in this session.",
        "Offer it in `tools` of the session, or take it out of the instructions.";
    InvalidArguments:
        "The arguments were not JSON or broke the tool's schema; or an HTTP backend answered with a 4xx that \
         blames them.",
        "Say in the tool's description and in those of its parameters what is wanted; loosen the schema where \
         it is too strict.";
    NotFound:
        "The tool answered: there is no such thing (HTTP: 404 or 410).",
        "Nothing: that is an answer.";
    Denied:
        "The tool or a grant refused; an HTTP backend answered 401, 403 or 407, or led to a place that is not \
         allowed.",
        "Look at the credentials of the tool, and at `allow` of the plugin or `follow` and `private_hosts` of \
         the tool.";
    Unavailable:
        "The backend cannot be reached or answers 408, 425, 429 or 5xx, too many calls of the tool run, or \
         its breaker is open.",
        "Look at the backend; `a tool call failed` in the log has the failure. Too many at once: \
         `limits.concurrency` of the plugin.";
    Timeout:
        "It took longer than its deadline.",
        "Make the backend faster, or raise `timeout` of the tool or `limits.time` of the plugin; give it a \
         `say_first`.";
    BadOutput:
        "The answer was larger than allowed, or not JSON, or has nothing at `pick`.",
        "Answer less, or raise `max_response` of the tool or `limits.output` of the plugin; correct `pick`.";
    Failed:
        "It failed inside: a trap, its memory limit, a mistake in the plugin, a template that cannot be \
         rendered.",
        "`a tool call failed` in the log has the failure and, where a limit was meant to be higher, its \
         `key`.";
    Cancelled:
        "The call ended, or the session's number of tool calls (`limits.tool_calls`) was used up.",
        "Nothing, or raise that limit. A model that calls tools in a circle needs better descriptions.";
    Interrupted:
        "The gateway went away while it ran, and it may not run twice: whether it was done is not known. The \
         model is told so, and asks the caller.",
        "Look in the backend whether it was done. A tool that may run twice is better declared `repeatable`.";
}
