//! What comes in floods is bounded: runs, records, notes, lines, commands.

use switchboard::call::Event;
use switchboard::call::event::{
    Action, ErrorClass, Keep, ProviderCommand, ProviderEvent, TextMode, TurnStatus,
};
use switchboard::call::record::ToolOutcomeKind;

use super::story::*;

/// Feeds the events and counts the actions that `count` claims.
fn count(story: &mut Story, events: impl Iterator<Item = Event>, count: fn(&Action) -> bool) -> usize {
    let mut counted = 0;
    for event in events {
        counted += story.call.step(event, at(2_000)).iter().filter(|action| count(action)).count();
    }
    counted
}

fn is_run(action: &Action) -> bool {
    matches!(action, Action::RunTool { .. })
}

fn is_tool_record(action: &Action) -> bool {
    matches!(action, Action::Keep(Keep::ToolCall(_)))
}

fn is_line(action: &Action) -> bool {
    matches!(action, Action::Keep(Keep::Line(_)))
}

fn is_note(action: &Action) -> bool {
    matches!(action, Action::Keep(Keep::Event(_)))
}

fn is_prompt(action: &Action) -> bool {
    matches!(action, Action::Send(_, ProviderCommand::PromptTurn { .. }))
}

#[test]
fn a_model_in_a_loop_is_refused_and_then_not_heard() {
    let mut story = Story::live(|terms| terms.tool_calls_max = 10);
    let wants = |from: usize| (from..from + 5_000).map(|n| wants_lookup("t1", &format!("call-{n}")));
    assert_eq!(count(&mut story, wants(0), is_run), 10);
    assert_eq!(count(&mut story, wants(5_000), is_tool_record), 0);
    assert_eq!(story.call.record.counts.tool_calls, 42);
}

#[test]
fn a_model_that_used_up_its_tool_calls_must_speak_and_may_still_hang_up() {
    let mut story = Story::live(|terms| terms.tool_calls_max = 1);
    story.tell([
        (2_000, begins("t1")),
        (2_100, wants_lookup("t1", "a")),
        (2_110, wants_lookup("t1", "b")),
        (2_120, done("t1")),
        (2_200, answers("a")),
        (2_300, begins_as("t2", 3)),
        (2_400, wants("t2", "h", "hangup", "{}")),
        (2_500, done("t2")),
    ]);
    insta::assert_snapshot!(story.log(), @r#"
    2.100 turn t1 wants a lookup
          - tool a running
          - run a lookup {}
    2.110 turn t1 wants b lookup
          - tool b running
          - #1 output of b: {"error":"cancelled","message":"too many tool calls; go on without"}
          - tool b cancelled
    2.200 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
          - #3 prompt without tools
    2.400 turn t2 wants h hangup
          - tool h running
          - #4 output of h: {"ok":true}
          - tool h ok
    2.500 turn t2 ends: Completed
          - #5 prompt "Say a short goodbye to the calle" without tools
    "#);
}

#[test]
fn arguments_beyond_reason_are_refused_and_not_kept_whole() {
    let mut story = Story::live(|_| {});
    let long = format!("\"{}\"", "あ".repeat(40_000));
    story.tell([(2_000, wants("t1", "a", "lookup", &long))]);
    let record = story.tools.get(&0).expect("a record");
    assert_eq!(record.outcome, Some(ToolOutcomeKind::InvalidArguments));
    assert_eq!(record.arguments.len(), 65_536);
}

#[test]
fn unknown_words_and_errors_leave_room_for_what_matters() {
    let mut story = Story::live(|_| {});
    let unknown = (0..5_000).map(|n| Event::Provider(ProviderEvent::Unknown { kind: format!("new.{n}") }));
    assert_eq!(count(&mut story, unknown, is_note), 400);
    assert_eq!(count(&mut story, (0..5_000).map(|_| error(ErrorClass::Other, None)), is_note), 0);
    assert_eq!(count(&mut story, std::iter::once(lost()), is_note), 1);
}

#[test]
fn utterances_and_turns_without_end_leave_the_oldest_as_they_stand() {
    let mut story = Story::live(|_| {});
    let hears = (0..1_000).map(|n| hears(&format!("i{n}"), 100));
    assert_eq!(count(&mut story, hears, is_line), 1_000 - 32);
    let says = (0..1_000).map(|n| says(&format!("t{n}"), "はい"));
    assert_eq!(count(&mut story, says, is_line), 1_000 - 32);
    story.call.step(hang_up(), at(2_000));
    assert_eq!(count(&mut story, std::iter::once(lost()), is_line), 64);
}

#[test]
fn a_turn_in_a_thousand_items_is_one_bounded_line() {
    let mut story = Story::live(|_| {});
    for n in 0..1_000 {
        let words = ProviderEvent::AssistantTranscript {
            turn: "t1".into(),
            item: format!("item-{n}").into(),
            text: "あ".repeat(1_000),
            mode: TextMode::Append,
        };
        story.call.step(Event::Provider(words), at(2_000));
    }
    story.tell([(3_000, done("t1"))]);
    assert!((60_000..=65_536).contains(&story.lines[&0].text.len()), "{}", story.lines[&0].text.len());
}

#[test]
fn a_provider_that_refuses_every_request_is_not_pressed() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, wants_lookup("t1", "a")),
        (2_200, done("t1")),
        (2_300, answers("a")),
    ]);
    let refusals = (2..1_000).map(|command| error(ErrorClass::TurnActive, Some(command)));
    assert_eq!(count(&mut story, refusals, is_prompt), 0);
}

#[test]
fn a_tool_call_of_every_turn_is_at_most_one_prompt_each() {
    let mut story = Story::live(|terms| terms.tool_calls_max = 3);
    let mut prompts = 0;
    for n in 0..200 {
        let (turn, call) = (format!("t{n}"), format!("c{n}"));
        let turn_of_tools = [
            begins(&turn),
            ends(&turn, TurnStatus::Completed, &[(&call, "lookup", "{}")]),
            answers(&call),
            acked(&call),
        ];
        prompts += count(&mut story, turn_of_tools.into_iter(), is_prompt);
    }
    assert!(prompts <= 35, "{prompts}");
}
