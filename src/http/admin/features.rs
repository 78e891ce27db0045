//! Which path calls take: shown, and changed at run time. What is set here holds for the next calls until it
//! is taken back, also after a restart; calls that run stay where they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answered, Ask, Problem};
use crate::call_control::features::{By, ChangeError};
use crate::http::answer;
use crate::routing::Rollout;
use crate::text::chain;

/// What `POST /api/v1/features/openai-sip` takes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetOpenAiSip {
    /// `true`, `false`, or a share such as `"25%"`.
    pub value: Value,
    /// The route; none: all of them, whatever was set or configured for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Who wants it, for whoever looks at it later; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// What `DELETE /api/v1/features/openai-sip` takes, if it has a body.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetOpenAiSip {
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// A value as JSON has it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// All or none.
    Flag(bool),
    /// In words.
    Text(String),
}

/// `GET /api/v1/features`.
pub(super) async fn show(ask: Ask) -> Answered {
    Ok(answer::json(&ask.doors.control.features()))
}

/// `POST /api/v1/features/openai-sip`.
pub(super) async fn set(ask: Ask) -> Answered {
    let wanted: SetOpenAiSip = serde_json::from_slice(&ask.body)
        .map_err(|error| Problem::bad(format!("write {{\"value\": \"25%\"}}: {error}")))?;
    let value = match wanted.value {
        Value::Flag(is_on) => Rollout::from(is_on),
        Value::Text(text) => text.parse().map_err(|error| Problem::bad(format!("`value`: {error}")))?,
    };
    let of_route = wanted.route.as_ref().map(|route| format!(" for {route}")).unwrap_or_default();
    ask.audit("features.set", None, Some(format!("openai_sip {value}{of_route}"))).await?;
    changed(&ask, ask.doors.control.set_openai_sip(wanted.route, value, wanted.by).await)
}

/// `DELETE /api/v1/features/openai-sip`: as the configuration says.
pub(super) async fn reset(ask: Ask) -> Answered {
    let wanted = match ask.body.as_slice() {
        [] => ResetOpenAiSip::default(),
        body => serde_json::from_slice(body)
            .map_err(|error| Problem::bad(format!("write nothing, or {{\"by\": \"a name\"}}: {error}")))?,
    };
    ask.audit("features.reset", None, None).await?;
    changed(&ask, ask.doors.control.reset_openai_sip(wanted.by).await.map_err(ChangeError::from))
}

fn changed(ask: &Ask, changed: Result<(), ChangeError>) -> Answered {
    match changed {
        Ok(()) => Ok(answer::json(&ask.doors.control.features())),
        Err(error @ ChangeError::NoSuchRoute(_)) => Err(Problem::missing(chain(&error))),
        Err(error @ ChangeError::Store(_)) => Err(Problem::failed("features could not be changed", &error)),
    }
}
