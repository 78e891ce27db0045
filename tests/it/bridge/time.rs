//! An hour on the bridge, with a clock that leaps: the caller is told in time that it ends, and that the
//! session with the model grew old meanwhile is nobody's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchboard::call::record::EndedReason;
use switchboard::clock::{Clock, SystemClock, Timestamp};
use switchboard::http::TWILIO_STATUS;
use switchboard::sim::twilio::CallerSetup;

use super::{house, sound};
use crate::harness::{CALLEE, CALLER, CONFIG, House, Plan, eventually, script};

/// The machine's clock, and so many seconds more.
#[derive(Default)]
pub struct LeapingClock(AtomicU64);

impl Clock for LeapingClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

impl LeapingClock {
    pub fn leap(&self, span: Duration) {
        self.0.fetch_add(span.as_secs(), Ordering::SeqCst);
    }
}

/// Waits until the only call has this line, heard to its end; then it is so much later, and the carrier reports
/// something of no consequence: whatever sleeps wakes up.
async fn then_later(house: &House, clock: &LeapingClock, line: &str, span: Duration) {
    let store = house.gateway.control().store();
    let call = eventually("the line was heard", || async {
        let call = house.calls().await.into_iter().next()?;
        let kept = switchboard::http::detail(store, call.id).await.expect("a readable store")?;
        kept.lines.iter().any(|kept| kept.text == line && kept.ended.is_some()).then_some(call)
    })
    .await;
    clock.leap(span);
    let call_sid = call.carrier.expect("a carrier").call_sid;
    let fields = house.world.twilio.voice_fields(call_sid.as_str(), CALLER, CALLEE, "in-progress");
    assert_eq!(house.tell(TWILIO_STATUS, fields).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_an_hour_is_over_the_caller_is_told_and_then_taken_leave_of() {
    let clock = Arc::new(LeapingClock::default());
    let config = CONFIG.split("[plugins").next().unwrap_or_default();
    let limits = "[sessions.shop.limits]\nduration = \"1h\"\n\n[sessions.shop.transfer]";
    let config = config.replace("[sessions.shop.transfer]", limits);
    let house = Arc::new(house(Plan { config, clock: clock.clone(), ..Plan::default() }).await);
    let playing = {
        let house = Arc::clone(&house);
        let steps = r#"steps = [
            { model = { says = "山田商店でございます。" } },
            { await_sidebands = 2 },
            { caller = { says = "まだいますか。" } },
            { model = { says = "はい、あと二分ほどございます。" } },
            { model = { says = "お時間です。失礼いたします。" } },
            { hang_up = "gateway" },
        ]"#;
        tokio::spawn(async move { house.play(CallerSetup::new(CALLER, CALLEE, script(steps))).await })
    };
    // After 58 minutes the provider's session has two left: it is exchanged, and the caller's time is short.
    then_later(&house, &clock, "山田商店でございます。", Duration::from_secs(58 * 60)).await;
    then_later(&house, &clock, "はい、あと二分ほどございます。", Duration::from_secs(120)).await;
    let played = playing.await.expect("played");
    let kept = house.ended().await;
    let provider = sound(&house, &played);
    // The old session was told, or the new one, of what was said and told before.
    let mut known = provider.injected.iter().chain(&provider.told_again);
    let is_warned = known.any(|text| text.starts_with("Two minutes of this call are left"));
    assert!(is_warned, "{:?} {:?}", provider.injected, provider.told_again);
    let asked = |words: &str| provider.asked_to_say.iter().any(|asked| asked.contains(words));
    assert!(asked("The time of this call is over"), "{:?}", provider.asked_to_say);
    assert_eq!(provider.spoken.last().map(String::as_str), Some("お時間です。失礼いたします。"));
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::MaxDuration));
    assert!(kept.events.iter().any(|event| event.kind == "stream.session_rotated"), "{:#?}", kept.events);
    assert!(!played.carrier.caller_hung_up);
}
