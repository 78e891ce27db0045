//! Routes in their order, and which of them would take a call.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calls::moment;
use super::{Answered, Ask};
use crate::call::record::Path;
use crate::http::answer;
use crate::phone::{CallingCode, E164};
use crate::routing::{Action, Asked, Considered};

/// The routes.
#[derive(Serialize, JsonSchema)]
pub(super) struct RouteList<'a> {
    routes: Vec<RouteView<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct RouteView<'a> {
    name: &'a str,
    /// What a call must look like, in words.
    r#match: String,
    action: String,
    session: Option<&'a str>,
    /// Calls that it took and that ended since the start.
    hits: u64,
}

/// A call that might come.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Imagined {
    #[serde(default)]
    from: Option<String>,
    to: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    at: Option<String>,
}

/// Which route would take it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Explained<'a> {
    route: Option<&'a str>,
    action: String,
    session: Option<&'a str>,
    /// How its audio would reach the model; none where no model answers.
    path: Option<Path>,
    steps: Vec<Step<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Step<'a> {
    route: &'a str,
    matched: bool,
    why: String,
}

/// `GET /api/v1/routes`.
pub(super) async fn list(ask: Ask) -> Answered {
    let control = &ask.doors.control;
    let rules = control.rules();
    let routes = rules.settings.routes.iter().map(|route| RouteView {
        name: &route.name,
        r#match: route.when.to_string(),
        action: words(&route.action),
        session: session_of(&route.action),
        hits: control.metrics().calls_of(&route.name),
    });
    Ok(answer::json(&RouteList { routes: routes.collect() }))
}

/// `POST /api/v1/routes/explain`.
pub(super) async fn explain(ask: Ask) -> Answered {
    let Imagined { from, to, headers, at } = ask.json()?;
    let country = ask.doors.settings.default_country;
    let from = from.filter(|from| from != "anonymous").map(|from| normalised(from, country));
    let to = normalised(to, country);
    let headers: Vec<(String, String)> = headers.into_iter().collect();
    let now = moment("at", at)?.unwrap_or_else(|| ask.doors.clock.now());
    let asked = Asked { from: from.as_deref(), to: Some(&to), headers: &headers, now };
    let rules = ask.doors.control.rules();
    let routes = &rules.settings.routes;
    let decision = routes.decide(&asked);
    let is_answered = matches!(decision.action, Action::Answer { .. });
    let has_stream = ask.doors.settings.twilio.is_some();
    let caller = from.as_deref().unwrap_or_default();
    let path = ask.doors.control.foresee_path(decision.route, caller, has_stream);
    let step = |Considered { route, matched, why }| Step { route, matched, why };
    Ok(answer::json(&Explained {
        route: decision.route,
        action: words(decision.action),
        session: session_of(decision.action),
        path: path.filter(|_| is_answered),
        steps: routes.explain(&asked).into_iter().map(step).collect(),
    }))
}

/// As numbers are compared: in E.164 where that can be read, else as it is.
fn normalised(number: String, country: CallingCode) -> String {
    E164::parse(&number, country).map(|number| number.as_str().to_owned()).unwrap_or(number)
}

fn session_of(action: &Action) -> Option<&str> {
    match action {
        Action::Answer { session, .. } => Some(session),
        Action::Reject(_) | Action::Forward(_) => None,
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Answer { .. } => "answer".to_owned(),
        Action::Reject(code) => format!("reject {}", code.get()),
        Action::Forward(target) => format!("forward {target}"),
    }
}
