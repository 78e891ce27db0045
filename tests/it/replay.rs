//! Calls played once more through the rules, from what is kept of them.

use std::path::Path;
use std::sync::Arc;

use switchboard::call::record::{CallDetail, EndedReason};
use switchboard::call::replay::replay;
use switchboard::call::usage::Prices;

use crate::cli::{SERVED, switchboard, text};
use crate::harness::{CONFIG, House, Plan, SHORT};

/// The caller and the model take turns, a tool fails, and the caller goes.
const TURNS: &str = r#"steps = [
    { model = { says = "はい。" } }, { caller = { says = "こんにちは、元気ですか。" } },
    { model = { calls = [{ name = "nothing_like_it", arguments = { id = "A-1001" } }] } },
    { model = { says = "失礼します。" } }, { hang_up = "caller" },
]"#;
/// The caller speaks over the model, which hangs up with its last words.
const BARGE_IN: &str = r#"steps = [
    { model = { says = "いらっしゃいませ。文房具店でございます。本日はどのようなご用件でしょうか。" } },
    { caller = { says = "違います。", interrupts_after_ms = 1000 } },
    { model = { says = "失礼いたしました。", calls = [{ name = "hangup" }] } }, { hang_up = "gateway" },
]"#;
/// The model hangs up without a word, and is asked for a goodbye.
const GOODBYE: &str = r#"steps = [
    { model = { says = "はい。" } }, { caller = { says = "それだけです。" } },
    { model = { calls = [{ name = "hangup" }] } }, { model = { says = "失礼いたします。" } }, { hang_up = "gateway" },
]"#;
/// The caller is handed on.
const TRANSFER: &str = r#"steps = [
    { model = { says = "おつなぎします。", calls = [{ name = "transfer", arguments = { to = "desk" } }] } },
    { hang_up = "gateway" },
]"#;

async fn kept(calls: &[&str]) -> (tempfile::TempDir, Vec<CallDetail>) {
    let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let house = House::with(Plan { config, ..Plan::default() }).await;
    for steps in calls {
        house.call(steps).await;
    }
    let mut kept = Vec::new();
    for call in house.calls().await {
        kept.push(house.ended_call(call.id).await);
    }
    kept.reverse();
    (house.close().await, kept)
}

fn differing(detail: &CallDetail) -> Vec<&'static str> {
    let replayed = replay(detail, Arc::new(Prices::default())).expect("enough is kept");
    replayed.compared.iter().filter(|compared| !compared.is_same()).map(|compared| compared.what).collect()
}

fn over(data: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("{SERVED}\n[store]\npath = \"{}\"\n", data.display());
    std::fs::write(folder.path().join("gateway.toml"), config).expect("a file");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_over_comes_out_as_it_is_kept() {
    let (data, calls) = kept(&[SHORT, TURNS, BARGE_IN, TRANSFER, GOODBYE]).await;
    let folder = over(data.path());
    for call in &calls {
        let id = call.call.id.to_string();
        let output = tokio::task::block_in_place(|| switchboard(&["calls", "replay", &id], folder.path()));
        let told = text(&output.stdout);
        assert!(output.status.success(), "{told}{}\n{call:#?}", text(&output.stderr));
        for same in ["✓ lines", "✓ tool calls", "✓ usage", "✓ end"] {
            assert!(told.contains(same), "{same} is not in\n{told}");
        }
        let cost = call.call.cost_usd.expect("a cost");
        assert!(
            told.contains(&format!("cost: ${cost:.6} as kept, ${cost:.6} at the prices of now")),
            "{told}"
        );
    }
    let unknown = ["calls", "replay", "call_00000000000000000000000000000000"];
    let unknown = tokio::task::block_in_place(|| switchboard(&unknown, folder.path()));
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stderr));

    let reasons = calls.iter().map(|call| call.call.ended.as_ref().map(|ended| ended.reason));
    let (caller, assistant) = (Some(EndedReason::CallerHangup), Some(EndedReason::AssistantHangup));
    let expected = [caller, caller, assistant, Some(EndedReason::Transferred), assistant];
    assert_eq!(reasons.collect::<Vec<_>>(), expected, "{calls:#?}");

    // What does not follow from the rest is found.
    let mut wrong = calls[1].clone();
    wrong.call.usage.text_in += 1;
    assert_eq!(differing(&wrong), ["usage"]);
    let mut wrong = calls[2].clone();
    wrong.call.ended.as_mut().expect("an end").reason = EndedReason::CallerHangup;
    assert_eq!(differing(&wrong), ["end"]);
    let mut wrong = calls[1].clone();
    wrong.tool_calls.push(wrong.tool_calls[0].clone());
    assert_eq!(differing(&wrong), ["tool calls"], "a tool call is made once");
    let mut wrong = calls[1].clone();
    wrong.lines.swap(0, 1);
    assert_eq!(differing(&wrong), ["lines"], "lines are in the order of speech");
    let mut running = calls[0].clone();
    running.call.ended = None;
    assert!(replay(&running, Arc::default()).is_err());
}
