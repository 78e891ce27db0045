//! What happens in calls, for those who watch: news in order, the last of them kept at hand.
//!
//! Everything that the store has committed for a call becomes news, and so does who speaks. Calls put news into a ring
//! and go on: nobody who watches is waited for. Whoever watches reads out of the ring at their own pace; who is so
//! slow that the ring has gone on without them must begin anew, and is told so. Who begins anew is told who speaks:
//! that is in no store. Where nobody watches, or may come back to where they were, nothing is kept at hand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::Growing;
use crate::call::record::{CallRecord, EventRecord, Line, ToolCallRecord, UsageRecord};
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::store::Write;

/// How much news is kept at hand: some minutes of a busy gateway.
const RING_MAX: usize = 8_192;
/// How many bytes of text it has together, about.
const RING_BYTES_MAX: usize = 32 << 20;
/// How many may watch at once; each has a connection of the admin listener, which has 64.
const WATCHERS_MAX: usize = 32;
/// How much news is read at once.
const BATCH: usize = 64;
/// For whoever watched, and comes back within this time, news is kept at hand: browsers try again after seconds.
const BACK_WITHIN: Duration = Duration::from_secs(120);

/// Something that happened in a call.
#[derive(Clone, Debug)]
pub enum News {
    /// Its record is new or has changed.
    Call(Box<CallRecord>),
    /// A line is new or has changed.
    Line(CallId, Line),
    /// Words that are no line yet.
    Growing(CallId, Growing),
    /// A tool call is new or has changed.
    ToolCall(CallId, ToolCallRecord),
    /// Something for the person who asks why.
    Event(CallId, EventRecord),
    /// Usage, with what the call costs so far.
    Usage(CallId, UsageRecord, Option<f64>),
    /// Who speaks now.
    Speaking(CallId, Speaking),
    /// The call was erased.
    Gone(CallId),
}

/// Who speaks in a call, as far as it can be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speaking {
    /// The caller.
    pub caller: bool,
    /// The assistant, as the caller hears it.
    pub assistant: bool,
}

impl News {
    /// The news in something that was written; none: it is nobody's business.
    pub(super) fn of(write: Write, cost_usd: Option<f64>) -> Option<News> {
        match write {
            Write::Call(record) => Some(News::Call(record)),
            Write::Line(id, line) => Some(News::Line(id, line)),
            Write::ToolCall(id, tool_call) => Some(News::ToolCall(id, tool_call)),
            Write::Usage(id, usage) => Some(News::Usage(id, usage, cost_usd)),
            Write::Event(id, event) => Some(News::Event(id, event)),
            _ => None,
        }
    }

    /// The call that it is about.
    pub fn call(&self) -> CallId {
        match self {
            News::Call(record) => record.id,
            News::Line(id, _)
            | News::Growing(id, _)
            | News::ToolCall(id, _)
            | News::Event(id, _)
            | News::Usage(id, ..)
            | News::Speaking(id, _)
            | News::Gone(id) => *id,
        }
    }

    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let text = match self {
            News::Call(record) => {
                let headers = record.provider.iter().flat_map(|provider| &provider.sip_headers);
                let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
                headers + record.vars.values().map(String::len).sum::<usize>()
            }
            News::Line(_, line) => line.text.len(),
            News::Growing(_, growing) => growing.text.len(),
            News::ToolCall(_, call) => call.arguments.len() + call.output.as_ref().map_or(0, String::len),
            News::Event(_, event) => event.data.as_ref().map_or(0, |data| data.get().len()),
            News::Usage(..) | News::Speaking(..) | News::Gone(_) => 0,
        };
        size_of::<CallRecord>() + text
    }
}

/// The ring of news.
pub struct Feed {
    epoch: String,
    ring: Mutex<Ring>,
    head: watch::Sender<Head>,
    watchers: AtomicUsize,
}

#[derive(Default)]
struct Ring {
    news: VecDeque<Arc<News>>,
    bytes: usize,
    /// Who speaks, by call; a call in which nobody does is not in it.
    speaking: BTreeMap<CallId, Speaking>,
    /// When the last who watched left.
    left: Option<Instant>,
}

impl Ring {
    /// Claims that somebody may come back who watched.
    fn may_come_back(&self, now: Instant) -> bool {
        self.left.is_some_and(|left| now.duration_since(left) < BACK_WITHIN)
    }

    /// Learns who speaks.
    fn hear(&mut self, news: &News) {
        match news {
            News::Speaking(call, speaking) if *speaking != Speaking::default() => {
                self.speaking.insert(*call, *speaking);
            }
            News::Speaking(call, _) | News::Gone(call) => {
                self.speaking.remove(call);
            }
            News::Call(record) if record.ended.is_some() => {
                self.speaking.remove(&record.id);
            }
            _ => {}
        }
    }
}

/// How far the news have come.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// The number of the next.
    next: u64,
    /// There will be no more.
    is_closed: bool,
}

impl Default for Head {
    fn default() -> Head {
        // From one on, so that there is an id of what was seen before everything.
        Head { next: 1, is_closed: false }
    }
}

impl Feed {
    /// A ring that begins now; another process has another one.
    pub fn new(now: Timestamp) -> Arc<Feed> {
        Arc::new(Feed {
            epoch: format!("{:x}", now.as_micros()),
            ring: Mutex::default(),
            head: watch::Sender::default(),
            watchers: AtomicUsize::new(0),
        })
    }

    /// Claims that somebody watches now.
    pub fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::SeqCst) > 0
    }

    /// Claims that news is kept at hand: somebody watches now, or may come back to where they were.
    pub fn is_followed(&self) -> bool {
        self.is_watched() || self.ring().may_come_back(Instant::now())
    }

    /// Has everybody know. What was committed must be readable before: who begins to watch now reads it, and may not
    /// be told.
    pub fn publish(&self, all: impl IntoIterator<Item = News>) {
        self.publish_at(Instant::now(), all);
    }

    fn publish_at(&self, now: Instant, all: impl IntoIterator<Item = News>) {
        let mut ring = self.ring();
        let is_followed = self.is_watched() || ring.may_come_back(now);
        if !is_followed && !ring.news.is_empty() {
            (ring.news, ring.bytes) = Default::default();
        }
        let mut count = 0;
        for news in all {
            ring.hear(&news);
            count += 1;
            if is_followed {
                ring.bytes += news.bytes();
                ring.news.push_back(Arc::new(news));
            }
        }
        while ring.news.len() > RING_MAX || ring.bytes > RING_BYTES_MAX {
            let Some(oldest) = ring.news.pop_front() else { break };
            ring.bytes -= oldest.bytes();
        }
        if count > 0 {
            // Within the lock: the ring and the number go together.
            self.head.send_modify(|head| head.next += count);
        }
    }

    /// The call was erased: nothing of it is at hand any more, and everybody is to know.
    pub fn forget(&self, call: CallId) {
        let mut ring = self.ring();
        let mut freed = 0;
        for news in ring.news.iter_mut().filter(|news| news.call() == call) {
            // The numbers stay as they are: in its place stands that the call is gone.
            let gone = Arc::new(News::Gone(call));
            freed += news.bytes().saturating_sub(gone.bytes());
            *news = gone;
        }
        ring.bytes = ring.bytes.saturating_sub(freed);
        drop(ring);
        self.publish([News::Gone(call)]);
    }

    /// Whoever watches is told that it is over.
    pub fn close(&self) {
        self.head.send_modify(|head| head.is_closed = true);
    }

    /// Watches from now on, or from what was seen last; none: so many watch already.
    pub fn watch(self: &Arc<Self>, seen: Option<&str>) -> Option<Watch> {
        if self.watchers.fetch_add(1, Ordering::SeqCst) >= WATCHERS_MAX {
            self.watchers.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let head = self.head.subscribe();
        let ring = self.ring();
        let next = self.head.borrow().next;
        let oldest = next - ring.news.len() as u64;
        let wanted = seen.map(|seen| self.after(seen).filter(|wanted| (oldest..=next).contains(wanted)));
        let (at, is_reset) = match wanted {
            None => (next, false),
            Some(Some(wanted)) => (wanted, false),
            Some(None) => (next, true),
        };
        // Who goes on where they were has been told; of the same moment as the number.
        let is_anew = is_reset || seen.is_none();
        let speaking = ring.speaking.iter().filter(|_| is_anew);
        let speaking = speaking.map(|(call, speaking)| News::Speaking(*call, *speaking)).collect();
        Some(Watch { feed: Arc::clone(self), head, at, is_reset, speaking })
    }

    /// The number of what comes after this id; none where it is not of this process.
    fn after(&self, seen: &str) -> Option<u64> {
        let (epoch, n) = seen.split_once('-')?;
        let n: u64 = n.parse().ok()?;
        (epoch == self.epoch).then(|| n.saturating_add(1))
    }

    /// News from this number on, up to a bounded number; none: they are not at hand any more.
    fn read(&self, at: u64) -> Option<Vec<Arc<News>>> {
        let ring = self.ring();
        let oldest = self.head.borrow().next - ring.news.len() as u64;
        let skip = usize::try_from(at.checked_sub(oldest)?).ok()?;
        Some(ring.news.iter().skip(skip).take(BATCH).cloned().collect())
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while it is held.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who watches.
pub struct Watch {
    feed: Arc<Feed>,
    head: watch::Receiver<Head>,
    /// The number of what is read next.
    at: u64,
    is_reset: bool,
    speaking: Vec<News>,
}

impl Watch {
    /// Claims that something was missed before this began: everything is to be read again.
    pub fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// Who spoke when this began, where it began anew; of other calls it is that nobody did.
    pub fn speaking(&self) -> &[News] {
        &self.speaking
    }

    /// The id of what was seen last.
    pub fn seen(&self) -> String {
        self.id(self.at - 1)
    }

    /// The id of the news of this number.
    pub fn id(&self, n: u64) -> String {
        format!("{}-{n}", self.feed.epoch)
    }

    /// What comes next, with its numbers; none: it is over, or was too slow for what was to be told.
    pub async fn next(&mut self) -> Option<Vec<(u64, Arc<News>)>> {
        loop {
            let news = self.feed.read(self.at)?;
            if !news.is_empty() {
                let numbered: Vec<_> = (self.at..).zip(news).collect();
                self.at += numbered.len() as u64;
                return Some(numbered);
            }
            let at = self.at;
            let head = self.head.wait_for(|head| head.next > at || head.is_closed).await.ok()?;
            if head.is_closed && head.next <= at {
                return None;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.feed.ring().left = Some(Instant::now());
        self.feed.watchers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(n: u64) -> CallId {
        CallId::new(Timestamp::from_millis(n), [0; 10])
    }

    fn news(n: u64) -> News {
        News::Speaking(call(n), Speaking::default())
    }

    async fn read(watch: &mut Watch) -> Option<Vec<u64>> {
        let read = watch.next().await?;
        Some(read.iter().map(|(_, news)| news.call().began().as_millis()).collect())
    }

    #[tokio::test]
    async fn who_comes_back_goes_on_where_they_were() {
        let feed = Feed::new(Timestamp::from_secs(1));
        let mut watch = feed.watch(None).expect("a place");
        let before_all = watch.seen();
        assert!(feed.is_watched());
        feed.publish([news(1), news(2)]);
        assert_eq!(read(&mut watch).await, Some(vec![1, 2]));
        let seen = watch.seen();
        drop(watch);
        assert!(!feed.is_watched());
        feed.publish([news(3)]);
        let mut again = feed.watch(Some(&seen)).expect("a place");
        assert!(!again.is_reset());
        assert_eq!(read(&mut again).await, Some(vec![3]));
        let mut first = feed.watch(Some(&before_all)).expect("a place");
        assert!(!first.is_reset());
        feed.publish([news(4)]);
        assert_eq!(read(&mut first).await, Some(vec![1, 2, 3, 4]));
        feed.close();
        assert_eq!(read(&mut again).await, Some(vec![4]));
        assert_eq!(read(&mut again).await, None);
    }

    #[tokio::test]
    async fn where_nobody_watches_nothing_is_kept_at_hand() {
        let feed = Feed::new(Timestamp::from_secs(1));
        let kept = |feed: &Feed| feed.ring().news.len();
        feed.publish([news(1), news(2)]);
        assert_eq!(kept(&feed), 0);
        let watch = feed.watch(None).expect("a place");
        let seen = watch.seen();
        drop(watch);
        feed.publish([news(3)]);
        assert_eq!(kept(&feed), 1);
        feed.publish_at(Instant::now() + BACK_WITHIN, [news(4)]);
        assert_eq!(kept(&feed), 0);
        let mut late = feed.watch(Some(&seen)).expect("a place");
        assert!(late.is_reset(), "two were missed");
        feed.publish([news(5)]);
        assert_eq!(read(&mut late).await, Some(vec![5]));
    }

    #[tokio::test]
    async fn who_begins_is_told_who_speaks() {
        let feed = Feed::new(Timestamp::from_secs(1));
        let caller = Speaking { caller: true, assistant: false };
        let assistant = Speaking { caller: false, assistant: true };
        let says = |n, speaking| News::Speaking(call(n), speaking);
        feed.publish([says(1, caller), says(2, caller), says(3, caller), says(1, assistant)]);
        feed.publish([says(2, Speaking::default())]);
        feed.forget(call(3));
        let told = |watch: &Watch| {
            let told = watch.speaking().iter().map(|news| match news {
                News::Speaking(call, speaking) => (*call, *speaking),
                other => panic!("{other:?}"),
            });
            told.collect::<Vec<_>>()
        };
        let watch = feed.watch(None).expect("a place");
        assert_eq!(told(&watch), [(call(1), assistant)]);
        assert_eq!(told(&feed.watch(Some("another-7")).expect("a place")), [(call(1), assistant)]);
        assert_eq!(told(&feed.watch(Some(&watch.seen())).expect("a place")), []);
    }

    #[tokio::test]
    async fn nothing_of_an_erased_call_is_at_hand() {
        let feed = Feed::new(Timestamp::from_secs(1));
        let mut watch = feed.watch(None).expect("a place");
        feed.publish([news(1), news(2), news(1)]);
        feed.forget(call(1));
        let read = watch.next().await.expect("news");
        let told: Vec<_> = read.iter().map(|(n, news)| (*n, matches!(**news, News::Gone(_)))).collect();
        assert_eq!(told, [(1, true), (2, false), (3, true), (4, true)]);
    }

    #[tokio::test]
    async fn what_is_not_at_hand_is_told_anew_and_who_is_too_slow_is_cut_off() {
        let feed = Feed::new(Timestamp::from_secs(1));
        feed.publish([news(0)]);
        let slow = feed.watch(None).expect("a place");
        let seen = slow.seen();
        feed.publish((0..=RING_MAX as u64).map(news));
        let mut slow = slow;
        assert_eq!(read(&mut slow).await, None, "too slow");
        for id in [seen.as_str(), "", "x", "ffff-1", &format!("{}-999999", feed.epoch)] {
            assert!(feed.watch(Some(id)).expect("a place").is_reset(), "{id}");
        }
        let many: Vec<_> = std::iter::from_fn(|| feed.watch(None)).collect();
        assert_eq!(many.len(), WATCHERS_MAX - 1);
    }
}
