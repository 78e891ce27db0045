//! Compaction and erasure: the journal gets shorter and nothing else changes; what was erased is in no file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use switchboard::call::record::{CallRecord, State};
use switchboard::clock::{Clock as _, Timestamp};
use switchboard::ids::{CallSid, ProviderCallId, WebhookId};
use switchboard::store::{
    Alias, By, ErasedBy, OpenError, Store, StoreError, Thoroughness, Write, examine, search,
};

use crate::store::{NOON_MS, Place, call, entries, id, line, listed, put, tool_call, tx};

/// Numbers that look like chance and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn files(place: &Place) -> Vec<PathBuf> {
    entries(&place.path().join("journal"))
}

fn base(place: &Place) -> PathBuf {
    let bases: Vec<PathBuf> =
        files(place).into_iter().filter(|path| path.extension().is_some_and(|e| e == "base")).collect();
    assert_eq!(bases.len(), 1, "{bases:?}");
    bases[0].clone()
}

fn journal_text(place: &Place) -> String {
    files(place).iter().map(|path| fs::read_to_string(path).expect("text")).collect()
}

/// Compares all values of the plugin `p` with what they should be.
async fn assert_holds(store: &Store, model: &BTreeMap<String, String>, when: &str) {
    let kv = store.kv("p");
    let mut found = BTreeMap::new();
    for key in kv.list("", None, 1_000).await.expect("a list").keys {
        let entry = kv.get(&key).await.expect("a read").expect("a listed value");
        found.insert(key, String::from_utf8(entry.value).expect("text"));
    }
    assert_eq!(found, *model, "{when}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_between_compactions_is_there_after_any_start() {
    for seed in 0..6 {
        let (mut place, mut dice) = (Place::new(), Dice(seed));
        // Sorted in memory, or each segment by way of a file.
        place.merge_bytes = if seed % 2 == 0 { None } else { Some(0) };
        let mut model = BTreeMap::new();
        let (mut store, _) = place.open();
        for step in 0..250 {
            let when = format!("seed {seed}, step {step}");
            match dice.roll(24) {
                0 => {
                    let done = store.compact().await.expect("a compaction");
                    assert!(done.keys >= model.len() as u64, "{when}: {done:?}");
                    assert_holds(&store, &model, &when).await;
                }
                1 => {
                    // Gone without a close; and perhaps without its index, too.
                    drop(store);
                    if dice.roll(2) == 0 {
                        fs::remove_dir_all(place.path().join("index")).expect("removed");
                    }
                    store = place.open().0;
                    assert_holds(&store, &model, &when).await;
                }
                2 => {
                    store.close().await.expect("an orderly close");
                    store = place.open().0;
                    assert_holds(&store, &model, &when).await;
                }
                3..=7 => {
                    let key = format!("k{}", dice.roll(30));
                    let was = store.kv("p").delete(&key).await.expect("a delete");
                    assert_eq!(was, model.remove(&key).is_some(), "{when}");
                }
                _ => {
                    let key = format!("k{}", dice.roll(30));
                    let value = format!("{step}-").repeat(1 + dice.roll(1_500) as usize);
                    store.kv("p").put(&key, value.as_bytes(), None, None).await.expect("a put");
                    model.insert(key, value);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_go_on_while_the_journal_is_compacted() {
    let place = Place::new();
    let (store, _) = place.open();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            let mut model = BTreeMap::new();
            for number in 0..400 {
                let (key, value) = (format!("k{}", number % 37), format!("value {number}"));
                store.kv("p").put(&key, value.as_bytes(), None, None).await.expect("a put");
                model.insert(key, value);
            }
            model
        }
    });
    let mut last = 0;
    while !writer.is_finished() {
        let done = store.compact().await.expect("a compaction");
        assert!(done.seq >= last);
        last = done.seq;
    }
    let model = writer.await.expect("the writer");
    assert_holds(&store, &model, "at the end").await;
    drop(store);
    fs::remove_dir_all(place.path().join("index")).expect("removed");
    let (store, opened) = place.open();
    assert_eq!(opened.base_seq, Some(last), "{opened:?}");
    assert_holds(&store, &model, "made anew").await;
}

/// A call with everything a call may have, and another one of somebody else.
async fn two_callers(store: &Store) {
    let caller = |number: u8, caller: &str| CallRecord {
        caller: Some(caller.to_owned()),
        ..call(number, State::Ended)
    };
    let mine = vec![
        put(&caller(1, "+81901111222")),
        Write::Line(id(1), line(0, NOON_MS, "my name is Lovelace")),
        Write::ToolCall(id(1), tool_call(0, "Lovelace, ada@example.com")),
        Write::Alias(Alias::Carrier(CallSid::from("CAmine")), id(1)),
        Write::Alias(Alias::ProviderCall(ProviderCallId::from("rtc_mine")), id(1)),
    ];
    let other = vec![
        put(&caller(2, "+81903333444")),
        Write::Line(id(2), line(0, NOON_MS, "somebody else")),
        Write::Alias(Alias::Carrier(CallSid::from("CAother")), id(2)),
        put(&call(3, State::Live)),
    ];
    for writes in [mine, other] {
        store.commit(tx(writes)).await.expect("a commit");
    }
}

async fn erase(store: &Store, number: u8) -> Result<(), StoreError> {
    let write = Write::Erase { id: id(number), by: ErasedBy::Operator, at: Timestamp::from_millis(NOON_MS) };
    store.commit(tx(vec![write])).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_call_is_in_no_list_and_after_a_compaction_in_no_file() {
    let place = Place::new();
    let (store, _) = place.open();
    two_callers(&store).await;
    erase(&store, 1).await.expect("an erasure");

    assert_eq!(store.call(id(1)).expect("a read"), None);
    assert_eq!(listed(&store, By::Time).await, [id(3), id(2)]);
    assert_eq!(listed(&store, By::Number("+81901111222".to_owned())).await, []);
    assert_eq!(store.lines(id(1)).await.expect("lines"), []);
    assert!(store.tool_calls(id(1)).await.expect("tool calls").is_empty());
    let alias = |sid: &str| store.call_by_alias(&Alias::Carrier(CallSid::from(sid))).expect("a read");
    assert_eq!((alias("CAmine"), alias("CAother")), (None, Some(id(2))));
    let proof = store.erasure(id(1)).expect("a read").expect("a proof");
    assert_eq!((proof.lines, proof.tool_calls, proof.by), (1, 1, ErasedBy::Operator));

    let needles = ["Lovelace", "81901111222", "CAmine", "rtc_mine"].map(str::to_owned);
    let before = search(&place.path(), &needles).expect("a search");
    assert!(before.found.iter().any(|found| found.path.starts_with("journal")), "{before:?}");
    store.compact().await.expect("a compaction");
    store.renew_index_at_next_start().expect("a mark");
    let after = search(&place.path(), &needles).expect("a search");
    assert!(!after.found.iter().any(|found| found.path.starts_with("journal")), "{after:?}");

    store.close().await.expect("an orderly close");
    let (store, opened) = place.open();
    assert_eq!(opened.index_rebuilt.as_deref(), Some("something was erased"));
    let last = search(&place.path(), &needles).expect("a search");
    assert_eq!((last.found.as_slice(), last.files >= 5), (&[][..], true), "{last:?}");
    assert_eq!(listed(&store, By::Time).await, [id(3), id(2)]);
    assert_eq!(store.lines(id(2)).await.expect("lines"), [line(0, NOON_MS, "somebody else")]);
    assert!(store.erasure(id(1)).expect("a read").is_some());
    // Only once.
    store.close().await.expect("an orderly close");
    assert_eq!(place.open().1.index_rebuilt, None);
}

#[tokio::test]
async fn a_call_that_is_not_over_is_not_erased() {
    let place = Place::new();
    let (store, _) = place.open();
    two_callers(&store).await;
    let refused = erase(&store, 3).await.expect_err("it is running");
    assert!(matches!(&refused, StoreError::Conflict { what } if what.contains("is not over")), "{refused}");
    assert!(store.call(id(3)).expect("a read").is_some());
    erase(&store, 9).await.expect("nothing to erase is no error");
    assert_eq!(store.erasure(id(9)).expect("a read"), None);
}

#[tokio::test]
async fn what_has_had_its_time_is_named_and_forgotten() {
    let place = Place::new();
    let (store, _) = place.open();
    let seen =
        |id: &str, ms: u64| Write::Webhook { id: WebhookId::from(id), seen: Timestamp::from_millis(ms) };
    store.commit(tx(vec![seen("wh_old", NOON_MS), seen("wh_new", NOON_MS + 10)])).await.expect("a commit");
    let before = Timestamp::from_millis(NOON_MS + 5);
    let outdated = store.outdated(before, before, 10).await.expect("a list");
    assert_eq!(outdated.len(), 1);
    store.commit(tx(outdated.into_iter().map(Write::Forget).collect())).await.expect("a commit");
    let is_seen = |id: &str| store.webhook_seen(&WebhookId::from(id)).expect("a read");
    assert_eq!((is_seen("wh_old"), is_seen("wh_new")), (false, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_is_due_a_day_after_something_was_erased() {
    let place = Place::new();
    let (store, _) = place.open();
    two_callers(&store).await;
    assert_eq!(store.compact_if_due().await.expect("a look"), None);
    store.compact().await.expect("a compaction");
    let erased_at = place.clock.now() + Duration::from_secs(3_600);
    let write = Write::Erase { id: id(1), by: ErasedBy::Retention, at: erased_at };
    store.commit(tx(vec![write])).await.expect("an erasure");
    place.clock.advance(Duration::from_secs(2 * 3_600));
    assert_eq!(store.compact_if_due().await.expect("a look"), None, "two hours");
    place.clock.advance(Duration::from_secs(86_400));
    assert!(store.compact_if_due().await.expect("a look").is_some(), "a day");
    assert_eq!(store.compact_if_due().await.expect("a look"), None, "nothing was erased since");
    assert!(!journal_text(&place).contains("Lovelace"));
}

/// A copy of a data directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for path in entries(from) {
        let place = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &place)
        } else {
            let _ = fs::copy(&path, &place).expect("a copy");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_during_a_compaction_leaves_a_store_that_opens_whole() {
    let place = Place::new();
    let (store, _) = place.open();
    two_callers(&store).await;
    store.close().await.expect("an orderly close");
    let before = Place::new();
    copy(&place.path(), &before.path());
    let (store, _) = place.open();
    let mut done = store.compact().await.expect("a compaction");
    store.close().await.expect("an orderly close");

    // Half a base under its working name; then the whole one beside the segments that it stands for.
    let whole = fs::read(base(&place)).expect("the base");
    let journal = before.path().join("journal");
    fs::write(journal.join("base.part"), &whole[..whole.len() / 2]).expect("a write");
    let (store, opened) = before.open();
    assert_eq!((opened.base_seq, opened.index_rebuilt), (None, None));
    assert_eq!(listed(&store, By::Time).await, [id(3), id(2), id(1)]);
    store.close().await.expect("an orderly close");
    fs::copy(base(&place), journal.join(base(&place).file_name().expect("a name"))).expect("a copy");
    let (store, _) = before.open();
    assert_eq!(listed(&store, By::Time).await, [id(3), id(2), id(1)]);
    assert!(!journal.join("000000000001.jsonl").exists(), "{:?}", entries(&journal));
    // And the next one goes on from there.
    store.commit(tx(vec![put(&call(4, State::Live))])).await.expect("a commit");
    (done.seq, done.removed_bytes) = (done.seq + 1, 0);
    let again = store.compact().await.expect("a compaction");
    assert_eq!(again.seq, done.seq, "{again:?}");
    assert!(!journal.join("base.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_base_is_refused_where_it_is_needed_and_found_where_it_is_not() {
    let place = Place::new();
    let (store, _) = place.open();
    two_callers(&store).await;
    store.compact().await.expect("a compaction");
    store.close().await.expect("an orderly close");
    let path = base(&place);
    let whole = fs::read(&path).expect("the base");
    let scratch = tempfile::tempdir().expect("a folder");
    for at in (0..whole.len()).step_by(7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        fs::write(&path, &flipped).expect("a write");
        let findings = examine(&place.path(), scratch.path(), Thoroughness::default());
        assert!(findings.iter().any(|finding| finding.what == "journal" && !finding.is_well), "{findings:?}");
    }
    fs::remove_dir_all(place.path().join("index")).expect("removed");
    let refusal = place.refusal();
    assert!(matches!(&refusal, OpenError::Damaged { path: damaged, .. } if *damaged == path), "{refusal}");
    fs::write(&path, &whole[..whole.len() / 2]).expect("a write");
    assert!(place.refusal().to_string().contains("restore the data directory"));
    fs::remove_file(&path).expect("removed");
    assert!(place.refusal().to_string().contains("missing"), "{}", place.refusal());
    fs::write(&path, &whole).expect("a write");
    assert_eq!(listed(&place.open().0, By::Time).await, [id(3), id(2), id(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_never_compacted_away() {
    let place = Place::new();
    let (store, _) = place.open();
    two_callers(&store).await;
    let segment = files(&place).into_iter().find(|path| fs::metadata(path).is_ok_and(|f| f.len() > 0));
    let segment = segment.expect("a segment");
    let mut text = fs::read(&segment).expect("the journal");
    text[60] ^= 1;
    fs::write(&segment, &text).expect("a write");
    let refused = store.compact().await.expect_err("it is damaged").to_string();
    assert!(refused.contains("is damaged") && refused.contains("restore"), "{refused}");
    assert_eq!(fs::read(&segment).expect("the journal"), text, "it is left as it is");
    assert_eq!(listed(&store, By::Time).await, [id(3), id(2), id(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_older_than_the_base_is_made_anew() {
    let place = Place::new();
    let (store, _) = place.open();
    two_callers(&store).await;
    store.close().await.expect("an orderly close");
    let old = Place::new();
    copy(&place.path().join("index"), &old.path());
    let (store, _) = place.open();
    erase(&store, 1).await.expect("an erasure");
    store.compact().await.expect("a compaction");
    store.close().await.expect("an orderly close");
    fs::remove_dir_all(place.path().join("index")).expect("removed");
    fs::remove_file(place.path().join("checkpoint")).expect("removed");
    copy(&old.path(), &place.path().join("index"));
    let (store, opened) = place.open();
    assert!(opened.index_rebuilt.is_some_and(|why| why.contains("begins after")), "{:?}", opened.base_seq);
    assert_eq!(listed(&store, By::Time).await, [id(3), id(2)]);
}
