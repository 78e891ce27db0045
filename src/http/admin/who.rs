//! Who asks: a token in the header, or the cookie of somebody who signed in with one.
//!
//! A browser sends its cookie whoever had the request made. So what changes something and comes with the cookie must
//! come from a page of ours, and the cookie counts only under names that are ours: a stranger's name that is made
//! to lead to this listener (DNS rebinding) is none.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::Request;
use poem::http::Method;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use super::problem::Problem;
use super::role::{Role, TokenSettings};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// The name of the browser's cookie.
pub(super) const COOKIE: &str = "switchboard_session";
/// How long somebody who signed in stays so: a working day.
pub(super) const SESSION_LASTS: Duration = Duration::from_secs(12 * 3_600);
/// How many may be signed in at once; the one who signed in first must do it again.
const SESSIONS_MAX: usize = 256;
/// How many who showed a wrong token wait for their answer; more are not listened to meanwhile.
const FAILED_MAX: usize = 4;

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Who {
    /// The token's name; empty: nobody said.
    pub name: String,
    /// What they may do; none: what anybody may.
    pub role: Option<Role>,
}

impl Who {
    /// Anybody.
    pub fn nobody() -> Who {
        Who { name: String::new(), role: None }
    }

    /// Claims that they may what this role may.
    pub fn may(&self, role: Role) -> bool {
        self.role >= Some(role)
    }
}

/// The tokens, and who signed in with one.
pub(in crate::http) struct Keys {
    known: ArcSwap<Known>,
    sessions: Mutex<VecDeque<Session>>,
    /// Who showed a wrong token at the sign-in holds one of these for a while.
    pub(super) failed: Semaphore,
}

/// What the configuration says of them.
#[derive(Debug)]
struct Known {
    tokens: Vec<TokenSettings>,
    /// Names of ours, beside addresses.
    hosts: Vec<String>,
}

impl Known {
    fn new(admin: &Secret, tokens: &[TokenSettings], hosts: &[String]) -> Known {
        let first = TokenSettings::of("admin", Role::Admin, admin.expose());
        Known {
            tokens: std::iter::once(first).chain(tokens.iter().cloned()).collect(),
            hosts: hosts.to_vec(),
        }
    }
}

struct Session {
    /// Of its id, so that the memory has no cookie that could be sent.
    digest: [u8; 32],
    who: Who,
    until: Timestamp,
}

impl Keys {
    /// The token of the data directory, those of the configuration, and names of ours beside addresses.
    pub fn new(admin: &Secret, tokens: &[TokenSettings], hosts: &[String]) -> Keys {
        Keys {
            known: ArcSwap::from_pointee(Known::new(admin, tokens, hosts)),
            sessions: Mutex::default(),
            failed: Semaphore::new(FAILED_MAX),
        }
    }

    /// These count from now on. Who signed in with a token that is not among them as it was is signed out.
    pub fn adopt(&self, admin: &Secret, tokens: &[TokenSettings], hosts: &[String]) {
        let after = Arc::new(Known::new(admin, tokens, hosts));
        let before = self.known.swap(Arc::clone(&after));
        let stays = |who: &Who| {
            let of = |token: &&TokenSettings| token.name == who.name && Some(token.role) == who.role;
            before.tokens.iter().filter(of).any(|token| after.tokens.contains(token))
        };
        self.sessions().retain(|session| stays(&session.who));
    }

    /// Whose token this is. Compared by digest and to the last one, so that neither length nor content leaks.
    pub fn by_token(&self, shown: &str) -> Option<Who> {
        let digest: [u8; 32] = Sha256::digest(shown).into();
        let mut found = None;
        for token in &self.known.load().tokens {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some(Who { name: token.name.clone(), role: Some(token.role) });
            }
        }
        found
    }

    /// Who sends this request.
    ///
    /// # Errors
    ///
    /// Nobody is known by what it shows, or it comes with the cookie and not from a page of ours.
    pub fn who(&self, request: &Request, now: Timestamp) -> Result<Who, Problem> {
        if let Some(shown) = request.header("authorization") {
            let token = shown.strip_prefix("Bearer ");
            return token.and_then(|token| self.by_token(token)).ok_or_else(unknown);
        }
        let cookie = cookie_of(request).ok_or_else(unknown)?;
        self.check_origin(request)?;
        self.by_cookie(cookie, now).ok_or_else(unknown)
    }

    /// Claims that the request comes from nowhere else than a page of this listener, or from no browser at all.
    ///
    /// # Errors
    ///
    /// What speaks against it.
    pub fn check_origin(&self, request: &Request) -> Result<(), Problem> {
        let host = request.header("host").unwrap_or_default();
        if !self.is_ours(host) {
            return Err(Problem::forbidden(
                "this listener is not known by that name: use its address, or add the name to `admin.hosts`",
            ));
        }
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        let is_with_cookie = cookie_of(request).is_some();
        match is_same_origin(request, host) {
            Some(false) if changes => Err(Problem::forbidden("the request comes from another site's page")),
            None if changes && is_with_cookie => {
                Err(Problem::forbidden("the request does not say from which page it comes: use a token"))
            }
            _ => Ok(()),
        }
    }

    /// Lets somebody in, under this id.
    pub fn sign_in(&self, who: Who, chance: [u8; 32], now: Timestamp) -> String {
        let id = URL_SAFE_NO_PAD.encode(chance);
        let mut sessions = self.sessions();
        sessions.retain(|session| session.until > now);
        if sessions.len() == SESSIONS_MAX {
            sessions.pop_front();
        }
        let digest = Sha256::digest(&id).into();
        sessions.push_back(Session { digest, who, until: now + SESSION_LASTS });
        id
    }

    /// Forgets whoever sends this request with a cookie.
    pub fn sign_out(&self, request: &Request) {
        if let Some(id) = cookie_of(request) {
            let digest: [u8; 32] = Sha256::digest(id).into();
            self.sessions().retain(|session| session.digest != digest);
        }
    }

    fn by_cookie(&self, id: &str, now: Timestamp) -> Option<Who> {
        let digest: [u8; 32] = Sha256::digest(id).into();
        let sessions = self.sessions();
        let known = sessions.iter().find(|session| session.digest == digest && session.until > now)?;
        Some(known.who.clone())
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || self.known.load().hosts.iter().any(|known| known.eq_ignore_ascii_case(&name))
    }

    fn sessions(&self) -> MutexGuard<'_, VecDeque<Session>> {
        // Each change leaves the list whole.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown() -> Problem {
    Problem::unknown(
        "show a token: `Authorization: Bearer …` (the first one is in `admin.token` in the data directory)",
    )
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

/// Whether a page of ours had the request made; none: it does not say, as no browser sent it or an old one.
fn is_same_origin(request: &Request, host: &str) -> Option<bool> {
    if let Some(site) = request.header("sec-fetch-site") {
        return Some(site == "same-origin");
    }
    let origin = request.header("origin")?;
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    Some(authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)))
}

fn cookie_of(request: &Request) -> Option<&str> {
    let cookies = request.headers().get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(&Secret::new("first"), &[], &["ops.example.com".to_owned()])
    }

    fn request(method: Method, headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().method(method);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.finish()
    }

    #[test]
    fn names_of_ours_are_addresses_and_those_of_the_configuration() {
        let keys = keys();
        for host in
            ["127.0.0.1:9797", "[::1]:9797", "[::1]", "localhost", "LOCALHOST:1", "Ops.Example.com:443"]
        {
            assert!(keys.is_ours(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:9797", "ops.example.com.evil.example"] {
            assert!(!keys.is_ours(host), "{host}");
        }
    }

    #[test]
    fn a_cookie_counts_only_for_pages_of_ours() {
        let (keys, now) = (keys(), Timestamp::from_secs(1_000));
        let who = keys.by_token("first").expect("a token");
        let id = keys.sign_in(who.clone(), [7; 32], now);
        let cookie = format!("a=b; {COOKIE}={id}");
        let host = ("host", "127.0.0.1:9797");
        let asks = |method, more: &[(&str, &str)]| {
            let headers = [&[host, ("cookie", cookie.as_str())], more].concat();
            keys.who(&request(method, &headers), now).ok()
        };
        assert_eq!(asks(Method::GET, &[]), Some(who.clone()));
        assert_eq!(asks(Method::POST, &[("sec-fetch-site", "same-origin")]), Some(who.clone()));
        assert_eq!(asks(Method::POST, &[("origin", "http://127.0.0.1:9797")]), Some(who));
        assert_eq!(asks(Method::POST, &[]), None);
        assert_eq!(asks(Method::POST, &[("sec-fetch-site", "same-site")]), None);
        assert_eq!(asks(Method::DELETE, &[("origin", "http://evil.example")]), None);
        assert_eq!(asks(Method::POST, &[("origin", "null")]), None);
        let elsewhere = request(Method::GET, &[("host", "evil.example"), ("cookie", &cookie)]);
        assert!(keys.who(&elsewhere, now).is_err());
        let later = request(Method::GET, &[host, ("cookie", &cookie)]);
        assert!(keys.who(&later, now + SESSION_LASTS).is_err(), "it is over");
        keys.sign_out(&later);
        assert!(keys.who(&later, now).is_err(), "signed out");
    }

    #[test]
    fn whoever_signed_in_with_a_token_that_is_gone_or_another_one_now_is_signed_out() {
        let token = |name: &str, text: &str| TokenSettings::of(name, Role::Viewer, text);
        let (first, now) = (Secret::new("first"), Timestamp::from_secs(1_000));
        let keys = Keys::new(&first, &[token("a", "1"), token("b", "2"), token("c", "3")], &[]);
        let ids = ["first", "1", "2", "3"].map(|shown| {
            let who = keys.by_token(shown).expect("a token");
            let mut chance = [0; 32];
            chance[..shown.len()].copy_from_slice(shown.as_bytes());
            keys.sign_in(who, chance, now)
        });
        keys.adopt(&first, &[token("b", "2"), token("c", "4")], &["ops.example.com".to_owned()]);
        let left = ids.map(|id| keys.by_cookie(&id, now).map(|who| who.name));
        assert_eq!(left, [Some("admin".to_owned()), None, Some("b".to_owned()), None]);
        assert_eq!((keys.by_token("1"), keys.by_token("3")), (None, None));
        assert!(keys.by_token("4").is_some() && keys.is_ours("ops.example.com"));
    }

    #[test]
    fn so_many_are_signed_in_and_no_more() {
        let (keys, now) = (keys(), Timestamp::from_secs(1_000));
        for n in 0..=SESSIONS_MAX {
            let mut chance = [0; 32];
            chance[..8].copy_from_slice(&(n as u64).to_be_bytes());
            keys.sign_in(Who::nobody(), chance, now);
        }
        assert_eq!(keys.sessions().len(), SESSIONS_MAX);
    }
}
