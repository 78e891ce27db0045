//! What was heard in a bridged call, written down.

use std::collections::BTreeMap;

use switchboard::call::record::{CallRecord, Recording};
use switchboard::ids::CallId;
use switchboard::sim::sound::{self, BLOCK};
use switchboard::sim::twilio::StreamReport;

use super::{plain, sound};
use crate::harness::{House, eventually};

/// Length of the head of a file, in bytes.
const HEAD: usize = 58;

/// The recording of a call, once it is there.
pub async fn recording(house: &House, id: CallId) -> Recording {
    let found = |call: CallRecord| if call.id == id { call.recording } else { None };
    eventually("the recording is kept", || async { house.calls().await.into_iter().find_map(found) }).await
}

/// Where each block of the model's speech begins.
fn blocks(audio: &[u8]) -> BTreeMap<(u32, u32), usize> {
    let places = (0..audio.len().saturating_sub(BLOCK - 1)).filter_map(|at| {
        let tag = sound::read_speech(&audio[at..at + BLOCK])?;
        Some(((tag.voice, tag.block), at))
    });
    places.collect()
}

/// The left side is what the caller said, sample by sample; the right side is what the caller heard of the
/// model at that time, to 20 ms. Gives how many blocks of the model's speech stand in it.
pub fn assert_aligned(house: &House, recording: &Recording, stream: &StreamReport) -> usize {
    assert_eq!(recording.lost_ms, 0);
    let bytes = std::fs::read(house.data.path().join(&recording.file)).expect("the recording");
    assert_eq!((&bytes[..4], bytes.len() as u64), (&b"RIFF"[..], HEAD as u64 + recording.duration_ms * 16));
    let (left, right): (Vec<u8>, Vec<u8>) = bytes[HEAD..].chunks(2).map(|pair| (pair[0], pair[1])).unzip();
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
    let kept = house.ended().await;
    sound(&house, &played);
    let recording = recording(&house, kept.call.id).await;
    assert_eq!(recording.file, format!("recordings/{}.wav", kept.call.id));
    let stream = &played.carrier.streams[0];
    assert_eq!(stream.clears, 1, "the second turn was cut off");
    // 0.8, 0.8 and 0.6 s: the turns are not empty.
    assert!(assert_aligned(&house, &recording, stream) > 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recorded_that_nobody_asked_for() {
    let house = plain(50.0, |config| config).await;
    let played = house.call(crate::harness::SHORT).await;
    let kept = house.ended().await;
    sound(&house, &played);
    assert_eq!(kept.call.recording, None);
    assert!(!house.data.path().join("recordings").exists());
}
