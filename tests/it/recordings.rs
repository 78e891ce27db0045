//! Recordings, from the announcement to the proof that they are gone: a whole gateway, the simulated
//! carrier with its REST API, and everything that can go wrong between them.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use switchboard::call::consent::Announcer;
use switchboard::call::record::CallDetail;
use switchboard::call::recording::{CarrierCopy, DeletedBy, RecordingRecord, RecordingState};
use switchboard::clock::{Clock as _, SystemClock};
use switchboard::http::{TWILIO_RECORDING, detail};
use switchboard::ids::CallId;
use switchboard::secret::Secret;
use switchboard::sim::twilio::{CallerSetup, Fields, Heard, RecordingFaults, Refusal, RequestKind, Signing};
use switchboard::store::Recordings;
use switchboard::twilio::rest::{self, RestError};
use tokio::net::TcpListener;

use crate::harness::{CALLEE, CALLER, CONFIG, House, Operator, Plan, SHORT, eventually, script};

const TALK: &str = r#"steps = [
    { model = { says = "はい、お電話ありがとうございます。" } },
    { caller = { says = "もしもし", for_ms = 2000 } },
    { model = { says = "承知しました。" } },
    { hang_up = "caller" },
]"#;
pub const ANNOUNCEMENT: &str = "この通話は<録音>され、\"AI\" & 人が応対します。";

/// A shop whose calls are recorded; `more` stands before its sessions.
pub fn config(more: &str) -> String {
    let shop = CONFIG.split("[plugins").next().unwrap_or_default();
    let announcement = "announcement = { text = 'この通話は<録音>され、\"AI\" & 人が応対します。', language = \"ja-JP\", voice = \"Polly.Kazuha-Neural\" }";
    format!("[features]\nrecordings = true\n\n[recordings]\n{announcement}\n{more}\n{shop}")
}

async fn house(more: &str) -> House {
    House::with(Plan { config: config(more), ..Plan::default() }).await
}

fn caller(recording: RecordingFaults) -> CallerSetup {
    let mut caller = CallerSetup::new(CALLER, CALLEE, script(TALK));
    caller.faults.recording = recording;
    caller
}

/// The only recording of the only call, once it is so.
pub async fn recording(
    house: &House,
    is_so: impl Fn(&RecordingRecord) -> bool,
) -> (CallDetail, RecordingRecord) {
    let store = house.gateway.control().store();
    eventually("the recording is so", || async {
        let call = house.calls().await.first()?.id;
        let kept = detail(store, call).await.expect("a readable store")?;
        let record = kept.recordings.first().cloned().filter(|record| is_so(record))?;
        assert_eq!(kept.recordings.len(), 1, "{:?}", kept.recordings);
        // The parts of a call are read one after the other: what the record tells of may be missing in the first.
        let whole = detail(store, call).await.expect("a readable store")?;
        Some((whole, record))
    })
    .await
}

pub fn kept(record: &RecordingRecord) -> bool {
    record.state == RecordingState::Kept
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an operator gets: status, headers, body.
pub async fn operator(
    house: &House,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, reqwest::header::HeaderMap, Vec<u8>) {
    let operator = Operator::of(house);
    let mut request = operator.request(method, &format!("/api/v1{path}")).bearer_auth(&operator.token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, response.bytes().await.expect("a body").to_vec())
}

pub fn events(detail: &CallDetail) -> Vec<&str> {
    let kinds = detail.events.iter().map(|event| event.kind.as_str());
    kinds.filter(|kind| kind.starts_with("recording.")).collect()
}

pub fn delays(house: &House, reason: &str) -> f64 {
    house.metric(&format!("switchboard_recording_delays_total{{reason=\"{reason}\"}}"))
}

/// Waits until a metric has this value: it is counted right after what it counts is on disk.
pub async fn is_metric(house: &House, name: &str, value: f64) {
    eventually(name, || async { (house.metric(name) == value).then_some(()) }).await;
}

// === the ordinary way ===

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_announced_recorded_fetched_and_kept() {
    let house = house("").await;
    let played = house.play(caller(RecordingFaults::default())).await;
    assert_eq!(played.carrier.problems, [""; 0]);
    assert_eq!(played.carrier.heard.first(), Some(&Heard::Said(ANNOUNCEMENT.to_owned())));
    assert!(played.provider.is_some_and(|provider| !provider.spoken.is_empty()));

    let (detail, record) = recording(&house, kept).await;
    let sid = played.carrier.recordings[0].clone();
    let sound = house.world.carrier_rest.sound(&sid).expect("it is still at the carrier");
    assert_eq!((record.id.as_str(), record.bytes), (sid.as_str(), Some(sound.len() as u64)));
    assert_eq!(record.sha256.as_deref(), Some(sha256(&sound).as_str()));
    assert_eq!((record.channels, record.carrier_copy), (Some(2), CarrierCopy::There));
    assert!(record.duration_s.is_some_and(|seconds| seconds >= 1.0), "{record:?}");
    let name = record.file.clone().expect("a file");
    assert_eq!(name, Recordings::name(detail.call.id, &record.id));
    let on_disk = std::fs::read(house.data.path().join("recordings").join(name)).expect("the file");
    assert_eq!(on_disk, sound);

    let consent = detail.call.consent.clone().expect("what the caller was told");
    assert_eq!((consent.announcement.as_deref(), consent.by), (Some(ANNOUNCEMENT), Announcer::Carrier));
    let first = record.first_moment(&detail.call).expect("an offset");
    let zero = detail.call.stages.began().expect("a begin");
    assert_eq!(record.offset_ms, Some(first.since(zero).as_millis() as i64));
    let answered = detail.call.stages.leg_answered.expect("answered");
    assert!(first.since(answered) + answered.since(first) < Duration::from_secs(1), "{first} {answered}");
    assert_eq!(events(&detail), ["recording.running", "recording.wanted", "recording.kept"]);
    is_metric(&house, "switchboard_recordings_backlog", 0.0).await;
    is_metric(&house, r#"switchboard_recordings_total{outcome="kept"}"#, 1.0).await;
    assert_eq!(house.metric("switchboard_recording_bytes"), sound.len() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_hears_it_whole_and_in_parts() {
    let house = house("").await;
    house.play(caller(RecordingFaults::default())).await;
    let (detail, record) = recording(&house, kept).await;
    let sound = house.world.carrier_rest.sound(record.id.as_str()).expect("the sound");
    let path = format!("/calls/{}/recording", detail.call.id);

    let (status, headers, body) = operator(&house, Method::GET, &path, &[]).await;
    assert_eq!((status, body == sound), (StatusCode::OK, true));
    assert_eq!(headers["content-type"], "audio/wav");
    assert_eq!(headers["accept-ranges"], "bytes");
    let etag = headers["etag"].to_str().expect("a tag").to_owned();
    assert_eq!(etag, format!("\"{}\"", sha256(&sound)));

    let size = sound.len();
    for (range, from, length) in
        [("bytes=0-43", 0, 44), ("bytes=100000-", 100_000, size - 100_000), ("bytes=-7", size - 7, 7)]
    {
        let (status, headers, body) = operator(&house, Method::GET, &path, &[("range", range)]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(body, sound[from..from + length], "{range}");
        let expected = format!("bytes {from}-{}/{size}", from + length - 1);
        assert_eq!(headers["content-range"], expected.as_str());
    }
    let beyond = format!("bytes={size}-");
    let (status, headers, body) = operator(&house, Method::GET, &path, &[("range", &beyond)]).await;
    assert_eq!((status, body.len()), (StatusCode::RANGE_NOT_SATISFIABLE, 0));
    assert_eq!(headers["content-range"], format!("bytes */{size}").as_str());
    let (status, _, body) = operator(&house, Method::GET, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
    let stale = [("range", "bytes=0-1"), ("if-range", "\"another\"")];
    assert_eq!(operator(&house, Method::GET, &path, &stale).await.0, StatusCode::OK);

    let other = format!("{path}?recording=RE00000000000000000000000000000000");
    assert_eq!(operator(&house, Method::GET, &other, &[]).await.0, StatusCode::NOT_FOUND);
    let unknown = format!("/calls/{}/recording", CallId::new(SystemClock.now(), [7; 10]));
    assert_eq!(operator(&house, Method::GET, &unknown, &[]).await.0, StatusCode::NOT_FOUND);
    assert_eq!(operator(&house, Method::DELETE, &unknown, &[]).await.0, StatusCode::NOT_FOUND);
    for path in ["/calls/nonsense/recording", "/recordings?colour=red"] {
        assert_eq!(operator(&house, Method::GET, path, &[]).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
    let listed: switchboard::http::Recordings =
        serde_json::from_slice(&operator(&house, Method::GET, "/recordings", &[]).await.2).expect("a list");
    assert_eq!(listed.recordings, [record]);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for method in [Method::GET, Method::DELETE] {
        let url = format!("http://{}/api/v1{path}", house.gateway.admin);
        let answer =
            client.request(method.clone(), url).bearer_auth("wrong").send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_feature_and_on_routes_that_say_so_nothing_is_recorded() {
    let off = House::without_plugins(Default::default()).await;
    let not_here = config("").replace("session = \"shop\"", "session = \"shop\"\nrecording = false");
    let here = House::with(Plan { config: not_here, ..Plan::default() }).await;
    for house in [off, here] {
        let played = house.call(SHORT).await;
        assert_eq!(played.carrier.recordings, [""; 0]);
        assert!(!played.carrier.documents[0].contains("record"), "{}", played.carrier.documents[0]);
        assert_eq!(house.ended().await.call.consent, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_may_be_the_one_to_announce() {
    let config = config("").replace("language = \"ja-JP\",", "language = \"ja-JP\", by = \"assistant\",");
    let house = House::with(Plan { config, ..Plan::default() }).await;
    let played = house.play(caller(RecordingFaults::default())).await;
    assert_eq!(played.carrier.problems, [""; 0]);
    assert!(!played.carrier.heard.iter().any(|heard| matches!(heard, Heard::Said(_))));
    assert!(played.carrier.documents[0].contains("answerOnBridge=\"true\""), "nothing has answered before");
    let (detail, _) = recording(&house, kept).await;
    let consent = detail.call.consent.expect("what the caller was told");
    assert_eq!((consent.announcement.as_deref(), consent.by), (Some(ANNOUNCEMENT), Announcer::Assistant));
}

// === reports in any order, or not at all ===

#[tokio::test(flavor = "multi_thread")]
async fn reports_doubled_out_of_order_and_late_lead_to_one_recording() {
    use RequestKind::{DialResult, LegCompleted, RecordingCompleted, RecordingStarted};
    let house = house("").await;
    let mut caller = caller(RecordingFaults { not_ready: 2, ..RecordingFaults::default() });
    caller.faults.doubled = vec![RecordingStarted, RecordingCompleted, DialResult, LegCompleted];
    caller.faults.shuffled = true;
    let played = house.play(caller).await;
    assert_eq!(played.carrier.problems, [""; 0]);
    let (detail, record) = recording(&house, kept).await;
    assert!(record.started.is_some());
    assert_eq!(events(&detail).iter().filter(|kind| **kind == "recording.kept").count(), 1);
    let media = house.world.carrier_rest.requests();
    let media: Vec<u16> =
        media.iter().filter(|request| request.path.contains(".wav")).map(|request| request.status).collect();
    assert_eq!(media, [404, 404, 200], "as often as needed, and no more");
    assert!(delays(&house, "not_ready") >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_whose_reports_are_lost_is_found_by_the_end_of_the_dial() {
    use RequestKind::{RecordingCompleted, RecordingStarted};
    let house = house("").await;
    let mut caller = caller(RecordingFaults::default());
    caller.faults.dropped = vec![RecordingStarted, RecordingCompleted];
    house.play(caller).await;
    let (_, record) = recording(&house, kept).await;
    assert!(record.started.is_some(), "the carrier was asked when it began: {record:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_recording_is_noted_and_not_fetched() {
    let house = house("").await;
    house.play(caller(RecordingFaults { absent: true, ..RecordingFaults::default() })).await;
    let (detail, record) = recording(&house, |record| record.state == RecordingState::Absent).await;
    assert_eq!(events(&detail), ["recording.running", "recording.absent"]);
    assert!(!record.has_work());
    assert_eq!(house.metric(r#"switchboard_recordings_total{outcome="absent"}"#), 1.0);
    let path = format!("/calls/{}/recording", detail.call.id);
    let (status, _, words) = operator(&house, Method::GET, &path, &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(String::from_utf8_lossy(&words).contains("absent"));
    assert!(!house.world.carrier_rest.requests().iter().any(|request| request.path.contains(".wav")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_channel_is_better_than_none() {
    let house = house("").await;
    house.play(caller(RecordingFaults { mono: true, ..RecordingFaults::default() })).await;
    let (_, record) = recording(&house, kept).await;
    assert_eq!(record.channels, Some(1));
}

// === trouble with the carrier ===

/// A house whose carrier refused so, and whose recording is kept all the same.
async fn kept_in_spite_of(refusals: [Refusal; 2], faults: RecordingFaults, reasons: &[&str]) {
    let house = house("").await;
    house.world.carrier_rest.refuse(refusals);
    house.play(caller(faults)).await;
    let (detail, record) = recording(&house, kept).await;
    assert_eq!(record.problem, None);
    let sound = house.world.carrier_rest.sound(record.id.as_str()).expect("the sound");
    assert_eq!(record.sha256.as_deref(), Some(sha256(&sound).as_str()));
    for reason in reasons {
        assert!(delays(&house, reason) >= 1.0, "{reason}: {:?}", events(&detail));
    }
    let file = house.data.path().join("recordings").join(record.file.expect("a file"));
    let left = std::fs::read_dir(file.parent().expect("a folder")).expect("readable").count();
    assert_eq!(left, 1, "nothing unfinished is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_carrier_may_be_busy_and_refuse_the_key() {
    let busy = Refusal { status: 429, retry_after_s: Some(1), ..Refusal::default() };
    let denied = Refusal { status: 401, ..Refusal::default() };
    kept_in_spite_of([busy, denied], RecordingFaults::default(), &["busy", "denied"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_carrier_may_fail_and_break_off() {
    let broken = Refusal { status: 500, ..Refusal::default() };
    // The deletion never comes, and so does its refusal.
    let unused = Refusal { method: Some("DELETE"), status: 500, ..Refusal::default() };
    let cut = RecordingFaults { cut: 1, ..RecordingFaults::default() };
    kept_in_spite_of([broken, unused], cut, &["unreachable"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_sound_is_never_kept() {
    let house = house("").await;
    house.play(caller(RecordingFaults { garbled: true, ..RecordingFaults::default() })).await;
    let is_damaged =
        |record: &RecordingRecord| record.problem.as_deref().is_some_and(|why| why.starts_with("damaged"));
    let (detail, record) = recording(&house, is_damaged).await;
    assert_eq!((record.state, record.file), (RecordingState::Wanted, None));
    let path = format!("/calls/{}/recording", detail.call.id);
    assert_eq!(operator(&house, Method::GET, &path, &[]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_to_the_carrier_and_nowhere_else() {
    let stranger = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let elsewhere = format!("http://{}/steal.wav", stranger.local_addr().expect("an address"));
    let house = house("").await;
    // Its REST API would lead us away, too.
    let away = Refusal { status: 302, location: Some(elsewhere.clone()), ..Refusal::default() };
    house.world.carrier_rest.refuse([away]);
    house.play(caller(RecordingFaults { url: Some(elsewhere), ..RecordingFaults::default() })).await;
    recording(&house, kept).await;
    let asked = tokio::time::timeout(Duration::from_millis(200), stranger.accept()).await;
    assert!(asked.is_err(), "a stranger was asked");
    assert!(house.world.carrier_rest.requests().iter().all(|request| request.is_authorized));
    assert!(delays(&house, "refused") >= 1.0, "the redirect was refused");
}

// === hostile reports ===

/// A report of a recording, as the carrier sends it.
fn report(house: &House, call_sid: &str, changes: &[(&str, &str)]) -> Fields {
    let mut fields = house.world.twilio.voice_fields(call_sid, CALLER, CALLEE, "completed");
    fields.retain(|(name, _)| ["AccountSid", "CallSid"].contains(&name.as_str()));
    let common = [
        ("RecordingSid", "RE0123456789abcdef0123456789abcdef"),
        ("RecordingStatus", "in-progress"),
        ("RecordingUrl", "https://evil.example/\"><Hangup/>"),
    ];
    let own = common.into_iter().filter(|(name, _)| changes.iter().all(|(other, _)| other != name));
    let all = own.chain(changes.iter().copied());
    fields.retain(|(name, _)| changes.iter().all(|(other, _)| other != name));
    fields.extend(all.map(|(name, value)| (name.to_owned(), value.to_owned())));
    fields
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_that_are_forged_broken_or_about_other_calls_change_nothing() {
    const CALL_SID: &str = "CA0123456789abcdef0123456789abcdef";
    const OTHER_SID: &str = "CAfedcba9876543210fedcba9876543210";
    let house = house("").await;
    house.ask(CALL_SID, CALLER).await;
    let call = house.calls().await[0].id;
    let path = format!("{TWILIO_RECORDING}?call={call}");
    let verdict = |name: &str| {
        house.metric(&format!("switchboard_webhooks_total{{source=\"twilio\",verdict=\"{name}\"}}"))
    };

    for signing in [Signing::Missing, Signing::WrongToken] {
        let answer = house.request(&path, report(&house, CALL_SID, &[]), signing).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, ""));
    }
    let account = [("AccountSid", "AC0000000000000000000000000000dead")];
    assert_eq!(house.tell(&path, report(&house, CALL_SID, &account)).await.status, 403);
    for (name, value) in [
        ("RecordingSid", "RE1"),
        ("RecordingSid", "../../../etc/passwd"),
        ("RecordingSid", "RE0123456789abcdef0123456789abcde<"),
        ("RecordingStatus", "deleted"),
        ("RecordingStartTime", "<now/>"),
        ("RecordingDuration", "-1"),
        ("CallSid", "<x/>"),
    ] {
        let answer = house.tell(&path, report(&house, CALL_SID, &[(name, value)])).await;
        assert_eq!(answer.status, 400, "{name} {value}");
    }
    for address in ["?call=nonsense", "", "?call=../../etc"] {
        let answer = house.tell(&format!("{TWILIO_RECORDING}{address}"), report(&house, CALL_SID, &[])).await;
        assert_eq!(answer.status, 400, "{address}");
    }
    let unknown = format!("{TWILIO_RECORDING}?call={}", CallId::new(SystemClock.now(), [7; 10]));
    assert_eq!(house.tell(&unknown, report(&house, CALL_SID, &[])).await.status, 204);
    assert_eq!(verdict("unknown_call"), 1.0);
    assert_eq!(house.tell(&path, report(&house, OTHER_SID, &[])).await.status, 204);
    assert_eq!(verdict("other_call"), 1.0);
    assert_eq!(house.gateway.control().store().recordings(10).await.expect("a list"), []);

    // A flood of recordings of one call is bounded.
    for n in 0..40 {
        let sid = format!("RE{n:032x}");
        let fields = report(&house, CALL_SID, &[("RecordingSid", &sid)]);
        assert_eq!(house.tell(&path, fields).await.status, 204);
    }
    assert_eq!(house.gateway.control().store().recordings(100).await.expect("a list").len(), 16);
}

// === the carrier's copy ===

#[tokio::test(flavor = "multi_thread")]
async fn the_carriers_copy_goes_only_after_ours_is_kept() {
    let house = house("delete_at_carrier = true").await;
    house.play(caller(RecordingFaults { cut: 1, ..RecordingFaults::default() })).await;
    let (detail, record) = recording(&house, |record| record.carrier_copy == CarrierCopy::Deleted).await;
    assert!(kept(&record));
    assert_eq!(house.world.carrier_rest.sound(record.id.as_str()), None, "gone there");
    let requests = house.world.carrier_rest.requests();
    let whole = requests.iter().rposition(|request| request.path.contains(".wav") && request.status == 200);
    let deletion = requests.iter().position(|request| request.method == "DELETE");
    assert!(whole.is_some() && whole < deletion, "{requests:?}");
    let kinds = events(&detail);
    assert_eq!(&kinds[kinds.len() - 2..], ["recording.kept", "recording.deleted_at_carrier"]);
    is_metric(&house, r#"switchboard_recordings_total{outcome="deleted_at_carrier"}"#, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_deleted_at_once_is_deleted_later() {
    let house = house("delete_at_carrier = true").await;
    let refused = Refusal { method: Some("DELETE"), status: 500, ..Refusal::default() };
    house.world.carrier_rest.refuse([refused]);
    house.play(caller(RecordingFaults::default())).await;
    let (_, record) = recording(&house, |record| record.carrier_copy == CarrierCopy::Deleted).await;
    assert!(kept(&record));
    let requests = house.world.carrier_rest.requests();
    let deletions = requests.iter().filter(|request| request.method == "DELETE");
    assert_eq!(deletions.map(|request| request.status).collect::<Vec<_>>(), [500, 204]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_carriers_copy_is_not_deleted_while_ours_is_damaged() {
    let house = house("delete_at_carrier = true").await;
    // The first deletion is refused: time to damage our copy.
    let refused =
        Refusal { method: Some("DELETE"), status: 503, retry_after_s: Some(1), ..Refusal::default() };
    house.world.carrier_rest.refuse([refused]);
    house.play(caller(RecordingFaults::default())).await;
    let was_refused = |record: &RecordingRecord| kept(record) && record.problem.is_some();
    let (_, record) = recording(&house, was_refused).await;
    let file = house.data.path().join("recordings").join(record.file.clone().expect("a file"));
    std::fs::write(&file, b"RIFF....WAVE nothing of it is left").expect("damaged");
    let (detail, again) = recording(&house, |record| record.carrier_copy == CarrierCopy::Deleted).await;
    assert!(kept(&again));
    assert_eq!((again.sha256.clone(), again.file), (record.sha256, record.file));
    assert_eq!(again.sha256, Some(sha256(&std::fs::read(&file).expect("whole again"))));
    assert_eq!(events(&detail).iter().filter(|kind| **kind == "recording.damaged").count(), 1);
    is_metric(&house, "switchboard_recording_bytes", again.bytes.expect("a size") as f64).await;
}

// === crashes and full disks ===

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_was_not_fetched_is_fetched_after_a_restart() {
    let first = house("").await;
    let busy = Refusal { status: 503, retry_after_s: Some(600), ..Refusal::default() };
    first.world.carrier_rest.refuse([busy]);
    first.play(caller(RecordingFaults::default())).await;
    let is_waiting = |record: &RecordingRecord| record.problem.is_some();
    let (_, record) = recording(&first, is_waiting).await;
    assert_eq!(record.state, RecordingState::Wanted);
    let carrier = first.world.carrier_rest.clone();
    let data = first.close().await;

    // What a crash in the middle of writing leaves.
    let name = Recordings::name(record.call, &record.id);
    let part = data.path().join("recordings").join(&name).with_extension("part");
    std::fs::create_dir_all(part.parent().expect("a folder")).expect("made");
    std::fs::write(&part, b"RIFF").expect("written");

    let environment = vec![("SWITCHBOARD__TWILIO__BASE_URL", carrier.base_url())];
    let plan = Plan { config: config(""), environment, ..Plan::default() };
    let second = House::at(plan, data).await;
    let (_, record) = recording(&second, kept).await;
    assert_eq!(record.sha256, carrier.sound(record.id.as_str()).map(|sound| sha256(&sound)));
    assert!(!part.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_calls_live_on_and_recordings_wait() {
    let full = house("keep_free = \"1000000GiB\"").await;
    let played = full.play(caller(RecordingFaults::default())).await;
    assert_eq!(played.carrier.problems, [""; 0]);
    assert!(played.provider.is_some_and(|provider| !provider.spoken.is_empty()), "the call lives on");
    let is_full =
        |record: &RecordingRecord| record.problem.as_deref().is_some_and(|why| why.starts_with("full: "));
    let (_, record) = recording(&full, is_full).await;
    assert_eq!(record.state, RecordingState::Wanted);
    eventually("it is tried again", || async { (delays(&full, "full") >= 2.0).then_some(()) }).await;
    let carrier = full.world.carrier_rest.clone();
    let data = full.close().await;

    let environment = vec![("SWITCHBOARD__TWILIO__BASE_URL", carrier.base_url())];
    let house = House::at(Plan { config: config(""), environment, ..Plan::default() }, data).await;
    let (_, record) = recording(&house, kept).await;
    assert_eq!(record.problem, None);
}

// === the end ===

#[tokio::test(flavor = "multi_thread")]
async fn recordings_that_have_had_their_time_are_deleted_with_proof() {
    let house = house("[retention]\nrecordings = \"14d\"\n").await;
    house.play(caller(RecordingFaults::default())).await;
    let (detail, record) = recording(&house, kept).await;
    let control = house.gateway.control();
    let day = Duration::from_secs(86_400);
    let now = SystemClock.now();
    assert_eq!(control.sweep_recordings(now + 13 * day).await.expect("swept"), 0);
    assert_eq!(control.sweep_recordings(now + 15 * day).await.expect("swept"), 1);
    assert_eq!(control.sweep_recordings(now + 15 * day).await.expect("swept"), 0, "once");
    let gone = |record: &RecordingRecord| record.state == RecordingState::Deleted;
    let (later, deleted) = recording(&house, gone).await;
    assert_eq!(deleted.deleted.map(|deleted| deleted.by), Some(DeletedBy::Retention));
    let file = house.data.path().join("recordings").join(record.file.clone().expect("a file"));
    assert!(!file.exists());
    let proof = later.events.iter().find(|event| event.kind == "recording.deleted").expect("the proof");
    let proof = proof.data.as_ref().expect("its words").get();
    let expected = format!("sha256 {} by retention", record.sha256.clone().unwrap_or_default());
    assert!(proof.contains(&expected), "{proof}");
    assert_eq!(later.lines, detail.lines, "the transcript stays");
    assert_eq!(house.metric("switchboard_recording_bytes"), 0.0);
    assert!(house.world.carrier_rest.sound(record.id.as_str()).is_some(), "the carrier's copy stays");
    let path = format!("/calls/{}/recording", detail.call.id);
    assert_eq!(operator(&house, Method::GET, &path, &[]).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_go_when_all_together_are_too_large() {
    let house = house("[retention]\nrecordings_max = \"1MiB\"\n").await;
    let control = house.gateway.control();
    let long = TALK.replace("for_ms = 2000", "for_ms = 25000");
    for _ in 0..3 {
        house.play(CallerSetup::new(CALLER, CALLEE, script(&long))).await;
    }
    let all_kept = || async {
        let kept = control.store().recordings_kept(None, 10).await.expect("a list");
        (kept.len() == 3).then_some(kept)
    };
    let before = eventually("three are kept", all_kept).await;
    let size: u64 = before.iter().map(|listed| listed.bytes).sum();
    is_metric(&house, "switchboard_recording_bytes", size as f64).await;
    // Each is more than half of what all may have: the last one stays.
    assert!(before.iter().all(|listed| listed.bytes > 1 << 19), "{before:?}");
    assert_eq!(control.sweep_recordings(SystemClock.now()).await.expect("swept"), 2);
    let after = control.store().recordings_kept(None, 10).await.expect("a list");
    assert_eq!(after, before[2..], "the oldest went");
    let oldest =
        control.store().recording(before[0].call, &before[0].id).expect("readable").expect("a record");
    assert_eq!(oldest.deleted.map(|deleted| deleted.by), Some(DeletedBy::Size));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_deletes_is_gone_here_and_at_the_carrier() {
    let house = house("").await;
    house.play(caller(RecordingFaults::default())).await;
    let (detail, record) = recording(&house, kept).await;
    let path = format!("/calls/{}/recording", detail.call.id);
    assert_eq!(operator(&house, Method::DELETE, &path, &[]).await.0, StatusCode::OK);
    let file = house.data.path().join("recordings").join(record.file.expect("a file"));
    assert!(!file.exists(), "at once");
    assert_eq!(operator(&house, Method::DELETE, &path, &[]).await.0, StatusCode::NOT_FOUND);
    let is_gone = |record: &RecordingRecord| record.carrier_copy == CarrierCopy::Deleted;
    let (_, gone) = recording(&house, is_gone).await;
    assert_eq!(gone.deleted.map(|deleted| deleted.by), Some(DeletedBy::Operator));
    assert_eq!(house.world.carrier_rest.sound(gone.id.as_str()), None);

    // A late report does not bring it back.
    let call_sid = detail.call.carrier.expect("the carrier's side").call_sid;
    let again = [("RecordingSid", gone.id.as_str()), ("RecordingStatus", "completed")];
    let answer = house
        .tell(
            &format!("{TWILIO_RECORDING}?call={}", detail.call.id),
            report(&house, call_sid.as_str(), &again),
        )
        .await;
    assert_eq!(answer.status, 204);
    let (_, still) = recording(&house, |_| true).await;
    assert_eq!(still.state, RecordingState::Deleted);
}

/// A process that died may have had it whole, and its record does not say so.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_before_it_is_kept_leaves_nothing() {
    let house = house("").await;
    let busy = Refusal { status: 503, retry_after_s: Some(600), ..Refusal::default() };
    house.world.carrier_rest.refuse([busy]);
    house.play(caller(RecordingFaults::default())).await;
    let (detail, record) = recording(&house, |record| record.problem.is_some()).await;
    assert_eq!((record.state, record.file), (RecordingState::Wanted, None));
    let file = house.data.path().join("recordings").join(Recordings::name(record.call, &record.id));
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(&file, b"RIFF....WAVE all of it").expect("written");
    let path = format!("/calls/{}/recording", detail.call.id);
    assert_eq!(operator(&house, Method::DELETE, &path, &[]).await.0, StatusCode::OK);
    assert!(!file.exists(), "at once");
}

// === the REST client by itself ===

fn rest_client(house: &House, base_url: &str, token: &str) -> rest::Client {
    let fields = house.world.twilio.voice_fields("x", CALLER, CALLEE, "ringing");
    let account = fields.iter().find(|(name, _)| name == "AccountSid").expect("an account");
    let settings = switchboard::twilio::Settings {
        account_sid: account.1.clone(),
        auth_tokens: vec![Secret::new(token)],
        shared_keys: Vec::new(),
        require_shared_key: false,
        base_url: base_url.to_owned(),
        api_key: None,
        dial: switchboard::twilio::Dial {
            timeout_s: 20,
            time_limit_s: 3_600,
            ring_tone: None,
            edge: None,
            secure_media: true,
            is_plain_taken: false,
        },
        apology: switchboard::twilio::Say { text: "x".into(), language: "en-US".into(), voice: None },
    };
    rest::Client::new(&settings, rest::Deadlines::default()).expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_call_is_redirected_and_one_that_is_not_is_not() {
    let house = Arc::new(House::without_plugins(Default::default()).await);
    let base_url = house.world.carrier_rest.base_url();
    let client = rest_client(&house, &base_url, switchboard::sim::world::AUTH_TOKEN);
    let unknown = client.redirect_call(&"CA0123456789abcdef0123456789abcdef".into(), "<Response/>").await;
    assert_eq!(unknown, Err(RestError::NotFound));
    let stranger = rest_client(&house, &base_url, "wrong");
    assert!(matches!(stranger.hang_up(&"CA1".into()).await, Err(RestError::Denied(_))));

    let long = r#"steps = [{ model = { says = "はい。" } }, { caller = { says = "ええと", for_ms = 600000 } }, { hang_up = "caller" }]"#;
    let playing = {
        let house = Arc::clone(&house);
        tokio::spawn(async move { house.call(long).await })
    };
    let call_sid = eventually("the call is answered", || async {
        let call = house.calls().await.into_iter().next()?;
        call.stages.leg_answered?;
        Some(call.carrier?.call_sid)
    })
    .await;
    let refused = client.redirect_call(&call_sid, "<Response><Foo/></Response>").await;
    assert!(
        matches!(refused, Err(RestError::Refused { status: 400, code: Some(12_100), .. })),
        "{refused:?}"
    );
    let words = "<Response><Say language=\"ja-JP\">おつなぎします &amp; 少々</Say></Response>";
    client.redirect_call(&call_sid, words).await.expect("redirected");
    let played = playing.await.expect("played");
    assert!(
        played.carrier.heard.contains(&Heard::Said("おつなぎします & 少々".to_owned())),
        "{:?}",
        played.carrier.heard
    );
}
