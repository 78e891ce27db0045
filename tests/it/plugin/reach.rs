//! Where a plugin's requests can go: what is granted, and none of the places that attackers try.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard::secret::Secret;
use switchboard::tool::outbound::{FetchError, Pattern, Request, Resolve, Resolving, Response};
use switchboard::tool::plugin::{
    Failure, Fetch, Fetching, Grants, Hands, Limits, Outbound, Plugin, Settings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{AMPLE, HOST, Sink, call, call_with, from, guests_asking, load, settings};

/// A backend on this machine that counts who connects.
struct Backend {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    async fn start() -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(stream, port));
            }
        });
        Backend { port, connections }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Answers one request by its path.
async fn answer(mut stream: TcpStream, port: u16) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut chunk = [0; 4_096];
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..read]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let whole = |status: &str, headers: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    match path.as_str() {
        "/drip" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(b".").await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 16 << 10]).await?;
            }
        }
        "/who" => {
            let sent = request.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
            stream.write_all(whole("200 OK", "", sent.unwrap_or("nobody")).as_bytes()).await
        }
        path if path.starts_with("/to/") => {
            let to = format!("Location: http://{}:{port}/inside\r\n", &path["/to/".len()..]);
            stream.write_all(whole("302 Found", &to, "").as_bytes()).await
        }
        _ => stream.write_all(whole("200 OK", "", "hello").as_bytes()).await,
    }
}

/// Names that lead where the test says; several answers are given one after another, the last one again and again.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<Led>>>);

/// A name, and where it leads.
type Led = (String, VecDeque<IpAddr>);

impl Names {
    fn of(names: &[(&str, &[&str])]) -> Names {
        let address = |text: &&str| text.parse().expect("an address");
        let list = names.iter().map(|(name, all)| ((*name).to_owned(), all.iter().map(address).collect()));
        Names(Arc::new(Mutex::new(list.collect())))
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        let mut names = self.0.lock().expect("no resolver panics");
        let found = names.iter_mut().find(|(name, _)| name == host).map(|(_, addresses)| {
            let next = addresses.front().copied();
            if addresses.len() > 1 {
                addresses.pop_front();
            }
            next.into_iter().collect()
        });
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// The guests, asking for these patterns and granted them.
fn reaching(patterns: &[String], private_hosts: &[&str]) -> Settings {
    let needs: Vec<String> = patterns.iter().map(|pattern| format!("http {pattern}")).collect();
    let http = patterns.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect();
    let private_hosts = private_hosts.iter().map(|host| (*host).to_owned()).collect();
    guests_asking(&needs.join("\n"), Grants { http, private_hosts, ..Grants::default() })
}

async fn load_among(names: Names, settings: &Settings) -> Plugin {
    let hands = Hands { outbound: Outbound::Network(Arc::new(names)), ..Hands::real(None) };
    HOST.load_with(settings, hands).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn fetch(plugin: &Plugin, url: &str) -> String {
    match call_with(plugin, "fetch", &format!("\"GET {url}\"")).await {
        Ok(answer) => answer,
        Err(Failure::Unavailable(words)) => words,
        Err(other) => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn a_granted_host_is_reached_and_nothing_beside_it() {
    let backend = Backend::start().await;
    let pattern = backend.url("crm.internal", "/v2/*");
    let names = Names::of(&[("crm.internal", &["127.0.0.1"]), ("other.internal", &["127.0.0.1"])]);
    let plugin = load_among(names, &reaching(&[pattern], &["crm.internal"])).await;
    assert_eq!(fetch(&plugin, &backend.url("crm.internal", "/v2/x")).await, "\"200 hello\"");
    let connections = backend.connections();
    for (host, path) in [
        ("crm.internal", "/v1/x"),
        ("crm.internal", "/v2/../v1/x"),
        ("crm.internal", "/v2/%2e%2e/v1"),
        ("other.internal", "/v2/x"),
        ("127.0.0.1", "/v2/x"),
    ] {
        let told = fetch(&plugin, &backend.url(host, path)).await;
        assert!(told.starts_with("Error::Denied("), "{host}{path}: {told}");
    }
    assert_eq!(backend.connections(), connections, "nobody connected");
}

#[tokio::test]
async fn addresses_of_this_machine_and_its_network_are_denied_even_where_the_pattern_allows_them() {
    let backend = Backend::start().await;
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fe80::1]",
        "[fd00::1]",
    ];
    let patterns: Vec<String> = hosts.iter().map(|host| backend.url(host, "/*")).collect();
    let plugin = load_among(Names::default(), &reaching(&patterns, &[])).await;
    for host in hosts {
        let told = fetch(&plugin, &backend.url(host, "/")).await;
        assert!(told.starts_with("Error::Denied(") && told.contains("private_hosts"), "{host}: {told}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn names_that_lead_inside_are_refused() {
    let backend = Backend::start().await;
    let inside = [
        "127.0.0.1",
        "169.254.169.254",
        "10.1.2.3",
        "::1",
        "::ffff:127.0.0.1",
        "fd12::1",
        "fe80::1",
        "0.0.0.0",
    ];
    for address in inside {
        let names = Names::of(&[("evil.example", &[address])]);
        let plugin = load_among(names, &reaching(&[backend.url("evil.example", "/*")], &[])).await;
        let told = fetch(&plugin, &backend.url("evil.example", "/")).await;
        assert!(told.starts_with("Error::Dns(") && told.contains("evil.example"), "{address}: {told}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_checked_as_the_first_request_was() {
    let backend = Backend::start().await;
    let patterns: Vec<String> =
        ["crm.internal", "evil.example", "127.0.0.1", "[::1]"].map(|host| backend.url(host, "/*")).into();
    let names = Names::of(&[("crm.internal", &["127.0.0.1"]), ("evil.example", &["127.0.0.1"])]);
    let plugin = load_among(names, &reaching(&patterns, &["crm.internal"])).await;
    let redirected = fetch(&plugin, &backend.url("crm.internal", "/to/crm.internal")).await;
    assert_eq!(redirected, "\"200 hello\"");
    for (target, kind) in
        [("127.0.0.1", "Denied"), ("[::1]", "Denied"), ("other.example", "Denied"), ("evil.example", "Dns")]
    {
        let before = backend.connections();
        let told = fetch(&plugin, &backend.url("crm.internal", &format!("/to/{target}"))).await;
        assert!(told.starts_with(&format!("Error::{kind}(")), "{target}: {told}");
        assert!(backend.connections() <= before + 1, "{target}: only the first step connected");
    }
}

#[tokio::test]
async fn a_name_that_changes_between_two_lookups_never_leads_inside() {
    let backend = Backend::start().await;
    // Public first (an address that nobody answers at), then this machine: each connection is made to what was
    // checked for it.
    let names = Names::of(&[("rebound.example", &["240.0.0.1", "8.8.8.8", "127.0.0.1"])]);
    let limits = Limits { time: Duration::from_secs(3), ..Limits::default() };
    let settings = Settings { limits, ..reaching(&[backend.url("rebound.example", "/*")], &[]) };
    let plugin = load_among(names, &settings).await;
    let url = format!("\"GET {}\"", backend.url("rebound.example", "/"));
    for _ in 0..4 {
        let told = plugin.call(&from(None), "fetch", &url, Duration::from_millis(300)).await;
        assert!(told.is_err(), "{told:?}");
    }
    let told = fetch(&plugin, &backend.url("rebound.example", "/")).await;
    assert!(told.starts_with("Error::Dns("), "{told}");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_dripping_backend_costs_the_call_its_time_and_a_neighbour_nothing() {
    let backend = Backend::start().await;
    let names = Names::of(&[("slow.internal", &["127.0.0.1"])]);
    let plugin =
        load_among(names, &reaching(&[backend.url("slow.internal", "/*")], &["slow.internal"])).await;
    let neighbour = load(&settings("test-guests")).await;
    let (context, time) = (from(None), Duration::from_millis(200));
    let url = format!("\"GET {}\"", backend.url("slow.internal", "/drip"));
    let (dripped, answered) =
        tokio::join!(plugin.call(&context, "fetch", &url, time), call(&neighbour, "echo"));
    // The request's own time ends with the call's: either of the two clocks may be first.
    match dripped {
        Err(Failure::Timeout(stopped)) => assert_eq!(stopped, time),
        Err(Failure::Unavailable(words)) => assert_eq!(words, "Error::Timeout"),
        other => panic!("{other:?}"),
    }
    assert_eq!(answered.as_deref(), Ok("{}"));
}

#[tokio::test]
async fn too_long_and_too_many_are_told_to_the_plugin_and_to_the_operator() {
    let backend = Backend::start().await;
    let names = Names::of(&[("crm.internal", &["127.0.0.1"])]);
    let limits = Limits {
        http_requests: 3,
        http_response_bytes: 1 << 10,
        http_bytes: 4 << 10,
        time: AMPLE,
        ..Limits::default()
    };
    let settings = Settings { limits, ..reaching(&[backend.url("crm.internal", "/*")], &["crm.internal"]) };
    let plugin = load_among(names, &settings).await;
    let endless = fetch(&plugin, &backend.url("crm.internal", "/endless")).await;
    assert_eq!(endless, "Error::TooLarge");
    let (sink, _logging) = Sink::listen();
    let often = format!("\"10 {}\"", backend.url("crm.internal", "/"));
    let told = call_with(&plugin, "fetch_often", &often).await.expect("an answer");
    assert_eq!(told, "\"7 refused, the first Some(Error::Quota)\"");
    let logged = sink.take();
    assert!(logged.contains("a plugin sends more than `limits.http_requests`"), "{logged}");
    assert!(logged.contains("refused=7"), "{logged}");
    let long = format!("\"5000 {}\"", backend.url("crm.internal", "/"));
    let posted = call_with(&plugin, "post", &long).await;
    assert_eq!(posted, Err(Failure::Unavailable("Error::Quota".to_owned())));
}

#[tokio::test]
async fn a_secret_goes_into_the_request_without_the_plugin_seeing_it() {
    let backend = Backend::start().await;
    let names = Names::of(&[("crm.internal", &["127.0.0.1"])]);
    let mut settings = reaching(&[backend.url("crm.internal", "/*")], &["crm.internal"]);
    settings.grants.secrets = [("TOKEN".to_owned(), Secret::new("very private"))].into();
    settings.config.insert("needs".to_owned(), settings.config["needs"].clone() + "\nsecret TOKEN");
    let plugin = load_among(names, &settings).await;
    let who = |name: &str| format!("\"{name} {}\"", backend.url("crm.internal", "/who"));
    let sent = call_with(&plugin, "fetch_with_secret", &who("TOKEN")).await.expect("an answer");
    assert_eq!(sent.to_ascii_lowercase(), "\"200 authorization: bearer very private\"");
    let other = call_with(&plugin, "fetch_with_secret", &who("OPENAI_API_KEY")).await;
    let words = "Error::Denied(\"the secret `OPENAI_API_KEY` is not granted\")";
    assert_eq!(other, Err(Failure::Unavailable(words.to_owned())));
    let shown = call_with(&plugin, "reveal", "\"TOKEN\"").await;
    assert_eq!(shown.as_deref(), Ok("\"Err(Error::Denied)\""));
}

/// A backend whose answers come from calling the same plugin again.
struct Mirror(tokio::sync::OnceCell<Plugin>);

impl Fetch for Mirror {
    fn fetch<'a>(&'a self, _: Request, _: Duration) -> Fetching<'a> {
        Box::pin(async {
            let plugin = self.0.get().ok_or_else(|| FetchError::Other("not yet".to_owned()))?;
            let again = plugin.call(&from(None), "fetch", "\"GET https://mirror.example/\"", AMPLE).await;
            Ok(Response { status: 200, headers: Vec::new(), body: format!("{again:?}").into_bytes() })
        })
    }
}

#[tokio::test]
async fn a_plugin_that_calls_itself_over_and_over_runs_out_of_places() {
    let mirror = Arc::new(Mirror(tokio::sync::OnceCell::new()));
    let limits = Limits { concurrency: 3, wait: Duration::from_millis(20), time: AMPLE, ..Limits::default() };
    let settings = Settings { limits, ..reaching(&["https://mirror.example/*".to_owned()], &[]) };
    let hands = Hands { outbound: Outbound::Instead(mirror.clone()), ..Hands::real(None) };
    let plugin = HOST.load_with(&settings, hands).await.expect("a plugin");
    assert!(mirror.0.set(plugin.clone()).is_ok());
    let (sink, _logging) = Sink::listen();
    let told = fetch(&plugin, "https://mirror.example/").await;
    assert_eq!(told.matches("200 ").count(), 3, "{told}");
    assert!(told.contains("too many calls of it are running"), "{told}");
    assert!(sink.take().contains("more of them run than `limits.concurrency` allows"));
    let denied = fetch(&plugin, "https://elsewhere.example/").await;
    assert!(
        denied.starts_with("Error::Denied("),
        "what stands in for the network is asked for nothing else: {denied}"
    );
    assert_eq!(call(&plugin, "echo").await.as_deref(), Ok("{}"), "all places are free again");
}
