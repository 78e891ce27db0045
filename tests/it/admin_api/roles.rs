//! Every endpoint at every role, and signing in with a browser.

use reqwest::header::{HeaderMap, SET_COOKIE};
use reqwest::{Method, StatusCode};
use switchboard::http::{API, ENDPOINTS, Role};

use super::{Office, token_of};

/// What the gateway does only where somebody waits for it, and nobody does in a test.
const WAITS: &str = "/handover";

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_lets_in_whom_it_may_and_nobody_else() {
    let office = Office::open("").await;
    assert!(ENDPOINTS.len() > 20, "the table was read");
    for endpoint in ENDPOINTS {
        let Some(needs) = endpoint.needs else { continue };
        let path =
            endpoint.path.replace(":id", "call_00000000000000000000000000000000").replace(":name", "none");
        let (method, path) = (&endpoint.method, format!("{API}{path}"));
        let nobody = office.anybody(Role::Viewer).ask_showing(method.clone(), &path, None).await;
        assert_eq!(nobody.0, 401, "{method} {path}");
        assert!(nobody.1.contains(r#""code":"unauthorized""#), "{method} {path}: {}", nobody.1);
        for role in Role::ALL {
            let somebody = office.anybody(role);
            let may = role >= needs;
            if may && endpoint.path == WAITS {
                continue;
            }
            // Only the head: one of the answers never ends.
            let request = somebody.request(method.clone(), &path).bearer_auth(&somebody.token);
            let status = request.send().await.expect("an answer").status().as_u16();
            assert_eq!(status == 403, !may, "{method} {path} as {role}: {status}");
            assert!(status != 401 && status != 405, "{method} {path} as {role}: {status}");
        }
    }
    let refused = office.ask(Role::Viewer, Method::POST, "/compact", "").await.1;
    let message = refused["error"]["message"].as_str().expect("words");
    assert!(message.contains("`admin`"), "{message}");
    let audit = office.audit().await;
    for what in ["the-admin compact", "the-operator features.reset", "the-admin call.erase"] {
        assert!(audit.iter().any(|entry| entry.starts_with(what)), "{what}: {audit:#?}");
    }
    assert!(!audit.iter().any(|entry| entry.starts_with("the-viewer")), "{audit:#?}");
    let page = office.get(Role::Admin, "/audit?limit=2").await;
    let next = page["next"].as_str().expect("another page");
    let rest = office.get(Role::Admin, &format!("/audit?after={next}")).await;
    let n = |page: &serde_json::Value, at: usize| page["entries"][at]["n"].as_u64().expect("a number");
    assert_eq!(n(&rest, 0) + 1, n(&page, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_once_and_its_cookie_is_good_for_pages_of_ours_only() {
    let office = Office::open("").await;
    let browser = office.anybody(Role::Operator);
    let session = format!("{API}/session");
    assert_eq!(browser.ask_showing(Method::GET, &session, None).await.0, 401);
    let signs_in = |token: &str, headers: &[(&'static str, &'static str)]| {
        let mut request = browser.request(Method::POST, &session).body(format!(r#"{{"token":"{token}"}}"#));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move { request.send().await.expect("an answer") }
    };
    assert_eq!(signs_in("swb_wrong", &[]).await.status(), StatusCode::UNAUTHORIZED);
    let token = token_of(Role::Operator);
    assert_eq!(signs_in(token, &[("sec-fetch-site", "cross-site")]).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(signs_in(token, &[("host", "evil.example")]).await.status(), StatusCode::FORBIDDEN);
    let signed_in = signs_in(token, &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(signed_in.status(), StatusCode::OK);
    assert_eq!(office.audit().await[0], "the-operator session.begin -");
    let cookie = cookie_in(signed_in.headers());
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    assert!(!cookie.contains(token), "the cookie is not the token");
    let asks = |method: Method, path: &str, headers: &[(&'static str, &'static str)]| {
        let mut request = browser.request(method, &format!("{API}{path}")).header("cookie", &cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    let (get, delete) = (Method::GET, Method::DELETE);
    const RESET: &str = "/features/openai-sip";
    assert_eq!(asks(get.clone(), "/session", &[]).await, 200);
    assert_eq!(asks(get.clone(), "/calls", &[]).await, 200);
    assert_eq!(asks(get.clone(), "/calls", &[("host", "evil.example")]).await, 403);
    assert_eq!(asks(get.clone(), "/audit", &[]).await, 403, "the role goes with it");
    assert_eq!(asks(delete.clone(), RESET, &[]).await, 403);
    assert_eq!(asks(delete.clone(), RESET, &[("origin", "https://evil.example")]).await, 403);
    assert_eq!(asks(delete.clone(), RESET, &[("sec-fetch-site", "same-origin")]).await, 200);
    assert_eq!(asks(delete, "/session", &[("sec-fetch-site", "same-origin")]).await, 204);
    assert_eq!(asks(get, "/session", &[]).await, 401);
}

fn cookie_in(headers: &HeaderMap) -> String {
    headers.get(SET_COOKIE).expect("a cookie").to_str().expect("text").to_owned()
}
