//! `switchboard report paths`: a week of mixed traffic, checked against what the store was given.

mod week;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use switchboard::call::record::{CallRecord, Ended, EndedReason, Path, State};
use switchboard::call::{Beginning, Call};
use switchboard::clock::{Clock as _, Entropy, SystemClock, Timestamp};
use switchboard::ids::CallId;
use switchboard::store::{Settings, Store, Tx, Write};

const DAY: Duration = Duration::from_secs(86_400);
const DAYS: u32 = 8;
/// More than two pages of the list.
const CALLS_A_DAY: u32 = 60;

/// The n-th call of a mixed day: most over SIP, some over the old path, some turned away.
fn call(began: Timestamp, n: u32, entropy: &Entropy) -> CallRecord {
    let (path, reason) = match n % 12 {
        0..6 => (Path::Sip, EndedReason::CallerHangup),
        6 => (Path::Sip, EndedReason::Transferred),
        7 | 8 => (Path::Sip, EndedReason::AssistantHangup),
        9 | 10 => (Path::MediaStreams, EndedReason::CallerHangup),
        _ => (Path::None, EndedReason::Busy),
    };
    let mut record = Call::begin(Beginning {
        id: CallId::new(began, entropy.bytes()),
        path,
        caller: Some("+819012345678".to_owned()),
        callee: Some("+815012345678".to_owned()),
        route: Some("all".to_owned()),
        carrier: None,
        carrier_asked: Some(began),
        vars: BTreeMap::new(),
        other_path: None,
        avoided: None,
    })
    .record;
    record.state = State::Ended;
    record.ended = Some(Ended { reason, detail: None });
    record.stages.ended = Some(began + Duration::from_secs(90));
    if path != Path::None {
        record.stages.webhook_received = Some(began);
        record.stages.attached = Some(began + Duration::from_millis(20));
        record.stages.first_audio = Some(began + Duration::from_millis(400 + u64::from(n)));
        record.cost_usd = Some(0.04);
    }
    record
}

/// Keeps the traffic of the last days; on the third, so many calls over SIP fail.
async fn keep(data: &std::path::Path, failing: u32) -> u64 {
    let settings = Settings { free_bytes_min: 0, ..Settings::at(data) };
    let (store, _) = Store::open(&settings, Arc::new(SystemClock)).expect("the store opens");
    let entropy = Entropy::seeded(11);
    let first = SystemClock.now() - DAY * DAYS + Duration::from_secs(3_600);
    let mut sip = 0;
    for day in 0..DAYS {
        let calls = (0..CALLS_A_DAY).map(|n| {
            let mut record = call(first + DAY * day + Duration::from_secs(60) * n, n, &entropy);
            if day == 2 && n < failing {
                record.path = Path::Sip;
                record.ended =
                    Some(Ended { reason: EndedReason::LegFailed, detail: Some("SIP 503".to_owned()) });
                record.stages.attached = None;
                record.stages.first_audio = None;
                record.cost_usd = None;
            }
            record
        });
        let calls: Vec<CallRecord> = calls.collect();
        sip += calls.iter().filter(|call| call.path == Path::Sip).count() as u64;
        let writes = calls.into_iter().map(|call| Write::Call(Box::new(call))).collect();
        store.commit(Tx { expect: Vec::new(), writes }).await.expect("kept");
    }
    store.close().await.expect("the store closes");
    sip
}

fn report(data: &std::path::Path, words: &[&str]) -> String {
    report_with(data, &[], words)
}

/// The command over this data directory, with more in its environment.
fn report_with(data: &std::path::Path, environment: &[(&str, String)], words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear().env("SWITCHBOARD__STORE__PATH", data);
    for (name, value) in [
        ("OPENAI_API_KEY", "sk-x"),
        ("OPENAI_PROJECT_ID", "proj_x"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000abc"),
        ("TWILIO_AUTH_TOKEN", "x"),
        ("BASE_URL", "https://voice.example.com"),
    ] {
        command.env(name, value);
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.args(["report", "paths"]).args(words).output().expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calm_week_lets_the_old_path_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let sip = keep(&data, 0).await;
    let page: serde_json::Value = serde_json::from_str(&report(&data, &["--json"])).expect("JSON");
    let fared = &page["report"]["paths"]["sip"];
    assert_eq!((fared["calls"].as_u64(), fared["answered"].as_u64()), (Some(sip), Some(sip)));
    assert_eq!(page["report"]["paths"]["media-streams"]["calls"], 80);
    assert_eq!(page["report"]["paths"]["none"]["ended"]["busy"], 40);
    assert_eq!(fared["transferred"], 40);
    assert_eq!((&page["sip_is_stable"], &page["why_not"]), (&true.into(), &serde_json::json!([])));
    let text = report(&data, &[]);
    assert!(text.contains("the SIP path was stable for a week"), "{text}");
    // A shorter time sums up less; how long SIP has been in use stays as it is.
    for (since, sums) in [("7d", None), ("2d", Some(" sip               90        90 "))] {
        let text = report(&data, &["--since", since]);
        assert!(text.contains("the SIP path was stable for a week"), "{since}: {text}");
        assert!(sums.is_none_or(|sums| text.contains(sums)), "{since}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_with_a_bad_hour_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    keep(&data, 12).await;
    let text = report(&data, &[]);
    assert!(text.contains("sip: leg_failed 12"), "{text}");
    assert!(text.contains("keep Media Streams as the way back: 3.3 % of the calls failed"), "{text}");
}
