//! The store's contract: what is acknowledged is there, whole, in order, after whatever happened between.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use switchboard::call::record::JoinedBy;
use switchboard::call::record::{
    CallRecord, Counts, EventRecord, FORMAT, Heard, Line, LineStatus, Path as AudioPath, Provider, Speaker,
    Stages, State, ToolCallRecord, Usage, UsageRecord,
};
use switchboard::clock::{ManualClock, Timestamp};
use switchboard::ids::{CallId, CallSid, ProviderCallId, SipCallId, ToolCallId, WebhookId};
use switchboard::store::{
    Alias, By, CallQuery, Expect, Health, OpenError, Opened, Page, Settings, Store, StoreError, Tx, Write,
};

pub(crate) const NOON_MS: u64 = 1_795_000_000_000;

/// A data directory that goes away with the test, and a clock for it.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) merge_bytes: Option<usize>,
}

impl Place {
    pub(crate) fn new() -> Place {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(NOON_MS)));
        Place { dir: tempfile::tempdir().expect("a temporary directory"), clock, merge_bytes: None }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn settings(&self) -> Settings {
        let usual = Settings::at(self.path());
        let merge_bytes = self.merge_bytes.unwrap_or(usual.merge_bytes);
        Settings { cache_bytes: 4 << 20, free_bytes_min: 0, merge_bytes, ..usual }
    }

    pub(crate) fn open(&self) -> (Store, Opened) {
        Store::open(&self.settings(), self.clock.clone()).expect("the store opens")
    }

    /// The error of an open that must fail.
    pub(crate) fn refusal(&self) -> OpenError {
        let settings = Settings { lock_wait: Duration::ZERO, ..self.settings() };
        Store::open(&settings, self.clock.clone()).err().expect("the store does not open")
    }

    /// The one journal segment that has records.
    fn segment(&self) -> PathBuf {
        let segments: Vec<PathBuf> = entries(&self.path().join("journal"))
            .into_iter()
            .filter(|path| fs::metadata(path).is_ok_and(|found| found.len() > 0))
            .collect();
        assert_eq!(segments.len(), 1, "{segments:?}");
        segments[0].clone()
    }
}

pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

pub(crate) fn id(number: u8) -> CallId {
    CallId::new(Timestamp::from_millis(NOON_MS + u64::from(number) * 1_000), [number; 10])
}

pub(crate) fn call(number: u8, state: State) -> CallRecord {
    CallRecord {
        v: FORMAT,
        id: id(number),
        state,
        path: AudioPath::Sip,
        caller: Some("+819012345678".to_owned()),
        callee: Some("+815011112222".to_owned()),
        route: None,
        session: None,
        vars: [("名".to_owned(), "\"x\"\n".to_owned())].into(),
        carrier: None,
        provider: None,
        stages: Stages::default(),
        ended: None,
        counts: Counts::default(),
        usage: Usage::default(),
        cost_usd: Some(0.25),
        consent: None,
        handed_to: None,
        handed: None,
        heard: Heard::default(),
        other_path: None,
        avoided: None,
        moved: None,
        interrupted: None,
    }
}

pub(crate) fn line(n: u32, started_ms: u64, text: &str) -> Line {
    Line {
        v: FORMAT,
        n,
        speaker: Speaker::Caller,
        text: text.to_owned(),
        started: Timestamp::from_millis(started_ms),
        ended: None,
        status: LineStatus::Final,
        item: None,
        turn: None,
    }
}

pub(crate) fn tool_call(n: u32, output: &str) -> ToolCallRecord {
    ToolCallRecord {
        v: FORMAT,
        n,
        tool_call_id: ToolCallId::from("call_abc"),
        name: "find_customer".to_owned(),
        arguments: "{\"number\":".repeat(7_000),
        requested: Timestamp::from_millis(NOON_MS),
        finished: None,
        outcome: None,
        output: Some(output.to_owned()),
        turn: None,
        acknowledged: false,
        deferred: false,
    }
}

pub(crate) fn tx(writes: Vec<Write>) -> Tx {
    Tx { expect: vec![], writes }
}

pub(crate) fn put(record: &CallRecord) -> Write {
    Write::Call(Box::new(record.clone()))
}

pub(crate) async fn listed(store: &Store, by: By) -> Vec<CallId> {
    let page = store.calls(CallQuery { by, ..CallQuery::default() }, None, 200).await.expect("a page");
    assert_eq!(page.next, None);
    page.items.into_iter().map(|record| record.id).collect()
}

/// Three acknowledged commits, each with a group of its own, then no orderly close.
async fn abandoned(place: &Place) {
    let (store, _) = place.open();
    for number in 1..=3 {
        let writes =
            vec![put(&call(number, State::Live)), Write::Line(id(number), line(0, NOON_MS, "もしもし"))];
        store.commit(tx(writes)).await.expect("a commit");
    }
}

/// All three commits of [`abandoned`] are there.
async fn assert_whole(store: &Store) {
    assert_eq!(listed(store, By::Time).await, [id(3), id(2), id(1)]);
    for number in 1..=3 {
        assert_eq!(store.call(id(number)).expect("a read"), Some(call(number, State::Live)));
        assert_eq!(store.lines(id(number)).await.expect("lines"), [line(0, NOON_MS, "もしもし")]);
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_read_after_reopening_without_a_close() {
    let place = Place::new();
    let record = call(1, State::Dialing);
    let usage = UsageRecord {
        v: FORMAT,
        n: 0,
        at: Timestamp::from_millis(NOON_MS),
        model: "m".to_owned(),
        turn: None,
        usage: Usage::default(),
        cost_usd: None,
    };
    let data = RawValue::from_string("{\n\"a\": [1]\n}".to_owned()).expect("JSON");
    let event = EventRecord {
        v: FORMAT,
        n: 0,
        at: Timestamp::from_millis(NOON_MS),
        kind: "accept.sent".to_owned(),
        data: Some(data),
    };
    let alias = Alias::SipCallId(SipCallId::from("a/b c@1.2.3.4\u{0}"));
    let webhook = WebhookId::from("wh_1");
    {
        let (store, opened) = place.open();
        assert!(opened.created && opened.index_rebuilt.is_none());
        let writes = vec![
            put(&record),
            Write::Usage(record.id, usage.clone()),
            Write::Event(record.id, event),
            Write::Alias(alias.clone(), record.id),
            Write::Webhook { id: webhook.clone(), seen: Timestamp::from_millis(NOON_MS) },
            Write::Meta { name: "signing-key".to_owned(), value: "c2VjcmV0".to_owned() },
        ];
        assert_eq!(store.commit(tx(writes)).await.expect("a commit").seq, Some(1));
    }
    let (store, opened) = place.open();
    assert!(!opened.created && !opened.was_clean && opened.index_rebuilt.is_none(), "{opened:?}");
    assert_eq!(store.call(record.id).expect("a read"), Some(record.clone()));
    assert_eq!(store.usage(record.id).await.expect("usage"), [usage]);
    let events = store.events(record.id).await.expect("events");
    assert_eq!(events[0].kind, "accept.sent");
    assert!(events[0].data.as_ref().is_some_and(|data| data.get().contains("[1]")));
    assert_eq!(store.call_by_alias(&alias).expect("a read"), Some(record.id));
    assert_eq!(store.call_by_alias(&Alias::SipCallId(SipCallId::from("a/b"))).expect("a read"), None);
    assert!(store.webhook_seen(&webhook).expect("a read"));
    assert!(!store.webhook_seen(&WebhookId::from("wh_2")).expect("a read"));
    assert_eq!(store.meta("signing-key").expect("a read").as_deref(), Some("c2VjcmV0"));
    assert_eq!(store.meta("other").expect("a read"), None);
    assert_eq!(store.health(), Health::Ok);
}

#[tokio::test]
async fn an_orderly_close_is_remembered_and_ends_writing() {
    let place = Place::new();
    let (store, _) = place.open();
    let other = store.clone();
    let receipt = store.submit(&tx(vec![put(&call(1, State::Live))])).await.expect("a place in the queue");
    store.close().await.expect("an orderly close");
    receipt.await.expect("what was queued is written");
    let refused = other.commit(tx(vec![put(&call(2, State::Live))])).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    drop(other);
    let (store, opened) = place.open();
    assert!(opened.was_clean && opened.replayed == 0 && opened.last_seq == 1, "{opened:?}");
    assert_eq!(listed(&store, By::Time).await, [id(1)]);
}

#[tokio::test]
async fn a_torn_tail_is_dropped_and_kept_aside() {
    let place = Place::new();
    abandoned(&place).await;
    let mut journal = fs::read(place.segment()).expect("the journal");
    let whole = journal.clone();
    journal.extend_from_slice(b"1234abcd {\"v\":1,\"seq\":4,\"d\":3,\"t\":1,\"ops\":[[\"c/ca");
    fs::write(place.segment(), &journal).expect("a write");

    let (store, opened) = place.open();
    assert_eq!(opened.torn_bytes, (journal.len() - whole.len()) as u64);
    assert_eq!(fs::read(&opened.quarantined[0]).expect("the tail"), journal[whole.len()..]);
    assert_eq!(fs::read(place.segment()).expect("the journal"), whole);
    assert_whole(&store).await;
    drop(store);
    assert_eq!(place.open().1.torn_bytes, 0);
}

#[tokio::test]
async fn a_damaged_acknowledged_record_is_refused() {
    let place = Place::new();
    abandoned(&place).await;
    let segment = place.segment();
    let whole = fs::read(&segment).expect("the journal");
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    // With the index and without it.
    for _ in 0..2 {
        fs::write(&segment, &flipped).expect("a write");
        let refusal = wait_for_damage(&place);
        assert!(
            refusal.contains("000000000001.jsonl is damaged: record 1 at byte 0 was acknowledged"),
            "{refusal}"
        );
        assert!(refusal.contains("restore"), "{refusal}");
        fs::remove_dir_all(place.path().join("index")).expect("removed");
    }
    assert_eq!(fs::read(&segment).expect("the journal"), flipped, "it is left as it is");
    fs::write(&segment, whole).expect("a write");
    assert_whole(&place.open().0).await;
}

/// The refusal for damage; an earlier handle's threads may still hold the lock.
fn wait_for_damage(place: &Place) -> String {
    let refusal = Store::open(&place.settings(), place.clock.clone()).err().expect("the store does not open");
    assert!(matches!(refusal, OpenError::Damaged { .. }), "{refusal}");
    refusal.to_string()
}

#[tokio::test]
async fn a_journal_that_lost_its_end_is_refused() {
    let place = Place::new();
    let (store, _) = place.open();
    for number in 1..=3 {
        store.commit(tx(vec![put(&call(number, State::Live))])).await.expect("a commit");
    }
    store.close().await.expect("an orderly close");
    let journal = fs::read_to_string(place.segment()).expect("the journal");
    let shorter: Vec<&str> = journal.lines().take(2).collect();
    fs::write(place.segment(), shorter.join("\n") + "\n").expect("a write");
    let refusal = wait_for_damage(&place);
    assert!(refusal.contains("ends with record 2, but record 3 was acknowledged"), "{refusal}");
    // The way out that the message names.
    for name in ["index", "checkpoint", "clean"] {
        let _ = fs::rename(place.path().join(name), place.dir.path().join(name));
    }
    assert_eq!(listed(&place.open().0, By::Time).await, [id(2), id(1)]);
}

#[tokio::test]
async fn a_lost_or_damaged_index_is_made_anew() {
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 6] = [
        ("lost", |index| fs::remove_dir_all(index).expect("removed")),
        ("no database", |index| fs::remove_file(index.join("db")).expect("removed")),
        ("emptied", |index| fs::write(index.join("db"), b"").expect("a write")),
        ("noise", |index| fs::write(index.join("db"), [0xa5; 40_000]).expect("a write")),
        ("cut short", |index| {
            let db = fs::read(index.join("db")).expect("the database");
            fs::write(index.join("db"), &db[..1_000]).expect("a write");
        }),
        ("zeros", |index| {
            let mut db = fs::read(index.join("db")).expect("the database");
            db[1_000..].fill(0);
            fs::write(index.join("db"), db).expect("a write");
        }),
    ];
    for (name, damage) in damages {
        let place = Place::new();
        abandoned(&place).await;
        // Opened once more, so that the index is certainly let go of.
        place.open().0.close().await.expect("an orderly close");
        fs::remove_file(place.path().join("clean")).expect("removed");
        damage(&place.path().join("index"));
        let (store, opened) = place.open();
        assert!(opened.index_rebuilt.is_some() && opened.replayed == 3, "{name}: {opened:?}");
        assert_whole(&store).await;
    }
}

#[tokio::test]
async fn an_unfinished_snapshot_of_the_index_does_no_harm() {
    let place = Place::new();
    abandoned(&place).await;
    place.open().0.close().await.expect("an orderly close");
    fs::write(place.path().join("index/snap.00000000FFFFFFFF.generating"), b"half").expect("a write");
    assert_whole(&place.open().0).await;
}

#[tokio::test]
async fn an_index_of_another_journal_is_made_anew() {
    let (mine, other) = (Place::new(), Place::new());
    abandoned(&mine).await;
    mine.open().0.close().await.expect("an orderly close");
    let (store, _) = other.open();
    for number in [7, 8, 9] {
        store.commit(tx(vec![put(&call(number, State::Live))])).await.expect("a commit");
    }
    store.close().await.expect("an orderly close");
    fs::remove_dir_all(mine.path().join("index")).expect("removed");
    fs::rename(other.path().join("index"), mine.path().join("index")).expect("moved");
    let (store, opened) = mine.open();
    assert!(opened.index_rebuilt.is_some(), "{opened:?}");
    assert_whole(&store).await;
}

#[tokio::test]
async fn a_second_open_is_refused_and_harms_nothing() {
    let place = Place::new();
    let (store, _) = place.open();
    store.commit(tx(vec![put(&call(1, State::Live))])).await.expect("a commit");
    let refusal = place.refusal();
    assert!(matches!(refusal, OpenError::InUse { .. }));
    let text = refusal.to_string();
    assert!(text.contains(&place.path().display().to_string()) && text.contains("in use"), "{text}");
    assert!(!place.path().join("quarantine").exists());
    store.commit(tx(vec![put(&call(2, State::Live))])).await.expect("a commit");
    assert_eq!(listed(&store, By::Time).await, [id(2), id(1)]);
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let place = Place::new();
    fs::write(place.path(), b"a file").expect("a write");
    let refusal = place.refusal().to_string();
    assert!(refusal.contains(&place.path().display().to_string()), "{refusal}");

    let place = Place::new();
    drop(place.open());
    let format = place.path().join("format");
    fs::write(&format, "{\"format\":2}").expect("a write");
    let refusal = Store::open(&place.settings(), place.clock.clone()).err().expect("refused").to_string();
    assert!(refusal.contains("format 2") && refusal.contains("reads up to 1"), "{refusal}");
    fs::remove_file(&format).expect("removed");
    assert!(wait_for_damage(&place).contains("it is missing, but there is a journal"));
}

#[tokio::test]
async fn an_unmet_expectation_writes_nothing() {
    let place = Place::new();
    let (store, _) = place.open();
    let alias = Alias::ProviderCall(ProviderCallId::from("rtc_1"));
    let first = vec![
        put(&call(1, State::Live)),
        Write::Alias(alias.clone(), id(1)),
        Write::Webhook { id: WebhookId::from("wh_1"), seen: Timestamp::default() },
        Write::Meta { name: "key".to_owned(), value: "v".to_owned() },
    ];
    store.commit(tx(first)).await.expect("a commit");
    let expectations = [
        Expect::NoSuchCall(id(1)),
        Expect::AliasFree(alias),
        Expect::WebhookUnseen(WebhookId::from("wh_1")),
        Expect::MetaAbsent("key".to_owned()),
    ];
    for expect in expectations {
        let refused = Tx { expect: vec![expect.clone()], writes: vec![put(&call(2, State::Live))] };
        let refused = store.commit(refused).await;
        assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{expect:?}: {refused:?}");
    }
    assert_eq!(store.call(id(2)).expect("a read"), None);
    // The same id as another kind of alias is another alias.
    let expect = vec![
        Expect::AliasFree(Alias::Carrier(CallSid::from("rtc_1"))),
        Expect::NoSuchCall(id(2)),
        Expect::WebhookUnseen(WebhookId::from("wh_2")),
        Expect::MetaAbsent("other".to_owned()),
    ];
    store.commit(Tx { expect, writes: vec![put(&call(2, State::Live))] }).await.expect("a commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_deliveries_of_one_webhook_exactly_one_wins() {
    let place = Place::new();
    let (store, _) = place.open();
    let mut tasks = tokio::task::JoinSet::new();
    for committer in 0..64_u8 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut won = Vec::new();
            for round in 0..8 {
                let webhook = WebhookId::from(format!("wh_{round}"));
                let writes = vec![
                    Write::Webhook { id: webhook.clone(), seen: Timestamp::default() },
                    put(&call(committer, State::Offered)),
                ];
                let expect = vec![Expect::WebhookUnseen(webhook.clone())];
                match store.commit(Tx { expect, writes }).await {
                    Ok(_) => won.push(round),
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                // Who lost may rely on the winner's record.
                assert!(store.webhook_seen(&webhook).expect("a read"));
            }
            won
        });
    }
    let mut won: Vec<u32> = tasks.join_all().await.concat();
    won.sort_unstable();
    assert_eq!(won, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn calls_are_listed_newest_first_by_time_number_and_state() {
    let place = Place::new();
    let (store, _) = place.open();
    for number in 1..=9 {
        let mut record = call(number, State::Dialing);
        record.caller = (number != 5).then(|| format!("+8190{}", number % 2));
        store.commit(tx(vec![put(&record)])).await.expect("a commit");
        if number > 6 {
            record.state = State::Live;
            store.commit(tx(vec![put(&record)])).await.expect("a commit");
        }
        if number == 9 {
            record.state = State::Ended;
            store.commit(tx(vec![put(&record)])).await.expect("a commit");
        }
    }
    let ids = |numbers: &[u8]| numbers.iter().copied().map(id).collect::<Vec<_>>();
    assert_eq!(listed(&store, By::Time).await, ids(&[9, 8, 7, 6, 5, 4, 3, 2, 1]));
    assert_eq!(listed(&store, By::Number("+81901".to_owned())).await, ids(&[9, 7, 3, 1]));
    assert_eq!(listed(&store, By::Number("+815011112222".to_owned())).await.len(), 9);
    assert_eq!(listed(&store, By::Number("+8190".to_owned())).await, []);
    assert_eq!(listed(&store, By::State(State::Dialing)).await, ids(&[6, 5, 4, 3, 2, 1]));
    assert_eq!(listed(&store, By::State(State::Live)).await, ids(&[8, 7]));
    assert_eq!(listed(&store, By::State(State::Ended)).await, ids(&[9]));

    let moment = |number: u64| Some(Timestamp::from_millis(NOON_MS + number * 1_000));
    let query = CallQuery { by: By::Time, since: moment(3), until: moment(6) };
    let page: Page<CallRecord> = store.calls(query.clone(), None, 2).await.expect("a page");
    assert_eq!(page.items.iter().map(|record| record.id).collect::<Vec<_>>(), ids(&[5, 4]));
    let cursor = page.next.expect("a cursor").to_string().parse().expect("a cursor reads back");
    let rest = store.calls(query, Some(cursor), 2).await.expect("a page");
    assert_eq!(rest.items.iter().map(|record| record.id).collect::<Vec<_>>(), ids(&[3]));
    assert_eq!(rest.next, None);
}

#[tokio::test]
async fn a_transcript_is_read_in_the_order_of_speech() {
    let place = Place::new();
    let (store, _) = place.open();
    let lines = [line(0, 300, "c"), line(1, 100, "a"), line(2, 200, "b"), line(3, 200, "b too")];
    for line in &lines {
        store.commit(tx(vec![Write::Line(id(1), line.clone())])).await.expect("a commit");
    }
    store.commit(tx(vec![Write::Line(id(2), line(0, 1, "another call"))])).await.expect("a commit");
    let longer = line(2, 200, "b, now known whole");
    store.commit(tx(vec![Write::Line(id(1), longer.clone())])).await.expect("a commit");
    let read = store.lines(id(1)).await.expect("lines");
    assert_eq!(read, [lines[1].clone(), longer, lines[3].clone(), lines[0].clone()]);
}

#[tokio::test]
async fn large_values_are_read_whole_and_may_shrink() {
    let place = Place::new();
    let (store, _) = place.open();
    let mut record = call(1, State::Live);
    record.provider = Some(Provider {
        name: "openai-realtime".to_owned(),
        call_id: ProviderCallId::from("rtc_1"),
        webhook_id: WebhookId::from("wh_1"),
        joined_by: JoinedBy::None,
        model: None,
        expires_at: None,
        reattached: 0,
        sip_headers: (0..64).map(|n| (format!("X-{n}"), "値".repeat(300))).collect(),
    });
    let output = "出".repeat(20_000);
    for n in 0..40 {
        let writes = vec![put(&record), Write::ToolCall(id(1), tool_call(n, &output))];
        store.commit(tx(writes)).await.expect("a commit");
    }
    store.commit(tx(vec![Write::ToolCall(id(1), tool_call(39, "short"))])).await.expect("a commit");
    let check = async |store: &Store| {
        assert_eq!(store.call(id(1)).expect("a read"), Some(record.clone()));
        assert_eq!(listed(store, By::Time).await, [id(1)]);
        let calls = store.tool_calls(id(1)).await.expect("tool calls");
        assert_eq!(calls.iter().map(|call| call.n).collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
        assert!(calls[..39].iter().all(|call| call.output.as_deref() == Some(&output)));
        assert_eq!(calls[39].output.as_deref(), Some("short"));
        assert_eq!(calls[39].arguments.len(), 70_000);
    };
    check(&store).await;
    drop(store);
    let (store, opened) = place.open();
    assert!(opened.index_rebuilt.is_none(), "{opened:?}");
    check(&store).await;
    store.close().await.expect("an orderly close");
    assert!(entries(&place.path().join("index/blobs")).is_empty(), "sled never syncs its blobs");

    let (store, _) = place.open();
    let huge = line(0, 0, &"x".repeat(3 << 20));
    let refused = store.commit(tx(vec![Write::Line(id(1), huge)])).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_value_is_never_read_as_a_mixture() {
    let place = Place::new();
    let (store, _) = place.open();
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for round in 0..60_usize {
            let text = char::from(b'a' + (round % 26) as u8).to_string().repeat(10_000 + round * 1_000);
            writer.commit(tx(vec![Write::Line(id(1), line(0, 0, &text))])).await.expect("a commit");
        }
    });
    while !writing.is_finished() {
        for line in store.lines(id(1)).await.expect("lines") {
            let first = line.text.chars().next().expect("a letter");
            assert!(line.text.chars().all(|letter| letter == first));
        }
    }
    writing.await.expect("the writer ends");
}

#[tokio::test]
async fn a_plugins_values_have_revisions_and_survive() {
    let place = Place::new();
    let (store, _) = place.open();
    let kv = store.kv("crm");
    let first = kv.put("客/1", b"one", None, Some(0)).await.expect("a put");
    let conflict = kv.put("客/1", b"two", None, Some(0)).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    let second = kv.put("客/1", &[0xff, 0, 10], None, Some(first)).await.expect("a put");
    assert!(second > first);
    let conflict = kv.put("客/1", b"three", None, Some(first)).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    let conflict = kv.put("missing", b"x", None, Some(7)).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    kv.put("客", &[b'x'; 8 * 1024], None, None).await.expect("the largest value fits");
    assert_eq!(store.kv("cr").get("m/客").await.expect("a get"), None);
    assert_eq!(store.kv("other").get("客/1").await.expect("a get"), None);
    drop((store, kv));

    let (store, _) = place.open();
    let kv = store.kv("crm");
    let entry = kv.get("客/1").await.expect("a get").expect("an entry");
    assert_eq!((entry.value, entry.revision), (vec![0xff, 0, 10], second));
    assert!(kv.delete("客/1").await.expect("a delete"));
    assert!(!kv.delete("客/1").await.expect("a delete"));
    assert_eq!(kv.get("客/1").await.expect("a get"), None);
    assert_eq!(kv.get("客").await.expect("a get").map(|entry| entry.value.len()), Some(8 * 1024));
    let third = kv.put("客/1", b"again", None, Some(0)).await.expect("a put");
    assert!(third > second, "a revision is never given twice");
}

#[tokio::test]
async fn a_plugins_values_expire() {
    let place = Place::new();
    let (store, _) = place.open();
    let kv = store.kv("crm");
    let ttl = Some(Duration::from_secs(60));
    kv.put("short", b"1", ttl, None).await.expect("a put");
    kv.put("long", b"2", None, None).await.expect("a put");
    place.clock.advance(Duration::from_secs(59));
    assert!(kv.get("short").await.expect("a get").is_some());
    place.clock.advance(Duration::from_secs(1));
    assert_eq!(kv.get("short").await.expect("a get"), None);
    assert_eq!(kv.list("", None, 10).await.expect("keys").keys, ["long"]);
    assert!(!kv.delete("short").await.expect("a delete"));
    kv.put("short", b"3", None, Some(0)).await.expect("what has expired is absent");
}

#[tokio::test]
async fn a_plugins_keys_are_listed_by_prefix_and_page() {
    let place = Place::new();
    let (store, _) = place.open();
    let kv = store.kv("crm");
    for key in ["a", "a/1", "a/2", "a/20", "a/3", "b", "a%2F9"] {
        kv.put(key, b"", None, None).await.expect("a put");
    }
    store.kv("crm2").put("a/4", b"", None, None).await.expect("a put");
    let page = kv.list("a/", None, 2).await.expect("keys");
    assert_eq!(page.keys, ["a/1", "a/2"]);
    let page = kv.list("a/", page.next.as_deref(), 2).await.expect("keys");
    assert_eq!(page.keys, ["a/20", "a/3"]);
    assert_eq!(page.next, None);
    assert_eq!(kv.list("", None, 1_000).await.expect("keys").keys.len(), 7);
    assert_eq!(kv.list("a", Some("zz"), 10).await.expect("keys").keys, [] as [&str; 0]);
    assert_eq!(kv.list("a/", Some(""), 10).await.expect("keys").keys.len(), 4);
    assert_eq!(kv.list("c", None, 10).await.expect("keys").keys, [] as [&str; 0]);
}

#[tokio::test]
async fn a_plugin_cannot_keep_more_than_its_quota() {
    let place = Place::new();
    let settings = Settings { plugin_keys_max: 5, plugin_bytes_max: 40_000, ..place.settings() };
    let (store, _) = Store::open(&settings, place.clock.clone()).expect("the store opens");
    let kv = store.kv("crm");
    for n in 0..5 {
        let ttl = (n == 0).then_some(Duration::from_secs(10));
        kv.put(&format!("key{n}"), b"x", ttl, None).await.expect("a put");
    }
    let refused = kv.put("one more", b"x", None, None).await;
    assert!(matches!(refused, Err(StoreError::Quota { what: "keys", max: 5, .. })), "{refused:?}");
    kv.put("key1", b"y", None, None).await.expect("an overwrite takes no key");
    store.kv("other").put("one more", b"x", None, None).await.expect("another namespace has its own");
    place.clock.advance(Duration::from_secs(10));
    kv.put("one more", b"x", None, None).await.expect("what has expired makes room");

    for n in 1..5 {
        kv.put(&format!("key{n}"), &[b'x'; 8_000], None, None).await.expect("a put");
    }
    let refused = kv.put("one more", &[b'x'; 8_000], None, None).await;
    assert!(matches!(refused, Err(StoreError::Quota { what: "bytes", .. })), "{refused:?}");
    let refused = kv.put("one more", &[b'x'; 8 * 1024 + 1], None, None).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    let refused = kv.get(&"k".repeat(257)).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    drop((store, kv));

    let (store, _) = Store::open(&settings, place.clock.clone()).expect("the store opens");
    let refused = store.kv("crm").put("new", b"x", None, None).await;
    assert!(matches!(refused, Err(StoreError::Quota { what: "keys", .. })), "counted again: {refused:?}");
    assert!(store.kv("crm").delete("key1").await.expect("a delete"));
    store.kv("crm").put("new", b"x", None, None).await.expect("a deletion makes room");
}

#[tokio::test]
async fn the_journal_is_text_and_nobody_elses_business() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    abandoned(&place).await;
    let text = fs::read_to_string(place.segment()).expect("text");
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let (crc, json) = line.split_once(' ').expect("a checksum and JSON");
        assert_eq!(crc.len(), 8);
        let record: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert!(record["ops"].as_array().is_some_and(|ops| ops.len() == 5), "{json}");
    }
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&place.path()), 0o700);
    assert_eq!(mode(&place.segment()), 0o600);
}
