//! The same call at another time: how stores are filled for measurements.

use std::time::Duration;

use switchboard::call::record::CallRecord;
use switchboard::ids::CallId;

/// The n-th call before this one, so much earlier, of a caller of its own.
pub fn earlier(call: &CallRecord, before: Duration, n: u64) -> CallRecord {
    let mut call = call.clone();
    let stages = &mut call.stages;
    for stage in [
        &mut stages.carrier_asked,
        &mut stages.webhook_created,
        &mut stages.webhook_received,
        &mut stages.accept_sent,
        &mut stages.accepted,
        &mut stages.attached,
        &mut stages.leg_answered,
        &mut stages.first_audio,
        &mut stages.ended,
    ] {
        *stage = stage.map(|at| at - before);
    }
    let mut chance = [0; 10];
    chance[2..].copy_from_slice(&n.to_be_bytes());
    call.id = CallId::new(call.id.began() - before, chance);
    call.caller = Some(format!("+8190{:08}", n % 100_000_000));
    call
}
