//! Ten thousand calls in the list, measured.

#[path = "../../../benches/earlier/mod.rs"]
mod earlier;

use std::time::{Duration, Instant};

use earlier::earlier;
use switchboard::store::{Tx, Write};

use super::browser::{self, Browser};
use crate::harness::{House, Operator, SHORT};

const CALLS: u64 = 10_000;
const PER_COMMIT: u64 = 500;
const MINUTE: Duration = Duration::from_secs(60);

/// Prints how long frames take while somebody scrolls through ten thousand calls of a store: `cargo test --test it
/// ten_thousand_calls -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints how long frames take, for half a minute; timings are no assertions"]
async fn ten_thousand_calls_are_scrolled_through() {
    let program = browser::program().expect("a browser");
    let house = House::without_plugins(Default::default()).await;
    house.call(SHORT).await;
    let first = house.ended().await.call;
    let store = house.gateway.control().store();
    let began = Instant::now();
    for from in (1..CALLS).step_by(PER_COMMIT as usize) {
        let some = from..CALLS.min(from + PER_COMMIT);
        let writes = some
            .map(|minutes| Write::Call(Box::new(earlier(&first, MINUTE * minutes as u32, minutes))))
            .collect();
        store.commit(Tx { writes, ..Tx::default() }).await.expect("a commit");
    }
    println!("{CALLS} calls written in {:?}", began.elapsed());
    let browser = Browser::open(&program, format!("http://{}", house.gateway.admin)).await;
    browser.go("/calls").await;
    browser.until("the field has the focus", "document.activeElement.name === 'token'").await;
    browser.write(&Operator::of(&house).token).await;
    browser.key("Enter").await;
    browser.until("calls are listed", "document.querySelectorAll('.vbody .vrow').length > 10").await;
    // Down by pages while more is read, then the whole list, up again in big and small steps.
    for (what, step, frames) in [
        ("while more is read", 900, 400),
        ("read", 0, 0),
        ("up by screens", -900, 400),
        ("up by wheel", -120, 600),
    ] {
        if frames == 0 {
            browser.go("/calls").await;
            let began = Instant::now();
            browser.press("Load all").await;
            browser.shows("10,000 calls").await;
            println!("all of it is read in {:?}", began.elapsed());
            browser
                .eval("(() => { const box = document.querySelector('.vlist'); box.scrollTop = box.scrollHeight; })()")
                .await;
            continue;
        }
        let told = browser.text(&format!("({SCROLL})({step}, {frames})")).await;
        println!("{what}: {told}");
    }
    house.close().await;
}

/// Scrolls by so much in every frame; tells the time between frames, and the time that drawing took.
const SCROLL: &str = "async (step, frames) => {
    const box = document.querySelector('.vlist');
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    let blocked = 0;
    const watch = new PerformanceObserver((list) => { for (const each of list.getEntries()) blocked = Math.max(blocked, each.duration); });
    watch.observe({ entryTypes: ['longtask'] });
    const times = [];
    let last = await frame();
    for (let n = 0; n < frames; n += 1) {
        box.scrollTop += step;
        const now = await frame();
        times.push(now - last);
        last = now;
    }
    watch.disconnect();
    times.sort((a, b) => a - b);
    const at = (q) => times[Math.min(times.length - 1, Math.floor(q * times.length))].toFixed(1);
    const rows = document.querySelectorAll('.vbody .vrow').length;
    return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms; longest task ${blocked.toFixed(0)} ms; ${rows} rows drawn, ${document.querySelector('.totals b').textContent}`;
}";
