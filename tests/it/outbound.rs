//! The one way out: where a tool's request may go, and what it can cost. Over real sockets.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard::secret::Secret;
use switchboard::tool::outbound::{
    Client, FetchError, Pattern, Request, Resolve, Resolving, Response, Rules, SystemResolver,
};

use crate::backend::{Backend, Manner, Reply};

/// Longer than anything here takes, unless a test is about time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says what it is told, a new address at each lookup; the last one stays.
struct Names {
    addresses: Vec<Vec<IpAddr>>,
    lookups: AtomicUsize,
}

impl Names {
    fn new(addresses: &[&str]) -> Arc<Names> {
        let one = |text: &&str| text.split(' ').map(|ip| ip.parse().expect("an address")).collect();
        Arc::new(Names { addresses: addresses.iter().map(one).collect(), lookups: AtomicUsize::new(0) })
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        let at = self.lookups.fetch_add(1, Ordering::SeqCst).min(self.addresses.len().saturating_sub(1));
        let found = self.addresses.get(at).cloned();
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

fn rules(allow: &[&str], private_hosts: &[&str]) -> Rules {
    Rules {
        allow: allow.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect(),
        private_hosts: private_hosts.iter().map(|host| (*host).to_owned()).collect(),
        response_bytes_max: 1_000,
        redirects_max: 3,
    }
}

/// May go anywhere by its patterns, and to loopback by name.
fn open_client() -> Client {
    Client::new(rules(&["http://127.0.0.1:1/*"], &["127.0.0.1"]), Arc::new(SystemResolver))
}

/// A client for this backend.
fn client(backend: &Backend) -> Client {
    Client::new(rules(&[&backend.url("/*")], &["127.0.0.1"]), Arc::new(SystemResolver))
}

fn get(url: impl Into<String>) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.into(),
        headers: Vec::new(),
        secret_headers: Vec::new(),
        body: None,
    }
}

async fn fetch(client: &Client, request: Request) -> Result<Response, FetchError> {
    client.fetch(request, PATIENCE).await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_written_and_its_answer_comes_back() {
    let backend = Backend::start(|_, _| Reply::new(404, "gone").header("X-Trace", "7")).await;
    let request = Request {
        method: "POST".to_owned(),
        url: backend.url("/v2/a%20b?x=1&y=%2F"),
        headers: vec![("X-One".to_owned(), "1".to_owned())],
        secret_headers: vec![("Authorization".to_owned(), Secret::new("Bearer private"))],
        body: Some(b"{}".to_vec()),
    };
    let response = fetch(&client(&backend), request).await.expect("an answer");
    assert_eq!((response.status, response.body.as_slice()), (404, b"gone".as_slice()));
    assert_eq!(response.header("x-trace"), Some("7"));
    let asked = &backend.asked()[0];
    assert_eq!(asked.line(), "POST /v2/a%20b?x=1&y=%2F");
    assert_eq!(asked.header("authorization"), Some("Bearer private"));
    assert_eq!(asked.header("x-one"), Some("1"));
    assert_eq!(asked.header("accept-encoding"), None, "nothing is asked for that would have to be unpacked");
    assert_eq!(asked.body, "{}");
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused() {
    let backend = Backend::answering(200, "private").await;
    let port = backend.address.port();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ] {
        let pattern = format!("http://{host}:{port}/*");
        let client = Client::new(rules(&[&pattern], &[]), Arc::new(SystemResolver));
        let refused = fetch(&client, get(format!("http://{host}:{port}/x"))).await;
        assert!(matches!(refused, Err(FetchError::Denied(_))), "{host}: {refused:?}");
    }
    assert!(backend.lines().is_empty());
}

#[tokio::test]
async fn names_that_lead_to_such_addresses_are_refused() {
    let backend = Backend::answering(200, "private").await;
    let url = format!("http://shop.example:{}/x", backend.address.port());
    let pattern = format!("http://shop.example:{}/*", backend.address.port());
    for addresses in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "::1 127.0.0.1"]
    {
        let client = Client::new(rules(&[&pattern], &[]), Names::new(&[addresses]));
        let refused = fetch(&client, get(&url)).await;
        let Err(FetchError::Dns(words)) = refused else { panic!("{addresses}: {refused:?}") };
        assert!(words.contains("`shop.example` leads to") && words.contains("private_hosts"), "{words}");
    }
    let [pattern, url] = [&pattern, &url].map(|text| text.replace("shop.example", "localhost"));
    let client = Client::new(rules(&[&pattern], &[]), Arc::new(SystemResolver));
    let local = fetch(&client, get(url)).await;
    assert!(matches!(local, Err(FetchError::Dns(_))), "{local:?}");
    assert!(backend.lines().is_empty());
}

#[tokio::test]
async fn a_host_is_granted_by_the_name_that_the_url_uses() {
    let backend = Backend::answering(200, "ok").await;
    let port = backend.address.port();
    let pattern = format!("http://crm.internal:{port}/*");
    let granted = Client::new(rules(&[&pattern], &["CRM.internal"]), Names::new(&["127.0.0.1"]));
    let answered = fetch(&granted, get(format!("http://crm.internal.:{port}/x"))).await;
    assert_eq!(answered.expect("an answer").status, 200);
    // Granting the address grants no name that leads there.
    let other = Client::new(rules(&[&pattern], &["127.0.0.1"]), Names::new(&["127.0.0.1"]));
    let refused = fetch(&other, get(format!("http://crm.internal:{port}/x"))).await;
    assert!(matches!(refused, Err(FetchError::Dns(_))), "{refused:?}");
}

#[tokio::test]
async fn a_name_that_changes_its_address_between_two_lookups_gains_nothing() {
    // Public when it is looked at, private when it is used: so there is only one look.
    let backend = Backend::answering(200, "private").await;
    let port = backend.address.port();
    let names = Names::new(&["127.0.0.1"]);
    let pattern = format!("http://rebind.example:{port}/*");
    let client = Client::new(rules(&[&pattern], &[]), names.clone());
    for _ in 0..3 {
        let refused = fetch(&client, get(format!("http://rebind.example:{port}/"))).await;
        assert!(matches!(refused, Err(FetchError::Dns(_))), "{refused:?}");
    }
    assert_eq!(names.lookups.load(Ordering::SeqCst), 3, "each connection looks once");
    // A first public answer that leads nowhere does not open the way for the second one.
    let names = Names::new(&["2606:4700::1111 127.0.0.1", "127.0.0.1"]);
    let client = Client::new(rules(&[&pattern], &[]), names);
    let request = || get(format!("http://rebind.example:{port}/"));
    let first = client.fetch(request(), Duration::from_millis(300)).await;
    assert!(first.is_err(), "{first:?}");
    let second = fetch(&client, request()).await;
    assert!(matches!(second, Err(FetchError::Dns(_))), "{second:?}");
    assert!(backend.lines().is_empty());
}

#[tokio::test]
async fn what_no_pattern_allows_is_not_sent() {
    let backend = Backend::answering(200, "ok").await;
    let allow = [format!("GET {}", backend.url("/v2/*"))];
    let client = Client::new(rules(&[allow[0].as_str()], &["127.0.0.1"]), Arc::new(SystemResolver));
    for path in ["/", "/v1/a", "/v2", "/v2/../admin?key=private", "/v2/%2e%2e/admin"] {
        let refused = fetch(&client, get(backend.url(path))).await;
        let Err(FetchError::Denied(words)) = refused else { panic!("{path}: {refused:?}") };
        assert!(!words.contains("private"), "{words}");
    }
    for path in ["/v2/..%2fadmin", "/v2/..%5cadmin", "/v2/\\..\\admin", "/v2/a\r\nX: y", "/v2/#top"] {
        let refused = fetch(&client, get(backend.url(path))).await;
        assert!(matches!(refused, Err(FetchError::InvalidRequest(_))), "{path}: {refused:?}");
    }
    let post = Request { method: "POST".to_owned(), ..get(backend.url("/v2/a")) };
    assert!(matches!(fetch(&client, post).await, Err(FetchError::Denied(_))));
    assert!(matches!(fetch(&open_client(), get(backend.url("/v2/a"))).await, Err(FetchError::Denied(_))));
    assert!(backend.lines().is_empty());
    assert!(fetch(&client, get(backend.url("/v1/../v2/a"))).await.is_ok());
    assert_eq!(backend.lines(), ["GET /v2/a"], "what was compared is what was sent");
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_each_step_is_allowed() {
    let backend = Backend::start(|asked, _| match asked.target.as_str() {
        "/a" => Reply::new(302, "").header("Location", "/b?x=1"),
        "/b?x=1" => Reply::new(307, "").header("Location", "c#part"),
        "/c" => Reply::new(200, "there"),
        "/round" => Reply::new(302, "").header("Location", "/round"),
        "/up" => Reply::new(302, "").header("Location", "/x/..%2f..%2fadmin"),
        "/bare" => Reply::new(302, "nowhere"),
        _ => Reply::new(500, ""),
    })
    .await;
    let client = client(&backend);
    let there = fetch(&client, get(backend.url("/a"))).await.expect("an answer");
    assert_eq!(there.body, b"there");
    assert_eq!(backend.lines(), ["GET /a", "GET /b?x=1", "GET /c"]);
    let round = fetch(&client, get(backend.url("/round"))).await;
    assert!(matches!(round, Err(FetchError::Other(_))), "{round:?}");
    let up = fetch(&client, get(backend.url("/up"))).await;
    assert!(matches!(up, Err(FetchError::Denied(_))), "{up:?}");
    assert_eq!(fetch(&client, get(backend.url("/bare"))).await.expect("an answer").status, 302);
}

#[tokio::test]
async fn a_redirect_cannot_lead_where_a_request_could_not() {
    let private = Backend::answering(200, "private").await;
    let target = private.url("/x");
    let port = private.address.port();
    let backend = Backend::start(move |asked, _| {
        let location = match asked.target.as_str() {
            "/other" => target.clone(),
            "/name" => format!("http://inside.example:{port}/x"),
            "/metadata" => "http://169.254.169.254/latest/meta-data/".to_owned(),
            "/decimal" => format!("http://2130706433:{port}/x"),
            "/file" => "file:///etc/passwd".to_owned(),
            "/user" => "http://a:b@127.0.0.1/".to_owned(),
            _ => "//evil.example/x".to_owned(),
        };
        Reply::new(302, "").header("Location", location)
    })
    .await;
    let only = client(&backend);
    for path in ["/other", "/name", "/metadata", "/decimal", "/file", "/user", "/scheme-relative"] {
        let refused = fetch(&only, get(backend.url(path))).await;
        assert!(matches!(refused, Err(FetchError::Denied(_))), "{path}: {refused:?}");
    }
    // Allowed by its pattern, and still at an address that nobody granted.
    let open = format!("http://inside.example:{port}/*");
    let allow = [backend.url("/*"), open];
    let allow: Vec<&str> = allow.iter().map(String::as_str).collect();
    let named = Client::new(rules(&allow, &["127.0.0.1"]), Names::new(&["127.0.0.1"]));
    let refused = fetch(&named, get(backend.url("/name"))).await;
    assert!(matches!(refused, Err(FetchError::Dns(_))), "{refused:?}");
    assert!(private.lines().is_empty());
}

#[tokio::test]
async fn credentials_do_not_go_along_to_another_origin() {
    let other = Backend::answering(200, "ok").await;
    let target = other.url("/x");
    let backend = Backend::start(move |asked, _| match asked.target.as_str() {
        "/away" => Reply::new(307, "").header("Location", target.clone()),
        "/near" => Reply::new(307, "").header("Location", "/here"),
        _ => Reply::new(200, "ok"),
    })
    .await;
    let allow = [backend.url("/*"), other.url("/*")];
    let allow: Vec<&str> = allow.iter().map(String::as_str).collect();
    let client = Client::new(rules(&allow, &["127.0.0.1"]), Arc::new(SystemResolver));
    let request = |path: &str| Request {
        method: "POST".to_owned(),
        headers: vec![
            ("X-Api-Key".to_owned(), "private".to_owned()),
            ("Cookie".to_owned(), "private".to_owned()),
            ("Content-Type".to_owned(), "text/plain".to_owned()),
        ],
        secret_headers: vec![("Authorization".to_owned(), Secret::new("private"))],
        body: Some(b"hello".to_vec()),
        ..get(backend.url(path))
    };
    fetch(&client, request("/away")).await.expect("an answer");
    let asked = &other.asked()[0];
    assert_eq!((asked.line().as_str(), asked.body.as_str()), ("POST /x", "hello"));
    assert_eq!(asked.header("content-type"), Some("text/plain"));
    assert!(asked.headers.iter().all(|(_, value)| value != "private"), "{asked:?}");
    fetch(&client, request("/near")).await.expect("an answer");
    let here = &backend.asked()[2];
    assert_eq!((here.line().as_str(), here.header("authorization")), ("POST /here", Some("private")));
}

#[tokio::test]
async fn the_method_follows_the_rules_of_redirects() {
    for (status, method, expected) in [
        (301, "POST", "GET /to "),
        (302, "POST", "GET /to "),
        (303, "POST", "GET /to "),
        (303, "PUT", "GET /to "),
        (307, "POST", "POST /to hello"),
        (308, "PUT", "PUT /to hello"),
        (302, "PUT", "PUT /to hello"),
        (303, "HEAD", "HEAD /to hello"),
    ] {
        let backend = Backend::start(move |asked, _| match asked.target.as_str() {
            "/from" => Reply::new(status, "").header("Location", "/to"),
            _ => Reply::new(200, ""),
        })
        .await;
        let request =
            Request { method: method.to_owned(), body: Some(b"hello".to_vec()), ..get(backend.url("/from")) };
        fetch(&client(&backend), request).await.expect("an answer");
        let asked = &backend.asked()[1];
        assert_eq!(format!("{} {}", asked.line(), asked.body), expected, "{status} {method}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_too_slow_is_given_up() {
    let backend = Backend::start(|asked, _| match asked.target.as_str() {
        "/long" => Reply::new(200, &"x".repeat(1_001)),
        "/chunks" => Reply::new(200, &"x".repeat(1_001)).manner(Manner::Chunked),
        "/just" => Reply::new(200, &"x".repeat(1_000)).manner(Manner::Chunked),
        "/headers" => (0..200).fold(Reply::new(200, ""), |reply, at| reply.header(&format!("X-{at}"), "y")),
        "/header" => Reply::new(200, "").header("X", "y".repeat(70_000)),
        "/drip" => Reply::new(200, "").manner(Manner::Drip),
        "/closed" => Reply::new(200, "").manner(Manner::Closed),
        _ => Reply::new(200, "").manner(Manner::Silent),
    })
    .await;
    let small = client(&backend);
    for path in ["/long", "/chunks"] {
        let refused = fetch(&small, get(backend.url(path))).await;
        assert_eq!(refused, Err(FetchError::TooLarge { bytes_max: 1_000 }), "{path}");
    }
    assert_eq!(fetch(&small, get(backend.url("/just"))).await.expect("an answer").body.len(), 1_000);
    let many = fetch(&small, get(backend.url("/headers"))).await;
    assert!(matches!(many, Err(FetchError::Other(_))), "{many:?}");
    let long = fetch(&small, get(backend.url("/header"))).await;
    assert!(matches!(long, Err(FetchError::TooLarge { .. })), "{long:?}");
    let closed = fetch(&small, get(backend.url("/closed"))).await;
    assert!(matches!(closed, Err(FetchError::Other(_))), "{closed:?}");
    let large = Rules { response_bytes_max: 100_000, ..rules(&[&backend.url("/*")], &["127.0.0.1"]) };
    let patient = Client::new(large, Arc::new(SystemResolver));
    for path in ["/drip", "/silent"] {
        let slow = patient.fetch(get(backend.url(path)), Duration::from_millis(200)).await;
        assert_eq!(slow, Err(FetchError::Timeout), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_told() {
    let unknown = Client::new(rules(&["http://nobody.example/*"], &[]), Names::new(&[]));
    let failed = fetch(&unknown, get("http://nobody.example/?key=private")).await;
    assert!(matches!(failed, Err(FetchError::Dns(_))), "{failed:?}");
    // A port that was just free: nobody listens.
    let gone = Backend::answering(200, "").await.url("/x?key=private");
    let url = gone.split('?').next().expect("a URL");
    let client = Client::new(rules(&[url], &["127.0.0.1"]), Arc::new(SystemResolver));
    tokio::task::yield_now().await;
    let failed = fetch(&client, get(&gone)).await;
    assert!(matches!(failed, Err(FetchError::Connect(_))), "{failed:?}");
    assert!(!format!("{failed:?}").contains("private"), "{failed:?}");
}

#[tokio::test]
async fn tls_is_spoken_where_the_url_says_so() {
    let plain = Backend::answering(200, "").await;
    let url = plain.url("/x").replace("http://", "https://");
    let client = Client::new(rules(&[&url], &["127.0.0.1"]), Arc::new(SystemResolver));
    let failed = client.fetch(get(&url), Duration::from_secs(2)).await;
    assert!(failed.is_err() && plain.lines().is_empty(), "{failed:?}");
}
