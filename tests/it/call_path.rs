//! The call path, end to end: carrier, webhook, accept, sideband, tool, transcript, store.

use switchboard::call::record::{EndedReason, JoinedBy, Path, Speaker, ToolOutcomeKind};

use crate::harness::House;

const ORDER: &str = r#"
steps = [
    { model = { says = "お電話ありがとうございます。" } },
    { caller = { says = "注文はいつ届きますか。" } },
    { model = { says = "お調べします。", calls = [{ name = "lookup_customer" }] } },
    { model = { says = "{/name}様、{/orders/0/status}です。" } },
    { caller = { says = "ありがとう。" } },
    { model = { says = "失礼いたします。", calls = [{ name = "hangup" }] } },
    { hang_up = "gateway" },
]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_answered_a_tool_runs_and_the_call_is_kept() {
    let house = House::open().await;
    let played = house.call(ORDER).await;
    let kept = house.ended().await;

    let provider = played.provider.expect("the provider saw the call");
    assert_eq!(provider.protocol_errors, [""; 0], "{}", house.world.log.text());
    assert_eq!(played.carrier.problems, [""; 0]);
    assert_eq!((provider.accepted, provider.hangups, provider.tool_outputs.len()), (1, 1, 2));
    assert!(
        provider.spoken.iter().any(|words| words == "佐藤 花子様、発送済みです。"),
        "{:?}",
        provider.spoken
    );

    let call = &kept.call;
    assert_eq!(call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::AssistantHangup));
    assert_eq!(
        (call.path, call.route.as_deref(), call.session.as_deref()),
        (Path::Sip, Some("all"), Some("shop"))
    );
    assert_eq!(call.provider.as_ref().map(|provider| provider.joined_by), Some(JoinedBy::Token));
    let speakers: Vec<Speaker> = kept.lines.iter().map(|line| line.speaker).collect();
    use Speaker::{Assistant, Caller};
    assert_eq!(speakers, [Assistant, Caller, Assistant, Assistant, Caller, Assistant], "{:#?}", kept.lines);
    let outcomes: Vec<_> = kept.tool_calls.iter().map(|tool| (tool.name.as_str(), tool.outcome)).collect();
    let ok = Some(ToolOutcomeKind::Ok);
    assert_eq!(outcomes, [("lookup_customer", ok), ("hangup", ok)]);
    assert!(call.cost_usd.is_some_and(|cost| cost > 0.0));
    assert!(call.stages.first_word_after().is_some());
}
