//! Calls and requests without anything that somebody said, wrote or dialled: figures, our own names and vendors' ids.
//!
//! Each field is taken by its name, so that a new one stays out until somebody puts it in here.

use serde_json::{Value, json};

use crate::call::privacy::masked;
use crate::call::record::{CallDetail, CallRecord, ToolOutcomeKind};
use crate::cli::Failure;
use crate::cli::source::Source;

/// What stands for the digits of a number that was masked before.
const MASK: char = '•';

/// The last calls, newest first.
pub(super) async fn of_calls(source: &Source, calls: u16) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    if calls == 0 {
        return Ok(all);
    }
    for call in source.calls(None, calls).await?.calls {
        // One that was erased meanwhile is left out.
        all.extend(source.detail(call.id).await?.as_ref().map(of_call));
    }
    Ok(all)
}

fn of_call(detail: &CallDetail) -> Value {
    let CallDetail { call, lines, tool_calls, usage, events, recordings } = detail;
    json!({
        "call": of_record(call),
        "lines": lines.iter().map(|line| json!({
            "n": line.n,
            "speaker": line.speaker,
            "started": line.started,
            "ended": line.ended,
            "status": line.status,
        })).collect::<Vec<_>>(),
        "tool_calls": tool_calls.iter().map(|tool_call| json!({
            "n": tool_call.n,
            "name": is_ours(tool_call.outcome).then_some(&tool_call.name),
            "outcome": tool_call.outcome,
            "requested": tool_call.requested,
            "finished": tool_call.finished,
            "acknowledged": tool_call.acknowledged,
        })).collect::<Vec<_>>(),
        "usage": usage.iter().map(|used| json!({
            "at": used.at,
            "model": used.model,
            "usage": used.usage,
            "cost_usd": used.cost_usd,
        })).collect::<Vec<_>>(),
        "events": events.iter().map(|event| json!({ "at": event.at, "kind": event.kind })).collect::<Vec<_>>(),
        "recordings": recordings.iter().map(|recording| json!({
            "state": recording.state,
            "bytes": recording.bytes,
            "duration_s": recording.duration_s,
        })).collect::<Vec<_>>(),
    })
}

fn of_record(call: &CallRecord) -> Value {
    json!({
        "id": call.id,
        "state": call.state,
        "path": call.path,
        "other_path": call.other_path,
        "avoided": call.avoided,
        "caller": call.caller.as_deref().map(number),
        "callee": call.callee.as_deref().map(number),
        "route": call.route,
        "session": call.session,
        "stages": call.stages,
        "ended": call.ended.as_ref().map(|ended| ended.reason),
        "counts": call.counts,
        "usage": call.usage,
        "cost_usd": call.cost_usd,
        "heard": call.heard,
        "is_recorded": call.consent.is_some(),
        "interrupted": call.interrupted,
        "carrier": call.carrier.as_ref().map(|carrier| json!({
            "name": carrier.name,
            "call_sid": carrier.call_sid,
            "leg_sid": carrier.leg_sid,
            "status": carrier.status,
            "leg_status": carrier.leg_status,
            "sip_code": carrier.sip_code,
            "bridged": carrier.bridged,
            "leg_duration_s": carrier.leg_duration_s,
            "is_plain": carrier.is_plain,
        })),
        "provider": call.provider.as_ref().map(|provider| json!({
            "name": provider.name,
            "call_id": provider.call_id,
            "joined_by": provider.joined_by,
            "model": provider.model,
            "reattached": provider.reattached,
        })),
        "handed": call.handed.as_ref().map(|handed| json!({
            "at": handed.at,
            "by": handed.by,
            "answered": handed.answered,
        })),
        "moved": call.moved.as_ref().map(|moved| json!({
            "from": moved.from,
            "at": moved.at,
            "reason": moved.reason,
            "spoke_again": moved.spoke_again,
            "stages": moved.stages,
        })),
    })
}

/// Claims that a tool of this outcome is one that there is: another name is a word of the model.
fn is_ours(outcome: Option<ToolOutcomeKind>) -> bool {
    !matches!(outcome, None | Some(ToolOutcomeKind::UnknownTool | ToolOutcomeKind::Cancelled))
}

/// A number as it may be shown, which a gateway has done already.
fn number(number: &str) -> String {
    if number.contains(MASK) { number.to_owned() } else { masked(number) }
}

/// The last requests of carrier and provider, of the answer to `GET /webhooks`.
pub(super) fn of_webhooks(answer: &Value) -> Value {
    let all = answer["webhooks"].as_array().into_iter().flatten();
    let webhooks = all.map(|webhook| {
        let path = webhook["path"].as_str().unwrap_or_default();
        let headers = webhook["headers"].as_array().into_iter().flatten();
        json!({
            "at": webhook["at"],
            "source": webhook["source"],
            "path": path.split('?').next(),
            "verdict": webhook["verdict"],
            "status": webhook["status"],
            "took_ms": webhook["took_ms"],
            "call": webhook["call"],
            "bytes": webhook["bytes"],
            // Their values tell where a vendor stands, and a stranger could write anything there.
            "headers": headers.map(|header| &header[0]).collect::<Vec<_>>(),
        })
    });
    json!({ "webhooks": webhooks.collect::<Vec<_>>() })
}
