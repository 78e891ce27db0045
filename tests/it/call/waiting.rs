//! What the caller hears while a tool takes its time, and what becomes of what the caller says meanwhile.

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::event::{ErrorClass, ProviderEvent, SpeechPadding, TurnStatus, Wish};
use switchboard::call::terms::{Terms, ToolTerms};

use super::story::*;

fn tool_terms(terms: &mut Terms, name: &str, phrase: Option<&str>, interruptible: bool) {
    let say_first = phrase.map(str::to_owned);
    terms.tools.insert(name.to_owned(), ToolTerms { say_first, interruptible });
}

/// A live call whose `lookup` has a phrase, and whose turn t1 asked for it at 2,000 and said nothing.
fn asked_in_silence() -> Story {
    let mut story = Story::live(|terms| tool_terms(terms, "lookup", Some("少々お待ちください"), true));
    story.tell([(1_900, begins("t1")), (2_000, wants_lookup("t1", "a")), (2_100, done("t1"))]);
    story.skip();
    story
}

fn progress(tool_call: &str, words: &str) -> Event {
    wished(Some(tool_call), Wish::Progress(words.to_owned()))
}

fn confirmed() -> Event {
    Event::Provider(ProviderEvent::Configured { padding: SpeechPadding::default() })
}

#[test]
fn a_slow_tool_has_its_phrase_said_and_the_model_goes_on_after_its_answer() {
    let mut story = asked_in_silence();
    story.tell([
        (2_800, begins_as("t2", 1)),
        (2_900, says("t2", "少々お待ちください")),
        (2_950, plays("t2")),
        (3_000, done("t2")),
        (3_500, answers("a")),
        (3_550, acked("a")),
        (3_600, begins_as("t3", 3)),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.700 (deadline)
          - #1 prompt "Say exactly this to the caller, " without tools
    3.000 turn t2 ends: Completed
          - line Assistant 2.950–? Final 少々お待ちください
    3.500 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
          - #3 prompt
    "#);
}

#[test]
fn a_tool_that_answers_in_time_or_whose_turn_spoke_has_no_phrase() {
    let mut story = asked_in_silence();
    story.tell([(2_699, answers("a")), (2_750, begins_as("t2", 2)), (2_800, done("t2"))]);
    story.until(20_000);
    assert_snapshot!(story.log(), @r#"
    2.699 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
          - #2 prompt
    "#);
    let mut story = Story::live(|terms| tool_terms(terms, "lookup", Some("少々お待ちください"), true));
    story.tell([
        (1_900, begins("t1")),
        (1_950, says("t1", "お調べします")),
        (2_000, wants_lookup("t1", "a")),
        (2_100, done("t1")),
    ]);
    story.skip();
    story.until(20_000);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn the_answer_that_comes_while_the_phrase_is_on_its_way_is_spoken_about_once() {
    // Asked for, not begun: the answer overtakes it.
    let mut story = asked_in_silence();
    story.tell([
        (2_750, answers("a")),
        (2_760, begins_as("t2", 1)),
        (2_770, acked("a")),
        (2_900, done("t2")),
        (3_000, begins_as("t3", 3)),
        (3_500, done("t3")),
    ]);
    story.until(30_000);
    assert_snapshot!(story.log(), @r#"
    2.700 (deadline)
          - #1 prompt "Say exactly this to the caller, " without tools
    2.750 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
    2.900 turn t2 ends: Completed
          - #3 prompt
    "#);
    // At the very moment.
    let mut story = asked_in_silence();
    story.tell([(2_700, answers("a")), (2_710, acked("a"))]);
    assert_snapshot!(story.log(), @r#"
    2.700 (deadline)
          - #1 prompt "Say exactly this to the caller, " without tools
    2.700 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
    "#);
}

#[test]
fn a_phrase_is_not_repeated_when_it_was_refused_lost_or_cut() {
    let mut story = asked_in_silence();
    story.tell([
        (2_750, begins("t2")),
        (2_760, error(ErrorClass::TurnActive, Some(1))),
        (3_000, done("t2")),
        (4_000, answers("a")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.700 (deadline)
          - #1 prompt "Say exactly this to the caller, " without tools
    4.000 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
          - #3 prompt
    "#);
    let mut story = asked_in_silence();
    story.until(9_000);
    story.tell([(9_100, answers("a"))]);
    assert_snapshot!(story.log(), @r#"
    2.700 (deadline)
          - #1 prompt "Say exactly this to the caller, " without tools
    9.100 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
          - #3 prompt
    "#);
    let mut story = asked_in_silence();
    story.tell([(2_750, lost()), (3_300, attached()), (9_000, answers("a"))]);
    assert_snapshot!(story.log(), @r#"
    2.700 (deadline)
          - #1 prompt "Say exactly this to the caller, " without tools
    2.750 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    3.300 attached
          - note sideband.reattached {"detail":"550 ms"}
    9.000 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
          - #3 prompt
    "#);
    let mut story = asked_in_silence();
    story.tell([
        (2_750, begins_as("t2", 1)),
        (2_760, ends("t2", TurnStatus::Failed, &[])),
        (3_000, answers("a")),
    ]);
    story.until(4_000);
    assert_snapshot!(story.log(), @r#"
    2.700 (deadline)
          - #1 prompt "Say exactly this to the caller, " without tools
    2.760 turn t2 ends: Failed
          - note turn.cut
    3.000 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
          - #3 prompt
    "#);
}

#[test]
fn nobody_is_talked_over_by_a_phrase() {
    let mut story = asked_in_silence();
    story.tell([(2_300, hears("i1", 1_800)), (3_000, hears_end("i1", 2_500)), (3_010, begins("t2"))]);
    assert_snapshot!(story.log(), @"");
    // The caller's words start no turn: the phrase comes a moment after they pause.
    let mut story = asked_in_silence();
    story.tell([(2_300, hears("i1", 1_800)), (3_000, hears_end("i1", 2_500))]);
    story.until(5_000);
    assert_snapshot!(story.log(), @r#"
    4.000 (deadline)
          - #1 prompt "Say exactly this to the caller, " without tools
    "#);
}

#[test]
fn a_turn_that_leaves_has_no_phrase() {
    let mut story = Story::live(|terms| tool_terms(terms, "lookup", Some("少々お待ちください"), true));
    story.tell([
        (1_900, begins("t1")),
        (2_000, wants_lookup("t1", "a")),
        (2_050, wants("t1", "h", "hangup", "{}")),
        (2_100, done("t1")),
    ]);
    story.skip();
    story.until(5_000);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn how_far_a_tool_is_is_told_into_silence_and_not_too_often() {
    let mut story = Story::live(|_| {});
    story.tell([
        (1_900, begins("t1")),
        (1_950, plays("t1")),
        (2_000, wants_lookup("t1", "a")),
        (2_100, done("t1")),
    ]);
    story.skip();
    story.tell([
        (2_200, progress("a", "one of three")),
        (2_500, played("t1")),
        (2_600, begins_as("t2", 1)),
        (2_700, done("t2")),
        (3_000, progress("a", "two of three")),
        (4_000, progress("a", "nearly there")),
    ]);
    story.until(8_000);
    story.tell([
        (8_100, begins_as("t3", 2)),
        (8_200, done("t3")),
        (8_300, progress("a", "done")),
        (8_400, answers("a")),
        (8_450, acked("a")),
        (8_460, begins_as("t4", 4)),
        (8_500, done("t4")),
        (8_600, progress("a", "too late")),
    ]);
    story.until(30_000);
    assert_snapshot!(story.log(), @r#"
    2.200 (orders wants Progress("one of three"))
          - note wish.progress {"detail":"orders: one of three"}
    2.500 t1 was heard
          - #1 prompt "The caller is waiting for you. T" without tools
    3.000 (orders wants Progress("two of three"))
          - note wish.progress {"detail":"orders: two of three"}
    4.000 (orders wants Progress("nearly there"))
          - note wish.progress {"detail":"orders: nearly there"}
    7.500 (deadline)
          - #2 prompt "The caller is waiting for you. T" without tools
    8.300 (orders wants Progress("done"))
          - note wish.progress {"detail":"orders: done"}
    8.400 tool a answers
          - #3 output of a: {"answer":"a"}
          - tool a ok
          - #4 prompt
    8.600 (orders wants Progress("too late"))
          - note wish.ignored {"detail":"orders: progress of a tool that does not run"}
    "#);
}

#[test]
fn a_turn_that_begins_meanwhile_is_heard_instead_of_how_far_a_tool_is() {
    let mut story = Story::live(|_| {});
    story.tell([
        (1_900, begins("t1")),
        (2_000, wants_lookup("t1", "a")),
        (2_050, progress("a", "one of three")),
        (2_060, done("t1")),
    ]);
    story.skip();
    story.tell([(2_070, begins("t2")), (2_100, error(ErrorClass::TurnActive, Some(1))), (2_200, done("t2"))]);
    story.until(20_000);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn a_tool_that_is_not_to_be_spoken_over_defers_turns_until_it_has_answered() {
    let mut story = Story::live(|terms| {
        terms.turn_detection = turn_detection(false);
        tool_terms(terms, "lookup", None, false);
        tool_terms(terms, "other", None, false);
    });
    story.skip();
    story.tell([
        (1_900, begins("t1")),
        (2_000, wants_lookup("t1", "a")),
        (2_010, wants("t1", "b", "other", "{}")),
        (2_020, confirmed()),
        (2_100, done("t1")),
        (3_000, answers("a")),
        (4_000, answers("b")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.000 turn t1 wants a lookup
          - tool a running
          - run a lookup {}
          - #1 turn detection 0
    2.010 turn t1 wants b other
          - tool b running
          - run b other {}
    3.000 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
    4.000 tool b answers
          - #3 output of b: {"answer":"b"}
          - tool b ok
          - #4 turn detection 1
          - #5 prompt
    "#);
}

#[test]
fn turns_are_taken_again_after_a_loss_and_when_the_call_is_being_left() {
    let begun = || {
        let mut story = Story::live(|terms| {
            terms.turn_detection = turn_detection(false);
            tool_terms(terms, "lookup", None, false);
        });
        story.tell([(1_900, begins("t1")), (2_000, wants_lookup("t1", "a")), (2_100, done("t1"))]);
        story.skip();
        story
    };
    // The change may never have arrived; the tool answers while nobody can be told.
    let mut story = begun();
    story.tell([(2_200, lost()), (2_300, answers("a")), (2_800, attached())]);
    assert_snapshot!(story.log(), @r#"
    2.200 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    2.300 tool a answers
          - tool a ok
    2.800 attached
          - note sideband.reattached {"detail":"600 ms"}
          - #2 turn detection 1
          - #3 output of a: {"answer":"a"}
          - #4 prompt
    "#);
    // It arrived, and the tool still runs.
    let mut story = begun();
    story.tell([(2_150, confirmed()), (2_200, lost()), (2_800, attached()), (3_000, answers("a"))]);
    assert_snapshot!(story.log(), @r#"
    2.200 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    2.800 attached
          - note sideband.reattached {"detail":"600 ms"}
    3.000 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
          - #3 turn detection 1
          - #4 prompt
    "#);
    let mut story = begun();
    story.tell([(2_150, confirmed()), (2_200, wished(None, Wish::HangUp))]);
    assert_snapshot!(story.log(), @r#"
    2.200 (orders wants HangUp)
          - note wish.hang_up {"detail":"orders"}
          - #2 turn detection 1
          - #3 prompt "Say a short goodbye to the calle" without tools
    "#);
}

#[test]
fn a_session_without_turn_detection_has_none_to_defer() {
    let mut story = Story::live(|terms| tool_terms(terms, "lookup", None, false));
    story.tell([(1_900, begins("t1")), (2_000, wants_lookup("t1", "a")), (2_100, done("t1"))]);
    story.tell([(3_000, answers("a"))]);
    assert!(!story.log().contains("turn detection"));
}
