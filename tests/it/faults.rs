//! What is neither the carrier's fault nor the provider's: clocks that are set, names that lead nowhere, certificates
//! that are none, descriptors that run out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use switchboard::call::record::EndedReason;
use switchboard::clock::{Clock, SystemClock, Timestamp};
use switchboard::sim::twilio::CallerSetup;

use crate::harness::{CALLEE, CALLER, CONFIG, House, Plan, SHORT, eventually, script};

/// The machine's clock, which somebody sets.
#[derive(Default)]
struct SetClock(AtomicI64);

const DAY: i64 = 86_400;

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let off = self.0.load(Ordering::SeqCst);
        let span = Duration::from_secs(off.unsigned_abs());
        if off < 0 { SystemClock.now() - span } else { SystemClock.now() + span }
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }
}

const TALK: &str = r#"steps = [
    { model = { says = "One." } },
    { caller = { says = "Two." } },
    { model = { says = "Three." } },
    { caller = { says = "Four." } },
    { model = { says = "Five.", calls = [{ name = "hangup" }] } },
    { hang_up = "gateway" },
]"#;

/// Plays a call in which the clock is set by so many seconds once each of these lines is kept.
async fn talk_while_the_clock_is_set(environment: &[(&'static str, &str)], leaps: [(&str, i64); 2]) {
    let clock = Arc::new(SetClock::default());
    let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let house =
        Arc::new(House::with(Plan { config, environment, clock: clock.clone(), ..Plan::default() }).await);
    let playing = {
        let house = Arc::clone(&house);
        tokio::spawn(async move { house.play(CallerSetup::new(CALLER, CALLEE, script(TALK))).await })
    };
    for (line, seconds) in leaps {
        eventually("the line is kept", || async {
            let call = house.calls().await.into_iter().next()?;
            let kept = house.gateway.control().store().detail(call.id).await.expect("readable")?;
            kept.lines.iter().any(|kept| kept.text == line).then_some(())
        })
        .await;
        clock.0.fetch_add(seconds, Ordering::SeqCst);
    }
    let played = playing.await.expect("played");
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    assert_eq!(
        kept.call.ended.as_ref().map(|ended| ended.reason),
        Some(EndedReason::AssistantHangup),
        "{kept:#?}"
    );
    let texts: Vec<&str> = kept.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["One.", "Two.", "Three.", "Four.", "Five."]);
    assert!(kept.lines.is_sorted_by_key(|line| line.started), "{:#?}", kept.lines);
    let began = kept.lines[0].started;
    assert!(kept.lines.iter().all(|line| line.started.since(began) < Duration::from_secs(3_600)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_forward_and_back_ends_no_call_and_mixes_up_no_line() {
    talk_while_the_clock_is_set(&[], [("One.", DAY), ("Three.", -3 * DAY)]).await;
    let bridged = [("SWITCHBOARD__FEATURES__OPENAI_SIP", "false")];
    talk_while_the_clock_is_set(&bridged, [("One.", -DAY), ("Three.", 3 * DAY)]).await;
}

/// Plays a call with a provider's REST that is not to be had at this address; the caller goes on over the bridge,
/// whose socket has its own.
async fn accept_fails_at(base_url: String, in_words: &str) {
    let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let environment = vec![("SWITCHBOARD__FEATURES__FAILOVER", "true".to_owned())];
    // Slow enough that the carrier's ten seconds are longer than two tries.
    let plan = Plan { config, environment, speed: 2.0, ..Plan::default() };
    let data = tempfile::tempdir().expect("a folder");
    let (world, mut config) = crate::harness::prepare(plan, data.path()).await;
    config.openai.base_url = base_url.parse().expect("a URL");
    let house = House::of(world, config, data).await;
    let played = house.call(SHORT).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    let moved = kept.call.moved.clone().unwrap_or_else(|| panic!("{kept:#?}\n{}", house.world.log.text()));
    assert_eq!(moved.reason, EndedReason::AcceptFailed);
    let why = moved.detail.clone().unwrap_or_default().to_lowercase();
    assert!(why.contains(in_words), "{why}");
    assert!(moved.spoke_again.is_some(), "{moved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_a_certificate_is_not_spoken_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Its greeting is heard, and answered in plain words.
            let _ = stream.read(&mut [0; 2_048]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    accept_fails_at(format!("https://{address}/v1"), "invalidcontenttype").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_name_leads_nowhere_is_left() {
    accept_fails_at("https://api.nowhere.invalid/v1".to_owned(), "dns").await;
}

/// `serve` with so few descriptors that strangers can use them up.
#[test]
fn descriptors_that_run_out_are_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = crate::cli::SERVED.to_owned() + "\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    std::fs::write(folder.path().join("gateway.toml"), served).expect("a file");
    let mut command = Command::new("/bin/sh");
    let script = format!("ulimit -n 48; exec {} serve", env!("CARGO_BIN_EXE_switchboard"));
    command.args(["-c", &script]).current_dir(folder.path()).env_clear().env("HOME", folder.path());
    let mut served = crate::cli::Served::of(command, folder);
    let ready = served.says("ready");
    let address = |key: &str| ready[key].as_str().expect("an address").to_owned();
    let strangers: Vec<TcpStream> =
        (0..80).map(|_| TcpStream::connect(address("public")).expect("a connection")).collect();
    served.says("connections cannot be accepted at the moment");
    drop(strangers);
    let mut operator = TcpStream::connect(address("admin")).expect("a connection");
    operator.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    operator.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    operator.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
