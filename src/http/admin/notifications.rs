//! Notifications for operators: who is told, what waits, what nobody took; and sent again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answered, Ask, Problem};
use crate::call::notification::{ListedNotification, NotificationState};
use crate::call_control::notifications::EndpointView;
use crate::http::answer;
use crate::ids::NotificationId;

/// How many notifications are listed at most.
const LIST_MAX: usize = 1_000;
/// How many where the question does not say.
const LIST: usize = 50;

/// Who is told of calls, and what was not taken yet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotificationList {
    /// The endpoints.
    pub endpoints: Vec<EndpointView>,
    /// Dead letters and then what waits, each of the newest call first.
    pub notifications: Vec<ListedNotification>,
}

/// What is sent again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Resent {
    /// It waits, and is sent at once.
    pub notifications: Vec<ListedNotification>,
}

/// What `GET /api/v1/notifications` may be asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Question {
    endpoint: Option<String>,
    state: Option<NotificationState>,
    limit: Option<usize>,
}

/// Which endpoint is meant; all without it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Which {
    endpoint: Option<String>,
}

/// `GET /api/v1/notifications`.
pub(super) async fn list(ask: Ask) -> Answered {
    let Question { endpoint, state, limit } = ask.params()?;
    let limit = limit.unwrap_or(LIST).clamp(1, LIST_MAX);
    let control = &ask.doors.control;
    let mut notifications = Vec::new();
    for each in [NotificationState::Dead, NotificationState::Waiting] {
        if state.is_none_or(|state| state == each) {
            let endpoint = endpoint.clone();
            let is_meant = move |name: &str| endpoint.as_ref().is_none_or(|endpoint| endpoint == name);
            let left = limit - notifications.len();
            let found = control.store().notifications(each, left, move |key| is_meant(&key.endpoint)).await?;
            notifications.extend(found.into_iter().map(ListedNotification::from));
        }
    }
    Ok(answer::json(&NotificationList { endpoints: control.endpoints(), notifications }))
}

/// `POST /api/v1/notifications/ID/resend`.
pub(super) async fn resend(ask: Ask) -> Answered {
    let Which { endpoint } = ask.params()?;
    let id = NotificationId::from(ask.request.raw_path_param("id").unwrap_or_default());
    resend_those(&ask, Some(id), endpoint).await
}

/// `POST /api/v1/notifications/resend`.
pub(super) async fn resend_all(ask: Ask) -> Answered {
    let Which { endpoint } = ask.params()?;
    resend_those(&ask, None, endpoint).await
}

async fn resend_those(ask: &Ask, id: Option<NotificationId>, endpoint: Option<String>) -> Answered {
    let control = &ask.doors.control;
    let names: Vec<String> = control.endpoints().into_iter().map(|known| known.name).collect();
    if let Some(unknown) = endpoint.as_ref().filter(|endpoint| !names.contains(endpoint)) {
        return Err(Problem::missing(format!("the configuration has no `[notifications.{unknown}]`")));
    }
    let detail = [id.as_ref().map(ToString::to_string), endpoint.clone()];
    let detail = detail.into_iter().flatten().collect::<Vec<_>>().join(" ");
    ask.audit("notifications.resend", None, Some(detail)).await?;
    let missing = id.as_ref().map(|id| {
        format!("no notification `{id}` waits or is dead for an endpoint of the configuration: it was taken, or erased")
    });
    let notifications = control.resend(id, endpoint).await?;
    match missing {
        Some(missing) if notifications.is_empty() => Err(Problem::missing(missing)),
        _ => Ok(answer::json(&Resent { notifications })),
    }
}
