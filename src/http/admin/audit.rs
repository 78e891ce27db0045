//! `GET /api/v1/audit`: who read and did what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answered, Ask};
use crate::http::answer;
use crate::store::AuditEntry;

/// How many entries one page holds where the question does not say.
const PAGE: usize = 100;
/// How many it holds at most.
const PAGE_MAX: usize = 1_000;

/// A part of the audit log, newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins; none on the last one.
    pub next: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Question {
    after: Option<u64>,
    limit: Option<usize>,
}

/// `GET /api/v1/audit`.
pub(super) async fn list(ask: Ask) -> Answered {
    let Question { after, limit } = ask.params()?;
    let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    ask.audit_reading("audit.read", None, None).await?;
    let mut entries = ask.doors.control.store().audit(after, limit + 1).await?;
    let is_cut = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| is_cut).map(|last| last.n.to_string());
    Ok(answer::json(&AuditPage { entries, next }))
}
