//! Signing in with a browser: the token is shown once, and a cookie stands for it from then on.

use std::sync::Arc;
use std::time::Duration;

use poem::Response;
use poem::http::{StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::role::Role;
use super::who::{COOKIE, SESSION_LASTS, Who};
use super::{Answered, Ask, Problem};
use crate::http::answer;

/// How long somebody waits who showed a wrong token.
const FAILED_WAITS: Duration = Duration::from_millis(500);

/// What `POST /session` takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    token: String,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedIn {
    /// The token's name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The version of the program.
    pub version: String,
}

/// `POST /api/v1/session`.
pub(super) async fn sign_in(ask: Ask) -> Answered {
    let keys = &ask.doors.keys;
    keys.check_origin(&ask.request)?;
    let SignIn { token } = ask.json()?;
    if keys.failed.available_permits() == 0 {
        return Err(Problem::too_many("too many wrong tokens were shown just now: try again in a second"));
    }
    let Some(who) = keys.by_token(&token) else {
        let _place = keys.failed.try_acquire();
        tokio::time::sleep(FAILED_WAITS).await;
        return Err(Problem::unknown("no token is like that"));
    };
    let doors = Arc::clone(&ask.doors);
    let ask = Ask { who: who.clone(), ..ask };
    // Where nothing can be written any more somebody has to look why: that is told in the log.
    let _ = ask.audit("session.begin", None, None).await;
    let id = doors.keys.sign_in(who.clone(), doors.control.draw(), doors.clock.now());
    let mut response = signed_in(&who)?;
    set_cookie(&mut response, &id, SESSION_LASTS)?;
    Ok(response)
}

/// `DELETE /api/v1/session`.
pub(super) async fn sign_out(ask: Ask) -> Answered {
    ask.doors.keys.check_origin(&ask.request)?;
    ask.doors.keys.sign_out(&ask.request);
    let mut response = answer::status(StatusCode::NO_CONTENT);
    set_cookie(&mut response, "", Duration::ZERO)?;
    Ok(response)
}

/// `GET /api/v1/session`.
pub(super) async fn show(ask: Ask) -> Answered {
    signed_in(&ask.doors.keys.who(&ask.request, ask.doors.clock.now())?)
}

fn signed_in(who: &Who) -> Answered {
    let role = who.role.ok_or_else(|| Problem::unknown("nobody is signed in"))?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(answer::json(&SignedIn { name: who.name.clone(), role, version }))
}

fn set_cookie(response: &mut Response, id: &str, lasts: Duration) -> Result<(), Problem> {
    let lasts = lasts.as_secs();
    let cookie = format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={lasts}");
    let value = cookie.parse().map_err(|_| Problem::broken("the cookie cannot be written"))?;
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(())
}
