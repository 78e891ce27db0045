//! What was heard in a bridged call, written down and kept where all recordings are.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use switchboard::call::consent::Announcer;
use switchboard::call::record::CallDetail;
use switchboard::call::recording::{CarrierCopy, DeletedBy, RecordingRecord, RecordingState, Source};
use switchboard::clock::{Clock as _, SystemClock};
use switchboard::sim::sound::{BLOCK, read_speech};
use switchboard::sim::twilio::{CallerSetup, Heard, StreamReport};
use switchboard::store::{Recordings, Tx, Write};

use super::{house, plain, sound};
use crate::harness::{CALLEE, CALLER, House, Plan, SHORT, eventually, script};
use crate::recordings::{ANNOUNCEMENT, config, events, is_metric, operator, recording, sha256};

/// Length of the head of a file, in bytes.
const HEAD: usize = 58;

/// A house whose bridged calls are recorded and announced; `more` stands before its sessions.
async fn recorded(more: &str, speed: f64) -> House {
    house(Plan { config: config(more), speed, ..Plan::default() }).await
}

async fn kept(house: &House) -> (CallDetail, RecordingRecord) {
    recording(house, crate::recordings::kept).await
}

fn on_disk(house: &House, name: &str) -> Vec<u8> {
    std::fs::read(house.data.path().join("recordings").join(name)).expect("the recording's file")
}

/// Where each block of the model's speech begins.
fn blocks(audio: &[u8]) -> BTreeMap<(u32, u32), usize> {
    let places = (0..audio.len().saturating_sub(BLOCK - 1)).filter_map(|at| {
        let tag = read_speech(&audio[at..at + BLOCK])?;
        Some(((tag.voice, tag.block), at))
    });
    places.collect()
}

/// Both sides of the one recording that is kept.
async fn sides(house: &House) -> (Vec<u8>, Vec<u8>) {
    let (_, record) = kept(house).await;
    assert_eq!((record.channels, record.carrier_copy, record.lost_s), (Some(2), CarrierCopy::None, None));
    let bytes = on_disk(house, record.file.as_deref().expect("a file"));
    let samples = (record.duration_s.expect("a length") * 8_000.0).round() as usize;
    assert_eq!((&bytes[..4], bytes.len()), (&b"RIFF"[..], HEAD + samples * 2));
    assert_eq!(record.bytes, Some(bytes.len() as u64));
    bytes[HEAD..].chunks(2).map(|pair| (pair[0], pair[1])).unzip()
}

/// The one recording that is kept: its left side is what the caller said, sample by sample; its right side is
/// what the caller heard of the model at that time, to 20 ms. Gives how many blocks of the model's speech
/// stand in it.
pub async fn assert_aligned(house: &House, stream: &StreamReport) -> usize {
    let (left, right) = sides(house).await;
    let from = stream.said.windows(left.len()).position(|said| said == left);
    let from = from.expect("the left side is what the caller said");
    let (heard, written) = (blocks(&stream.heard[from..]), blocks(&right));
    for (block, at) in &heard {
        let Some(written) = written.get(block) else { continue };
        assert!(at.abs_diff(*written) <= BLOCK, "{block:?} was heard at {at} and stands at {written}");
    }
    // What the carrier played in two parts may stand there in one, and what was cut off in its middle.
    assert!(heard.len().abs_diff(written.len()) * 20 <= heard.len(), "{} {}", heard.len(), written.len());
    written.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_is_on_the_left_and_the_model_on_the_right_as_played() {
    let house = plain(5.0, |config| format!("features.recordings = true\n{config}")).await;
    let played = house
        .call(
            r#"steps = [
                { model = { says = "はい、山田商店でございます。", for_ms = 4000 } },
                { caller = { says = "便箋はありますか。", for_ms = 4000 } },
                { model = { says = "ございます。とても長いご案内をいたします。", for_ms = 15000 } },
                { caller = { says = "もう結構です。", for_ms = 2000, interrupts_after_ms = 4000 } },
                { model = { says = "失礼いたしました。", for_ms = 3000 } },
                { hang_up = "caller" },
            ]"#,
        )
        .await;
    let ended = house.ended().await;
    sound(&house, &played);
    let (detail, record) = kept(&house).await;
    assert_eq!(
        (detail.call.id, record.source, record.id.as_str()),
        (ended.call.id, Source::Bridge, "bridge")
    );
    assert_eq!(record.file, Some(Recordings::name(ended.call.id, &record.id)));
    let stream = &played.carrier.streams[0];
    assert_eq!(stream.clears, 1, "the second turn was cut off");
    // 0.8, 0.8 and 0.6 s: the turns are not empty.
    assert!(assert_aligned(&house, stream).await > 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_muted_caller_of_whom_nothing_is_sent_does_not_stop_the_recording() {
    let house = plain(5.0, |config| format!("features.recordings = true\n{config}")).await;
    let steps = r#"steps = [
        { model = { says = "はい、山田商店でございます。", for_ms = 4000 } },
        { caller = { says = "便箋はありますか。", for_ms = 2000 } },
        { model = { says = "ございます。とても長いご案内をいたします。", for_ms = 25000 } },
        { caller = { says = "ください。", for_ms = 2000 } },
        { model = { says = "ありがとうございます。", for_ms = 10000 } },
        { hang_up = "caller" },
    ]"#;
    let (from_ms, until_ms) = (2_000, 6_000);
    let mut caller = CallerSetup::new(CALLER, CALLEE, script(steps));
    caller.faults.stream_muted_ms = Some([from_ms, until_ms]);
    let played = house.play(caller).await;
    house.ended().await;
    sound(&house, &played);
    let stream = &played.carrier.streams[0];
    let (left, right) = sides(&house).await;
    let begins = stream.said.windows(left.len()).position(|said| said == left);
    let begins = begins.expect("the left side is what the caller said, and as much silence as there was");
    let (heard, written) = (blocks(&stream.heard[begins..]), blocks(&right));
    let unmuted = until_ms as usize * 8 - begins;
    let (mut meanwhile, mut after) = (0, 0);
    for (block, at) in &heard {
        let Some(written) = written.get(block) else { continue };
        let off = at.abs_diff(*written);
        // A second later every piece of the model was sent since then: the caller's audio is the clock again.
        match *at > unmuted + 8_000 {
            true => after += usize::from(off <= BLOCK),
            false => meanwhile += usize::from(off <= 8_000),
        }
    }
    let late = heard.values().filter(|at| **at > unmuted + 8_000).count();
    assert!(late > 50 && after * 20 >= late * 19, "{after} of {late} stand where they were heard");
    let early = heard.len() - late;
    assert!(
        early > 100 && meanwhile * 20 >= early * 19,
        "{meanwhile} of {early} stand near where they were heard"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recorded_that_nobody_asked_for() {
    let off = plain(50.0, |config| config).await;
    let not_here = plain(50.0, |config| {
        let config = config.replace("session = \"shop\"", "session = \"shop\"\nrecording = false");
        format!("features.recordings = true\n{config}")
    })
    .await;
    for house in [off, not_here] {
        let played = house.call(SHORT).await;
        let ended = house.ended().await;
        sound(&house, &played);
        assert_eq!(ended.call.consent, None);
        assert_eq!(house.gateway.control().store().recordings(10).await.expect("a list"), []);
        assert!(!house.data.path().join("recordings").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_announced_listed_streamed_and_deleted_like_any_other() {
    let house = recorded("[retention]\nrecordings = \"14d\"\n", 50.0).await;
    let played = house.call(SHORT).await;
    sound(&house, &played);
    assert_eq!(played.carrier.heard.first(), Some(&Heard::Said(ANNOUNCEMENT.to_owned())));
    assert_eq!(played.carrier.recordings, [""; 0], "the carrier records nothing");
    let (detail, record) = kept(&house).await;
    let consent = detail.call.consent.clone().expect("what the caller was told");
    assert_eq!((consent.announcement.as_deref(), consent.by), (Some(ANNOUNCEMENT), Announcer::Carrier));
    assert_eq!(events(&detail), ["recording.running", "recording.kept"]);
    let first = record.first_moment(&detail.call).expect("an offset");
    assert_eq!(Some(first), record.started, "our own clock told it");

    let sound = on_disk(&house, record.file.as_deref().expect("a file"));
    assert_eq!(record.sha256, Some(sha256(&sound)));
    is_metric(&house, "switchboard_recording_bytes", sound.len() as f64).await;
    is_metric(&house, r#"switchboard_recordings_total{outcome="kept"}"#, 1.0).await;
    let path = format!("/calls/{}/recording", detail.call.id);
    let (status, _, body) = operator(&house, Method::GET, &path, &[]).await;
    assert_eq!((status, body == sound), (StatusCode::OK, true));
    let (status, headers, body) = operator(&house, Method::GET, &path, &[("range", "bytes=58-217")]).await;
    assert_eq!((status, body == sound[58..218]), (StatusCode::PARTIAL_CONTENT, true));
    assert_eq!(headers["content-range"], format!("bytes 58-217/{}", sound.len()).as_str());
    let listed = operator(&house, Method::GET, "/recordings", &[]).await.2;
    let listed: switchboard::http::Recordings = serde_json::from_slice(&listed).expect("a list");
    assert_eq!(listed.recordings, std::slice::from_ref(&record));

    let later = SystemClock.now() + Duration::from_secs(15 * 86_400);
    assert_eq!(house.gateway.control().sweep_recordings(later).await.expect("swept"), 1);
    let (_, gone) = recording(&house, |record| record.state == RecordingState::Deleted).await;
    assert_eq!(gone.deleted.map(|deleted| deleted.by), Some(DeletedBy::Retention));
    assert!(!house.data.path().join("recordings").join(record.file.expect("a file")).exists());
    assert!(!gone.has_work(), "there is no copy at the carrier");
    assert_eq!(house.world.carrier_rest.requests(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_may_be_the_one_to_announce() {
    let config = config("").replace("language = \"ja-JP\",", "language = \"ja-JP\", by = \"assistant\",");
    let house = house(Plan { config, ..Plan::default() }).await;
    let played = house.call(SHORT).await;
    sound(&house, &played);
    assert!(!played.carrier.heard.iter().any(|heard| matches!(heard, Heard::Said(_))));
    let (detail, _) = kept(&house).await;
    assert_eq!(detail.call.consent.map(|consent| consent.by), Some(Announcer::Assistant));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_call_lives_on_and_the_operator_is_told() {
    let house = recorded("keep_free = \"1000000GiB\"", 50.0).await;
    let played = house.call(SHORT).await;
    sound(&house, &played);
    let (detail, record) = recording(&house, |record| record.state == RecordingState::Failed).await;
    let problem = record.problem.expect("why");
    assert!(problem.contains("the disk is full"), "{problem}");
    assert_eq!(events(&detail), ["recording.running", "recording.delayed", "recording.failed"]);
    assert_eq!(house.metric(r#"switchboard_recording_delays_total{reason="full"}"#), 1.0);
    is_metric(&house, r#"switchboard_recordings_total{outcome="failed"}"#, 1.0).await;
    assert!(house.metric("switchboard_recording_lost_seconds_total") > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_it_is_made_is_not_kept() {
    let house = std::sync::Arc::new(recorded("", 50.0).await);
    let playing = {
        let house = std::sync::Arc::clone(&house);
        let steps =
            r#"steps = [{ model = { says = "はい。" } }, { caller = { says = "ええと", for_ms = 600000 } }]"#;
        tokio::spawn(async move { house.play(CallerSetup::new(CALLER, CALLEE, script(steps))).await })
    };
    let (detail, record) = recording(&house, |record| record.state == RecordingState::Running).await;
    let folder = house.data.path().join("recordings");
    eventually("its file is there", || async { folder.exists().then_some(()) }).await;
    let control = house.gateway.control();
    let gone = control.delete_recordings(detail.call.id, None, DeletedBy::Operator).await.expect("deleted");
    assert_eq!(gone.iter().map(|gone| &gone.id).collect::<Vec<_>>(), [&record.id]);
    control.command(detail.call.id, switchboard::call::event::Command::HangUp).await.expect("told");
    playing.await.expect("played");
    house.ended().await;
    let (after, record) = recording(&house, |_| true).await;
    assert_eq!((record.state, record.file), (RecordingState::Deleted, None));
    assert!(!events(&after).contains(&"recording.kept"));
    eventually("nothing is left of it", || async {
        let left = std::fs::read_dir(&folder).map_or(0, Iterator::count);
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_of_it_is_kept_as_far_as_it_goes() {
    let first = plain(50.0, |config| config).await;
    first.call(SHORT).await;
    let call = first.ended().await.call.id;
    // What the store and the disk have in the middle of a call.
    let started = SystemClock.now();
    let id = RecordingRecord::id_made_here(1);
    let record = RecordingRecord::made_here(call, id.clone(), started, started);
    let lost = RecordingRecord::made_here(call, RecordingRecord::id_made_here(2), started, started);
    let writes = [&record, &lost].map(|record| Write::Recording(Box::new(record.clone()))).to_vec();
    first.gateway.control().store().commit(Tx { expect: Vec::new(), writes }).await.expect("kept");
    let files = first.gateway.control().recording_files().clone();
    let mut growing = files.grow(&Recordings::name(call, &id)).expect("a file");
    growing.append(&switchboard::wire::wave::head(0)).expect("a head");
    growing.append(&[7; 16_000 + 3]).expect("sound, and half a sample");
    drop(growing);
    let data = first.close().await;

    let second = House::at(Plan { config: config(""), ..Plan::default() }, data).await;
    let store = second.gateway.control().store();
    let settled = |records: &Vec<RecordingRecord>| records.iter().all(|record| !record.has_work());
    let records = eventually("they are taken up", || async {
        Some(store.recordings_of(call).await.expect("readable")).filter(settled)
    })
    .await;
    let states: Vec<_> = records.iter().map(|record| record.state).collect();
    assert_eq!(states, [RecordingState::Kept, RecordingState::Failed]);
    assert_eq!((records[0].started, records[0].duration_s), (Some(started), Some(1.000_125)));
    let bytes = on_disk(&second, records[0].file.as_deref().expect("a file"));
    assert_eq!(bytes, [switchboard::wire::wave::head(8_001), vec![7; 16_002]].concat());
    assert_eq!(records[0].sha256, Some(sha256(&bytes)));
}
