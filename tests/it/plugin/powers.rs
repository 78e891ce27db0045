//! What a plugin can do to a call and know of it, within its bounds, and the floods that are stopped there.

use switchboard::call::event::{Wish, Wished};
use switchboard::call::record::Speaker;
use switchboard::clock::Timestamp;
use switchboard::secret::Secret;
use switchboard::tool::context::{CallContext, Said, Wishes};
use switchboard::tool::plugin::{Failure, Grants, Plugin, Power};
use tokio::sync::mpsc;

use super::{AMPLE, Sink, call, call_with, from, guests_asking, load, settings};

const ACTIONS: &str = "call say\ncall inject-context\ncall transfer\ncall hang-up\ncall set-variable";

/// A call whose task takes up to 100 wishes.
fn in_a_call() -> (CallContext, mpsc::Receiver<Wished>) {
    let (sender, receiver) = mpsc::channel(100);
    (CallContext { wishes: Wishes::to(sender), ..from(Some("+819012345678")) }, receiver)
}

fn arrived(wishes: &mut mpsc::Receiver<Wished>) -> Vec<Wish> {
    std::iter::from_fn(|| wishes.try_recv().ok()).map(|wished| wished.wish).collect()
}

async fn actor(powers: &[Power]) -> Plugin {
    let needs: Vec<String> = powers.iter().map(|power| format!("call {}", power.as_str())).collect();
    load(&guests_asking(&needs.join("\n"), Grants { calls: powers.to_vec(), ..Grants::default() })).await
}

async fn run(plugin: &Plugin, context: &CallContext, tool: &str) -> String {
    plugin.call(context, tool, "{}", AMPLE).await.expect("an answer")
}

#[tokio::test]
async fn granted_actions_reach_the_call_and_crooked_ones_do_not() {
    let plugin =
        load(&guests_asking(ACTIONS, Grants { calls: Power::ALL.to_vec(), ..Grants::default() })).await;
    let (context, mut wishes) = in_a_call();
    let done = run(&plugin, &context, "every_action").await;
    assert_eq!(
        done,
        "\"Ok(()) Ok(()) Ok(()) Ok(()) Ok(()) Err(Error::Quota) Err(Error::Quota) Err(Error::Quota)\""
    );
    let variable = Wish::SetVariable { name: "order".to_owned(), value: "A-1".to_owned() };
    let expected = [
        Wish::Say("hello".to_owned()),
        Wish::InjectContext("a regular".to_owned()),
        Wish::Transfer("desk".to_owned()),
        Wish::HangUp,
        variable,
    ];
    assert_eq!(arrived(&mut wishes), expected);
}

#[tokio::test]
async fn each_action_is_granted_by_itself() {
    let plugin = actor(&[Power::HangUp]).await;
    let (context, mut wishes) = in_a_call();
    let done = run(&plugin, &context, "every_action").await;
    let denied = "Err(Error::Denied)";
    assert_eq!(done, format!("\"{denied} {denied} {denied} Ok(()) {denied} {denied} {denied} {denied}\""));
    assert_eq!(arrived(&mut wishes), [Wish::HangUp]);
}

#[tokio::test]
async fn outside_of_a_call_there_is_nothing_to_act_on() {
    let plugin = actor(&[Power::Say]).await;
    assert_eq!(call_with(&plugin, "say", "\"hello\"").await.as_deref(), Ok("\"Err(Error::NoCall)\""));
    let (context, wishes) = in_a_call();
    drop(wishes);
    let over = plugin.call(&context, "say", "\"hello\"", AMPLE).await;
    assert_eq!(over.as_deref(), Ok("\"Err(Error::NoCall)\""));
}

#[tokio::test]
async fn a_flood_of_actions_ends_at_sixteen() {
    let plugin = actor(&[Power::Say]).await;
    let (context, mut wishes) = in_a_call();
    let (sink, _logging) = Sink::listen();
    assert_eq!(run(&plugin, &context, "flood_actions").await, "16");
    assert_eq!(arrived(&mut wishes).len(), 16);
    let told = sink.take();
    assert!(
        told.contains("a plugin acts on a call more than 16 times") && told.contains("refused=9984"),
        "{told}"
    );
    assert_eq!(run(&plugin, &context, "say_at_length").await, "\"Err(Error::Quota)\"");
    assert!(arrived(&mut wishes).is_empty());
}

#[tokio::test]
async fn a_flood_of_progress_ends_at_eight_and_the_tool_answers_all_the_same() {
    let plugin = load(&settings("test-guests")).await;
    let (context, mut wishes) = in_a_call();
    let (sink, _logging) = Sink::listen();
    assert_eq!(run(&plugin, &context, "flood_progress").await, "true");
    let expected: Vec<Wish> = (0..8).map(|number| Wish::Progress(format!("step {number}"))).collect();
    assert_eq!(arrived(&mut wishes), expected);
    let told = sink.take();
    assert!(
        told.contains("a plugin reports progress more than 8 times") && told.contains("dropped=9992"),
        "{told}"
    );
    assert_eq!(run(&plugin, &context, "report_at_length").await, "true");
    assert!(arrived(&mut wishes).is_empty());
}

#[tokio::test]
async fn the_last_lines_are_told_to_those_who_may_know_them() {
    let said =
        |speaker, text: &str| Said { speaker, text: text.to_owned(), started: Timestamp::from_millis(1) };
    let history = vec![
        said(Speaker::Assistant, "Hello?"),
        said(Speaker::Caller, "A table for two."),
        said(Speaker::Keypad, "2"),
    ];
    let context = CallContext { history, ..from(None) };
    let plugin = load(&guests_asking("history", Grants { history: true, ..Grants::default() })).await;
    let last = plugin.call(&context, "history", "2", AMPLE).await;
    assert_eq!(last.as_deref(), Ok("\"Speaker::Caller: A table for two. / Speaker::Caller: 2\""));
    let all = plugin.call(&context, "history", "4294967295", AMPLE).await.expect("an answer");
    assert_eq!(all.matches(" / ").count(), 2);
    let other = load(&settings("test-guests")).await;
    let denied = other.call(&context, "history", "2", AMPLE).await;
    assert_eq!(denied, Err(Failure::Denied("Error::Denied".to_owned())));
}

#[tokio::test]
async fn a_secret_is_revealed_only_where_that_is_granted_and_cannot_be_guessed() {
    let secrets = [("CRM_TOKEN", "very private"), ("CRM_KEY", "hidden")];
    let grants = Grants {
        secrets: secrets.map(|(name, text)| (name.to_owned(), Secret::new(text))).into(),
        reveal: vec!["CRM_KEY".to_owned()],
        ..Grants::default()
    };
    let plugin = load(&guests_asking("secret CRM_TOKEN\nsecret CRM_KEY", grants.clone())).await;
    assert_eq!(call_with(&plugin, "reveal", "\"CRM_KEY\"").await.as_deref(), Ok("\"Ok(\\\"hidden\\\")\""));
    for name in ["CRM_TOKEN", "crm_key", "CRM_KEY ", "OPENAI_API_KEY", ""] {
        let told = call_with(&plugin, "reveal", &format!("\"{name}\"")).await;
        assert_eq!(told.as_deref(), Ok("\"Err(Error::Denied)\""), "{name}");
    }
    assert_eq!(call(&plugin, "guess_secrets").await.as_deref(), Ok("\"0 of 1337\""));
    let asks_for_one = load(&guests_asking("secret CRM_TOKEN", grants)).await;
    let told = call_with(&asks_for_one, "reveal", "\"CRM_KEY\"").await;
    assert_eq!(told.as_deref(), Ok("\"Err(Error::Denied)\""), "it did not ask for this one");
}

#[tokio::test]
async fn clocks_and_chance_need_no_grant() {
    let plugin = load(&settings("test-guests")).await;
    let clocks = call(&plugin, "clocks").await.expect("an answer");
    assert!(clocks.ends_with(" true\""), "{clocks}");
    assert_eq!(call(&plugin, "chance").await.as_deref(), Ok("\"1024 1024 true\""));
}
