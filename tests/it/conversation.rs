//! Whole conversations: who is heard to the end, what the tools answer, what is kept of it.

use futures_util::future::join_all;
use switchboard::call::record::{CallDetail, EndedReason, LineStatus, Speaker, ToolOutcomeKind};
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::openai::CallReport;
use switchboard::sim::script::Script;
use switchboard::sim::twilio::{CallerSetup, CarrierReport, Refusal};

use crate::harness::{CALLEE, CALLER, House, eventually, script};

/// A call as it was played and as it was kept.
struct Call {
    carrier: CarrierReport,
    provider: CallReport,
    kept: CallDetail,
}

/// Plays one call of the shop's customer in a house without plugins.
async fn call(steps: &str) -> Call {
    call_with(ProviderFaults::default(), steps).await
}

async fn call_with(faults: ProviderFaults, steps: &str) -> Call {
    call_in(House::without_plugins(faults).await, steps).await
}

async fn call_in(house: House, steps: &str) -> Call {
    let played = house.call(&format!("steps = [{steps}]")).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let provider = played.provider.expect("the carrier dialled the provider");
    assert_eq!(provider.protocol_errors, [""; 0], "{}", house.world.log.text());
    Call { carrier: played.carrier, provider, kept: house.ended().await }
}

impl Call {
    fn reason(&self) -> EndedReason {
        self.kept.call.ended.as_ref().expect("an ended call").reason
    }

    fn lines(&self) -> Vec<(Speaker, LineStatus, &str)> {
        self.kept.lines.iter().map(|line| (line.speaker, line.status, line.text.as_str())).collect()
    }

    fn has_event(&self, kind: &str) -> bool {
        self.kept.events.iter().any(|event| event.kind == kind)
    }

    /// What became of each tool call, by name.
    fn outcomes(&self) -> Vec<(&str, Option<ToolOutcomeKind>)> {
        self.kept.tool_calls.iter().map(|tool| (tool.name.as_str(), tool.outcome)).collect()
    }

    fn output(&self, n: usize) -> &str {
        &self.provider.tool_outputs[n].output
    }
}

use LineStatus::{Final, Interrupted, Partial, Untranscribed};
use Speaker::{Assistant, Caller, Keypad};

// === words ===

#[tokio::test(flavor = "multi_thread")]
async fn words_that_were_lost_with_the_caller_leave_an_empty_line() {
    let call = call(
        r#"
        { model = { says = "はい。" } },
        { caller = { says = "あの、すみません、", then_hangs_up = true } },
        "#,
    )
    .await;
    assert_eq!(call.reason(), EndedReason::CallerHangup);
    assert_eq!(call.lines(), [(Assistant, Final, "はい。"), (Caller, Untranscribed, "")]);
    assert!(call.carrier.caller_hung_up);
    assert_eq!(call.provider.hangups, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_words_before_the_caller_hangs_up_are_kept() {
    let faults = ProviderFaults { transcription_lost_at_hangup: false, ..ProviderFaults::default() };
    let call = call_with(
        faults,
        r#"
        { model = { says = "はい。" } },
        { caller = { says = "また掛けます。", then_hangs_up = true } },
        "#,
    )
    .await;
    assert_eq!(call.lines(), [(Assistant, Final, "はい。"), (Caller, Final, "また掛けます。")]);
    assert_eq!(call.reason(), EndedReason::CallerHangup);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_nobody_could_write_down_are_a_line_all_the_same() {
    let call = call(
        r#"
        { model = { says = "はい。" } },
        { caller = { says = "むにゃむにゃ", transcribed = false } },
        { model = { says = "もう一度お願いします。", for_ms = 3000 } },
        { hang_up = "caller" },
        "#,
    )
    .await;
    assert_eq!(
        call.lines(),
        [
            (Assistant, Final, "はい。"),
            (Caller, Untranscribed, ""),
            (Assistant, Final, "もう一度お願いします。")
        ]
    );
    assert!(call.has_event("transcription.failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_take_the_word() {
    let call = call(
        r#"
        { model = { says = "本日は定休日のため、営業は明日の午前九時からでございます。", for_ms = 30000 } },
        { caller = { says = "違います。", interrupts_after_ms = 3000 } },
        { model = { says = "失礼しました。" } },
        { pause_ms = 1000 },
        { hang_up = "caller" },
        "#,
    )
    .await;
    assert_eq!(
        call.lines(),
        [
            (Assistant, Interrupted, "本日は定休日のため、営業は明日の午前九時からでございます。"),
            (Caller, Final, "違います。"),
            (Assistant, Final, "失礼しました。")
        ]
    );
    assert!(call.provider.spoken[0].ends_with("[cut]"), "{:?}", call.provider.spoken);
    assert_eq!(call.provider.response_creates, 1);
    let cut = &call.kept.lines[0];
    assert!(cut.ended.is_some_and(|ended| ended > cut.started), "{cut:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_fails_before_it_says_anything_is_asked_for_again() {
    let call = call(
        r#"
        { model = { status = "failed", reason = "server_error" } },
        { model = { says = "はい、便箋堂です。" } },
        { hang_up = "caller" },
        "#,
    )
    .await;
    assert_eq!(call.lines(), [(Assistant, Final, "はい、便箋堂です。")]);
    assert_eq!(call.provider.response_creates, 2);
    assert!(call.has_event("turn.cut"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_is_cut_is_kept_as_far_as_it_went() {
    let call = call(
        r#"
        { model = { says = "営業時間は", status = "incomplete", reason = "max_output_tokens" } },
        { caller = { says = "はい？" } },
        { model = { says = "九時から五時です。" } },
        { pause_ms = 1000 },
        { hang_up = "caller" },
        "#,
    )
    .await;
    let whole = [(Caller, Final, "はい？"), (Assistant, Final, "九時から五時です。")];
    assert_eq!(call.lines()[0], (Assistant, Partial, "営業時間は"));
    assert_eq!(call.lines()[1..], whole);
    assert!(call.has_event("turn.cut"));
    assert_eq!(call.provider.response_creates, 1);
}

// === keys ===

#[tokio::test(flavor = "multi_thread")]
async fn pressed_keys_reach_the_model_and_not_the_transcript() {
    // The first row ends with its `#`, the second because no key followed.
    join_all([("42#", "•••"), ("4129", "••••")].map(async |(keys, shown)| {
        let call = call(&format!(
            r#"
            {{ model = {{ says = "番号をどうぞ。" }} }},
            {{ keys = "{keys}" }},
            {{ model = {{ says = "承りました。" }} }},
            {{ hang_up = "caller" }},
            "#
        ))
        .await;
        assert_eq!(call.provider.injected.len(), 1, "{:?}", call.provider.injected);
        assert!(call.provider.injected[0].ends_with(keys), "{:?}", call.provider.injected);
        assert_eq!(
            call.lines(),
            [
                (Assistant, Final, "番号をどうぞ。"),
                (Keypad, Final, shown),
                (Assistant, Final, "承りました。")
            ]
        );
        assert_eq!(call.provider.response_creates, 2);
    }))
    .await;
}

// === tools ===

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_that_cannot_be_made_is_explained_to_the_model() {
    use ToolOutcomeKind::{InvalidArguments, UnknownTool};
    let cases = [
        (r#"name = "order_pizza""#, "order_pizza", UnknownTool),
        (r#"name = "lookup_customer", raw_arguments = "{\"phone\": ""#, "lookup_customer", InvalidArguments),
        (r#"name = "lookup_customer", raw_arguments = "[]""#, "lookup_customer", InvalidArguments),
        (r#"name = "lookup_customer", arguments = { phone = 42 }"#, "lookup_customer", InvalidArguments),
        (r#"name = "lookup_customer", arguments = { name = "x" }"#, "lookup_customer", InvalidArguments),
        (r#"name = "transfer", arguments = { to = "moon" }"#, "transfer", InvalidArguments),
    ];
    let house = House::open().await;
    for (what, name, outcome) in cases {
        let played = house
            .call(&format!(
                r#"
                steps = [
                    {{ model = {{ says = "お調べします。", calls = [{{ {what} }}] }} }},
                    {{ model = {{ says = "{{/error}}でした。" }} }},
                    {{ hang_up = "caller" }},
                ]
                "#
            ))
            .await;
        let provider = played.provider.expect("the carrier dialled the provider");
        assert_eq!(provider.protocol_errors, [""; 0], "{what}");
        assert_eq!(provider.spoken, ["お調べします。", &format!("{}でした。", outcome.as_str())], "{what}");
        assert_eq!((provider.response_creates, provider.refers.len()), (2, 0), "{what}");
        let kept = house.ended_call(house.calls().await[0].id).await;
        let outcomes: Vec<_> = kept.tool_calls.iter().map(|tool| (&*tool.name, tool.outcome)).collect();
        assert_eq!(outcomes, [(name, Some(outcome))], "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tools_of_one_turn_are_both_answered_before_the_model_goes_on() {
    let call = call_in(
        House::open().await,
        r#"
        { model = { says = "お調べします。", calls = [
            { name = "lookup_customer" },
            { name = "lookup_customer", arguments = { phone = "03-0000-0000" } },
        ] } },
        { model = { says = "お待たせしました。" } },
        { hang_up = "caller" },
        "#,
    )
    .await;
    let outputs: Vec<_> = call.provider.tool_outputs.iter().map(|answer| answer.output.as_str()).collect();
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    assert!(outputs.iter().any(|output| output.contains("佐藤 花子")), "{outputs:?}");
    assert!(outputs.iter().any(|output| output.contains("+81300000000")), "{outputs:?}");
    assert_eq!(call.provider.response_creates, 2);
    assert_eq!(call.provider.spoken, ["お調べします。", "お待たせしました。"]);
    let ok = Some(ToolOutcomeKind::Ok);
    assert_eq!(call.outcomes(), [("lookup_customer", ok), ("lookup_customer", ok)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_apart_from_a_customer() {
    let house = House::open().await;
    let steps = r#"
        steps = [
            { model = { says = "お調べします。", calls = [{ name = "lookup_customer" }] } },
            { model = { says = "{/phone}、{/found}" } },
            { hang_up = "caller" },
        ]
    "#;
    let played = house.play(CallerSetup::new("+819000000000", "+815012345678", script(steps))).await;
    let provider = played.provider.expect("the carrier dialled the provider");
    assert_eq!(provider.spoken[1], "+819000000000、false");
    let kept = house.ended().await;
    assert_eq!(kept.tool_calls[0].outcome, Some(ToolOutcomeKind::Ok));
}

// === leaving ===

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_hung_up_on_without_a_goodbye() {
    let call = call(
        r#"
        { model = { says = "はい。" } },
        { caller = { says = "それだけです。" } },
        { model = { calls = [{ name = "hangup" }] } },
        { model = { says = "失礼いたします。" } },
        { hang_up = "gateway" },
        "#,
    )
    .await;
    assert_eq!(call.provider.spoken, ["はい。", "失礼いたします。"]);
    assert_eq!((call.provider.response_creates, call.provider.hangups), (2, 1));
    assert_eq!(call.reason(), EndedReason::AssistantHangup);
    assert!(!call.carrier.caller_hung_up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_on_talking_is_not_hung_up_on() {
    let call = call(
        r#"
        { model = { says = "はい。" } },
        { caller = { says = "それだけです。" } },
        { model = { says = "それでは失礼いたします。", for_ms = 30000, calls = [{ name = "hangup" }] } },
        { caller = { says = "あ、もう一つ。", interrupts_after_ms = 5000 } },
        { model = { says = "どうぞ。" } },
        { pause_ms = 20000 },
        { hang_up = "caller" },
        "#,
    )
    .await;
    assert_eq!((call.provider.hangups, call.reason()), (0, EndedReason::CallerHangup));
    assert_eq!(call.lines()[2], (Assistant, Interrupted, "それでは失礼いたします。"));
    assert_eq!(call.lines()[4], (Assistant, Final, "どうぞ。"));
}

const TRANSFER: &str = r#"
    { model = { says = "はい。" } },
    { caller = { says = "担当の方をお願いします。" } },
    { model = { says = "おつなぎします。", calls = [{ name = "transfer", arguments = { to = "desk" } }] } },
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_handed_to_the_desk() {
    let call = call(&format!(r#"{TRANSFER} {{ hang_up = "gateway" }},"#)).await;
    assert_eq!(call.provider.refers, ["tel:+81312345678"]);
    assert_eq!((call.provider.hangups, call.reason()), (0, EndedReason::Transferred));
    assert_eq!(call.provider.spoken, ["はい。", "おつなぎします。"]);
    assert_eq!(call.carrier.dials.len(), 2, "{:#?}", call.carrier.dials);
    assert_eq!(call.carrier.dials[1].target, "+81312345678");
    assert_eq!(call.outcomes(), [("transfer", Some(ToolOutcomeKind::Ok))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_transfer_fails_is_told_so_and_stays() {
    let faults = ProviderFaults { refer_status: Some(500), ..ProviderFaults::default() };
    let rest = r#"
        { model = { says = "申し訳ございません、つながりませんでした。" } },
        { caller = { says = "では結構です。" } },
        { model = { says = "失礼いたします。", calls = [{ name = "hangup" }] } },
        { hang_up = "gateway" },
    "#;
    let house = House::without_plugins(faults).await;
    let refused = Refusal { method: Some("POST"), status: 400, ..Refusal::default() };
    house.world.carrier_rest.refuse([refused]);
    let call = call_in(house, &format!("{TRANSFER} {rest}")).await;
    assert_eq!((call.provider.refers.len(), call.provider.response_creates), (1, 2));
    for event in ["transfer.refused", "transfer.redirecting", "transfer.failed"] {
        assert!(call.has_event(event), "{event}");
    }
    assert_eq!((call.reason(), call.lines().len()), (EndedReason::AssistantHangup, 6));
    assert_eq!(call.output(1), r#"{"ok":true}"#);
}

/// Claims that the caller reaches the desk although the provider does not hand the call on.
async fn check_handed_on_by_the_carrier(faults: ProviderFaults) {
    let house = House::without_plugins(faults).await;
    let steps = format!(r#"steps = [{TRANSFER} {{ hang_up = "gateway" }},]"#);
    let carrier = house.play(CallerSetup::new(CALLER, CALLEE, script(&steps))).await.carrier;
    assert_eq!(carrier.problems, [""; 0]);
    let id = house.ended().await.call.id;
    // The carrier takes the caller away before it says so.
    let kept = eventually("the carrier's word is kept", || async {
        let kept = house.ended_call(id).await;
        kept.events.iter().any(|event| event.kind == "transfer.redirected").then_some(kept)
    })
    .await;
    assert_eq!(kept.call.ended.map(|ended| ended.reason), Some(EndedReason::Transferred));
    assert!(!kept.events.iter().any(|event| event.kind == "transfer.failed"));
    let targets: Vec<&str> = carrier.dials.iter().map(|dial| dial.target.as_str()).collect();
    assert_eq!((targets.len(), targets[1]), (2, "+81312345678"));
    assert!(carrier.dials[1].is_bridged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_the_provider_will_not_hand_on_is_handed_on_by_the_carrier() {
    let faults = ProviderFaults { refer_status: Some(500), ..ProviderFaults::default() };
    check_handed_on_by_the_carrier(faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_of_which_only_the_provider_knows_is_made_by_the_carrier() {
    let faults = ProviderFaults { refer_without_effect: true, ..ProviderFaults::default() };
    check_handed_on_by_the_carrier(faults).await;
}

// === many at once ===

/// A conversation in which every line names its caller.
fn talk_of(caller: &str) -> Script {
    script(&format!(
        r#"
        steps = [
            {{ model = {{ says = "{caller} 一" }} }},
            {{ caller = {{ says = "{caller} 二" }} }},
            {{ model = {{ says = "{caller} 三", calls = [{{ name = "lookup_customer" }}] }} }},
            {{ model = {{ says = "{{/phone}} 四" }} }},
            {{ caller = {{ says = "{caller} 五" }} }},
            {{ model = {{ says = "{caller} 六", calls = [{{ name = "hangup" }}] }} }},
            {{ hang_up = "gateway" }},
        ]
        "#
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_calls_at_once_do_not_hear_each_other() {
    let house = House::open().await;
    let callers: Vec<String> = (0..30).map(|n| format!("+8190000000{n:02}")).collect();
    let playing =
        callers.iter().map(|caller| house.play(CallerSetup::new(caller, "+815012345678", talk_of(caller))));
    for played in join_all(playing).await {
        assert_eq!(played.carrier.problems, [""; 0]);
        let provider = played.provider.expect("the carrier dialled the provider");
        assert_eq!(provider.protocol_errors, [""; 0]);
        assert_eq!((provider.accepts.len(), provider.accepted, provider.hangups), (1, 1, 1));
        assert_eq!((provider.tool_calls, provider.tool_outputs.len()), (2, 2));
        assert_eq!((provider.attached, provider.response_creates), (1, 2));
    }
    let calls = house.calls().await;
    assert_eq!(calls.len(), 30);
    for call in calls {
        let kept = house.ended_call(call.id).await;
        let caller = kept.call.caller.as_deref().expect("a number");
        let said: Vec<&str> = kept.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(said, ["一", "二", "三", "四", "五", "六"].map(|word| format!("{caller} {word}")));
        assert_eq!(
            kept.call.ended.as_ref().map(|ended| ended.reason),
            Some(EndedReason::AssistantHangup),
            "{caller}"
        );
    }
}
