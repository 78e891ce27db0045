//! How often memory is asked for on the paths that are gone often: per frame of audio, per event, per webhook. Counts are
//! the same on every machine, so they can be held where times cannot; who lowers one writes the new number down.

use std::time::Duration;

use allocation_counter::measure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use switchboard::media::playback::{Due, Playback, Taken};
use switchboard::openai::dialect;
use switchboard::secret::Secret;
use switchboard::wire::media::{Body, FromCarrier, StreamSid, media_message};
use switchboard::wire::realtime::server::AudioDelta;
use switchboard::wire::webhook::{self, Headers};
use tokio::time::Instant;

use crate::call::story::{Story, at, begins, caller_says, done, hears, hears_end, played, plays, says};

/// How often memory is asked for while something is done, at most.
fn at_most(most: u64, what: &str, done: impl FnOnce()) {
    let seen = measure(done);
    assert!(seen.count_total <= most, "{what}: {} allocations, {most} at most", seen.count_total);
}

fn frame() -> String {
    STANDARD.encode([0x55; 160])
}

#[test]
fn a_frame_of_the_callers_is_read_without_any() {
    let payload = frame();
    let text = format!(
        r#"{{"event":"media","sequenceNumber":"4","streamSid":"MZ0123456789abcdef0123456789abcdef","media":{{"track":"inbound","chunk":"3","timestamp":"60","payload":"{payload}"}}}}"#
    );
    at_most(0, "a media message", || {
        let read = FromCarrier::read(&text).expect("a message");
        assert!(matches!(read.body, Body::Media(media) if media.bytes == 160 && media.chunk == Some(3)));
    });
}

#[test]
fn a_frame_of_the_models_costs_its_names_and_one_copy_of_its_sound() {
    let payload = frame();
    let text = format!(
        r#"{{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"{payload}"}}"#
    );
    let stream = StreamSid::parse("MZ0123456789abcdef0123456789abcdef").expect("an id");
    let (mut playback, now) = (Playback::default(), Instant::now());
    let mut pass = |now| {
        let delta = AudioDelta::read(&text).expect("a delta");
        let taken = playback.push(delta.response_id, delta.item_id, delta.content_index, &delta.delta);
        assert_eq!(taken, Taken::Queued);
        while let Some(due) = playback.due(now) {
            match due {
                Due::Audio { audio, .. } => assert!(media_message(&stream, &audio).len() > 216),
                Due::Mark(mark) => assert!(playback.marked(&mark, now)),
            }
        }
    };
    // The first of a turn makes room for the rest.
    (0..64).for_each(|_| pass(now));
    at_most(FRAME_OF_MODEL, "a delta on its way to the caller", || pass(now));
}

#[test]
fn an_event_that_nobody_needs_costs_next_to_nothing_and_words_cost_themselves() {
    let text = r#"{"type":"rate_limits.updated","event_id":"event_1","rate_limits":[{"name":"tokens","limit":1000,"remaining":900,"reset_seconds":1.5}]}"#;
    at_most(IGNORED_EVENT, "an event that is ignored", || drop(dialect::read(text)));
    let text = r#"{"type":"response.output_audio_transcript.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"もしもし"}"#;
    at_most(WORDS_EVENT, "some words", || drop(dialect::read(text)));
}

#[test]
fn a_webhook_is_verified_with_a_few() {
    let secret = Secret::new("whsec_c2ltdWxhdGVkLXdlYmhvb2stc2VjcmV0LTMyYnl0ZXM=");
    let body = br#"{"object":"event","id":"evt_1","type":"realtime.call.incoming","created_at":1795000000,"data":{"call_id":"rtc_1","sip_headers":[]}}"#;
    let now = at(0);
    let timestamp = now.as_secs().to_string();
    let signature = webhook::sign(&secret, "wh_1", &timestamp, body).expect("a signature");
    let headers = Headers { id: Some("wh_1"), timestamp: Some(&timestamp), signature: Some(&signature) };
    let secrets = [secret];
    at_most(WEBHOOK, "a webhook", || {
        webhook::verify(headers, body, &secrets, Duration::from_secs(300), now)
            .map(drop)
            .expect("it is genuine");
    });
}

#[test]
fn a_turn_of_a_call_costs_the_same_however_long_the_call_has_been() {
    let mut story = Story::live(|_| {});
    let mut turn = |n: u64| {
        let (caller, model, from) = (format!("i{n}"), format!("t{n}"), 2_000 + n * 1_000);
        story.tell([
            (from, hears(&caller, from)),
            (from + 200, hears_end(&caller, from + 200)),
            (from + 250, begins(&model)),
            (from + 300, caller_says(&caller, "もしもし")),
            (from + 350, plays(&model)),
            (from + 400, says(&model, "はい。")),
            (from + 500, done(&model)),
            (from + 700, played(&model)),
        ]);
        story.skip();
    };
    // Twenty of each, for what grows by doubling grows at one turn and not at the next.
    (0..20).for_each(&mut turn);
    let early = measure(|| (20..40).for_each(&mut turn)).count_total;
    (40..180).for_each(&mut turn);
    let late = measure(|| (180..200).for_each(&mut turn)).count_total;
    assert!(late <= early + early / 5, "{early} allocations for twenty turns early, {late} late");
}

/// The turn's and the item's name read and kept with the piece, the piece, its message, its mark's name.
const FRAME_OF_MODEL: u64 = 12;
const IGNORED_EVENT: u64 = 0;
const WORDS_EVENT: u64 = 3;
const WEBHOOK: u64 = 4;
