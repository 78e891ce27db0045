//! Hooks on the host's side: what they say reaches the call, and what they do wrong costs nobody else anything.

use std::time::Duration;

use switchboard::call::record::Speaker;
use switchboard::clock::Timestamp;
use switchboard::tool::context::Said;
use switchboard::tool::hooks::{CallEvent, Decision, Hook, IncomingAnswer, Instructions};
use switchboard::tool::plugin::{Failure, Grants, Limits, Plugin, Settings};

use super::{AMPLE, Sink, call, from, guests_asking, load};

/// So little time that a loop is soon stopped, in tests that need not finish anything in it.
const SHORT: Duration = Duration::from_millis(100);

fn hooked(key: &str, value: &str) -> Settings {
    let hooks = vec![Hook::Incoming, Hook::Event, Hook::Ended];
    let mut settings =
        guests_asking("hook incoming\nhook event\nhook ended", Grants { hooks, ..Grants::default() });
    settings.config.insert(key.to_owned(), value.to_owned());
    settings
}

async fn incoming(plugin: &Plugin) -> Result<IncomingAnswer, Failure> {
    let headers = [("X-One".to_owned(), "1".to_owned()), ("X-Two".to_owned(), "2".to_owned())];
    plugin.incoming(&from(Some("+819012345678")), &headers, AMPLE).await
}

#[tokio::test]
async fn a_call_can_be_changed_before_it_is_accepted() {
    let two = ("headers".to_owned(), "2".to_owned());
    let plain = IncomingAnswer { vars: vec![two.clone()], ..IncomingAnswer::default() };
    for (way, expected) in [
        ("proceed", plain.clone()),
        ("reject", IncomingAnswer { decision: Decision::Reject(486), ..plain.clone() }),
        (
            "forward",
            IncomingAnswer { decision: Decision::Forward("+81312345678".to_owned()), ..plain.clone() },
        ),
        (
            "session",
            IncomingAnswer {
                session: Some("vip".to_owned()),
                vars: vec![two, ("caller".to_owned(), "+819012345678".to_owned())],
                instructions: Some(Instructions::Append("Be brief.".to_owned())),
                ..IncomingAnswer::default()
            },
        ),
        (
            "replace",
            IncomingAnswer { instructions: Some(Instructions::Replace("Be kind.".to_owned())), ..plain },
        ),
    ] {
        let plugin = load(&hooked("incoming", way)).await;
        assert_eq!(incoming(&plugin).await, Ok(expected), "{way}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_crooked_is_refused_whole() {
    let bytes_max = Limits::default().output_bytes;
    for (way, expected) in [
        ("long", Failure::TooLarge { bytes_max }),
        ("huge", Failure::TooLarge { bytes_max }),
        ("many", Failure::BadOutput("it sets more than 64 variables".to_owned())),
        ("bad_variable", Failure::BadOutput("it sets a variable whose name is none".to_owned())),
    ] {
        let plugin = load(&hooked("incoming", way)).await;
        assert_eq!(incoming(&plugin).await, Err(expected), "{way}");
    }
}

#[tokio::test]
async fn events_and_the_end_are_told() {
    let plugin = load(&hooked("hook", "none")).await;
    let line = Said {
        speaker: Speaker::Assistant,
        text: "Hello".to_owned(),
        started: Timestamp::from_millis(1_795_000_000_000),
    };
    let (sink, _logging) = Sink::listen();
    for event in [CallEvent::Line(line), CallEvent::Keys("12#".to_owned()), CallEvent::State("live")] {
        plugin.event(&from(None), &event).await.expect("it is told");
    }
    plugin.ended(&from(None), "{\"turns\":3}").await.expect("it is told");
    let told = sink.take();
    for words in
        ["Speaker::Assistant said Hello at 1795000000000", "keys 12#", "state live", "ended with 11 bytes"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[tokio::test]
async fn a_hook_that_traps_spins_or_eats_memory_fails_alone() {
    let context = from(None);
    for (place, way) in ["incoming", "event", "ended"]
        .into_iter()
        .flat_map(|place| ["trap", "spin", "eat_memory"].into_iter().map(move |way| (place, way)))
    {
        let time = if way == "spin" { SHORT } else { AMPLE };
        let limits = Limits { time, memory_bytes: 8 << 20, ..Limits::default() };
        let plugin = load(&Settings { limits, ..hooked("hook", &format!("{place} {way}")) }).await;
        let ended = match place {
            "incoming" => plugin.incoming(&context, &[], time).await.map(drop),
            "event" => plugin.event(&context, &CallEvent::State("live")).await,
            _ => plugin.ended(&context, "{}").await,
        };
        let is_right = match (way, &ended) {
            ("trap", Err(Failure::Trapped(words))) => words.contains("unreachable"),
            ("spin", Err(Failure::Timeout(stopped))) => *stopped == SHORT,
            ("eat_memory", Err(Failure::OutOfMemory(bytes))) => *bytes == 8 << 20,
            _ => false,
        };
        assert!(is_right, "{place} {way}: {ended:?}");
        assert_eq!(call(&plugin, "echo").await.as_deref(), Ok("{}"), "{place} {way}: its tools work");
    }
}

#[tokio::test]
async fn before_the_call_is_accepted_there_is_nothing_to_act_on() {
    let mut settings = hooked("incoming", "act");
    settings.grants.calls = vec![switchboard::tool::plugin::Power::HangUp];
    settings
        .config
        .insert("needs".to_owned(), "hook incoming\nhook event\nhook ended\ncall hang-up".to_owned());
    let plugin = load(&settings).await;
    let answer = incoming(&plugin).await.expect("an answer");
    assert_eq!(answer.vars[1], ("act".to_owned(), "Err(Error::NoCall)".to_owned()));
}
