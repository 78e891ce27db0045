//! What operators do to a call, and what stands of it in its record and in the audit log.

use reqwest::Method;
use switchboard::call::record::{CallRecord, EndedReason};
use switchboard::http::{API, Role};
use switchboard::ids::CallId;
use switchboard::sim::twilio::CallerSetup;

use super::Office;
use crate::harness::{CALLEE, CALLER, eventually, script};

const STEPS: &str = r#"steps = [
    { model = { says = "はい。" } },
    { model = { says = "少々お待ちください。" } },
    { model = { says = "おつなぎします。" } },
    { hang_up = "gateway" },
]"#;

async fn has_lines(office: &Office, count: u32) -> CallId {
    let is_so = |call: &CallRecord| call.counts.lines == count;
    eventually("the lines are kept", || async {
        office.house.calls().await.into_iter().find(is_so).map(|call| call.id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_speaks_into_a_call_and_hands_it_on() {
    let office = Office::open("").await;
    let operating = async {
        let id = has_lines(&office, 1).await;
        let act = async |what: &str, body: &str| {
            office.ask(Role::Operator, Method::POST, &format!("/calls/{id}/{what}"), body).await
        };
        let detail = office.get(Role::Viewer, &format!("/calls/{id}")).await;
        assert_eq!(detail["transfer_targets"], serde_json::json!(["desk"]));
        let (status, refused) = act("transfer", r#"{"to":"elsewhere"}"#).await;
        assert_eq!(status, 400);
        assert!(
            refused["error"]["message"].as_str().is_some_and(|words| words.contains("desk")),
            "{refused}"
        );
        for (what, body) in [("say", ""), ("say", r#"{"text":" "}"#), ("note", r#"{"words":"x"}"#)] {
            assert_eq!(act(what, body).await.0, 400, "{what} {body}");
        }
        // The same key is the same wish, however often it comes.
        let somebody = office.anybody(Role::Operator);
        for _ in 0..2 {
            let answer = somebody
                .request(Method::POST, &format!("{API}/calls/{id}/say"))
                .bearer_auth(&somebody.token)
                .header("idempotency-key", "say-1")
                .body(r#"{"text":"少々お待ちください。"}"#)
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), 202);
        }
        has_lines(&office, 2).await;
        assert_eq!(act("note", r#"{"text":"The caller is a regular."}"#).await.0, 202);
        assert_eq!(act("transfer", r#"{"to":"desk"}"#).await.0, 202);
        id
    };
    let playing = office.house.play(CallerSetup::new(CALLER, CALLEE, script(STEPS)));
    let (played, id) = tokio::join!(playing, operating);
    assert_eq!(played.carrier.problems, [""; 0]);
    let kept = office.house.ended_call(id).await;
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::Transferred));
    let wishes: Vec<&str> = kept
        .events
        .iter()
        .filter(|event| event.data.as_ref().is_some_and(|data| data.get().contains("operator the-operator")))
        .map(|event| event.kind.as_str())
        .collect();
    assert_eq!(wishes, ["wish.say", "wish.inject_context", "wish.transfer"]);
    let audit = office.audit().await;
    let acts: Vec<&str> = audit.iter().filter_map(|entry| entry.strip_prefix("the-operator ")).collect();
    assert_eq!(acts, ["call.say 10 characters", "call.note 24 characters", "call.transfer desk"]);
    for (what, body) in [("say", r#"{"text":"x"}"#), ("transfer", r#"{"to":"desk"}"#)] {
        let (status, _) =
            office.ask(Role::Operator, Method::POST, &format!("/calls/{id}/{what}"), body).await;
        assert_eq!(status, 409, "the call is over");
    }
}
