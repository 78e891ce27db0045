//! What is dropped when a model says more than can wait: the rule of the playback buffer, in which ten minutes
//! have room.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use switchboard::ids::TurnId;
use switchboard::media::playback::{Due, Playback, Taken, Told};
use tokio::time::Instant;

fn push(playback: &mut Playback, turn: &str, millis: usize) -> Taken {
    let audio = STANDARD.encode(vec![0x55; millis * 8]);
    playback.push(turn.into(), format!("item_{turn}").as_str().into(), 0, &audio)
}

/// Plays everything that waits, as fast as the marks come back; gives how much was played, in bytes.
fn play(playback: &mut Playback, now: Instant) -> usize {
    let mut bytes = 0;
    while let Some(due) = playback.due(now) {
        match due {
            Due::Audio { audio, .. } => bytes += STANDARD.decode(&audio).expect("base64").len(),
            Due::Mark(mark) => assert!(playback.marked(&mark, now)),
        }
    }
    bytes
}

#[test]
fn what_comes_when_ten_minutes_wait_is_dropped_and_nothing_else() {
    let (mut playback, now) = (Playback::default(), Instant::now());
    assert_eq!(push(&mut playback, "a", 599_900), Taken::Queued);
    playback.complete(&"a".into());
    // What does not fit is dropped whole; a shorter piece behind it may fit.
    assert_eq!(push(&mut playback, "b", 200), Taken::Full);
    assert_eq!(push(&mut playback, "b", 100), Taken::Queued);
    assert_eq!(push(&mut playback, "b", 1), Taken::Full);
    // As what waits is played, there is room again.
    let first = playback.due(now).expect("it waits");
    let Some(Due::Mark(mark)) = playback.due(now) else { panic!("a mark is behind {first:?}") };
    assert_eq!(push(&mut playback, "b", 100), Taken::Queued);
    assert_eq!(push(&mut playback, "b", 100), Taken::Full);
    playback.complete(&"b".into());
    assert!(playback.marked(&mark, now));
    // 112.5 ms were played of it.
    assert_eq!(play(&mut playback, now), (599_900 + 100 + 100) * 8 - 900);
    let told: Vec<Told> = std::iter::from_fn(|| playback.told()).collect();
    let (a, b) = (TurnId::from("a"), TurnId::from("b"));
    let order = [Told::Started(a.clone()), Told::Drained(a), Told::Started(b.clone()), Told::Drained(b)];
    assert_eq!(told, order, "a turn of which something was dropped is heard to its end all the same");
}

#[test]
fn what_was_dropped_never_counts_as_heard() {
    let (mut playback, now) = (Playback::default(), Instant::now());
    push(&mut playback, "a", 599_900);
    assert_eq!(push(&mut playback, "b", 60_000), Taken::Full);
    push(&mut playback, "b", 100);
    assert!(playback.due(now).is_some());
    let cut = playback.interrupt(None, now + Duration::from_millis(50)).expect("it is audible");
    let heard: Vec<_> = cut.iter().map(|cut| (cut.item.as_str(), cut.heard_ms)).collect();
    assert_eq!(heard, [("item_a", 50), ("item_b", 0)]);
    // What waited is gone, so there is room for what is said next.
    assert_eq!(push(&mut playback, "c", 600_000), Taken::Queued);
}
