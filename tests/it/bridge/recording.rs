//! What was heard in a bridged call, written down.

use super::{plain, sound};

/// How far the two sides may be apart, in samples: 100 ms, for machines that are busy with other tests.
const APART_MAX: usize = 800;

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_is_on_the_left_and_the_model_on_the_right_as_played() {
    let house = plain(5.0, |config| format!("features.recordings = true\n{config}")).await;
    let played = house
        .call(
            r#"steps = [
                { model = { says = "はい、山田商店でございます。", for_ms = 4000 } },
                { caller = { says = "便箋はありますか。", for_ms = 4000 } },
                { model = { says = "ございます。", for_ms = 3000 } },
                { hang_up = "caller" },
            ]"#,
        )
        .await;
    let kept = house.ended().await;
    sound(&house, &played);
    let id = kept.call.id;
    let recording = crate::harness::eventually("the recording is kept", || async {
        house.calls().await.into_iter().find(|call| call.id == id)?.recording
    })
    .await;
    assert_eq!((recording.file.as_str(), recording.lost_ms), (&*format!("recordings/{id}.wav"), 0));
    let bytes = std::fs::read(house.data.path().join(&recording.file)).expect("the recording");
    assert_eq!((&bytes[..4], bytes.len() as u64), (&b"RIFF"[..], 58 + recording.duration_ms * 16));
    let (left, right): (Vec<u8>, Vec<u8>) = bytes[58..].chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    let stream = &played.carrier.streams[0];
    let from = stream.said.windows(left.len()).position(|said| said == left);
    let from = from.expect("the left side is what the caller said, sample by sample");
    let loud = |audio: &[u8]| audio.iter().position(|byte| byte & 0x7F < 0x7E);
    let heard = loud(&stream.heard[from..]).expect("the caller heard something");
    let written = loud(&right).expect("the right side has sound");
    assert!(heard.abs_diff(written) <= APART_MAX, "heard at {heard}, written at {written}");
    let sound_of = |audio: &[u8]| audio.iter().copied().filter(|byte| byte & 0x7F < 0x7E).collect::<Vec<_>>();
    assert_eq!(sound_of(&right), sound_of(&stream.heard), "the right side is what the caller heard");
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
