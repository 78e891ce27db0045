//! Tool calls: each runs once, each is answered, then the model is asked to go on exactly once.

use insta::assert_snapshot;
use switchboard::call::event::{ErrorClass, TurnStatus};
use switchboard::call::terms::Greeting;

use super::story::*;

/// A live call in which turn t1 wants the lookup `a` at 2,000; its log begins there.
fn one_lookup() -> Story {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a"))]);
    story
}

/// The same, and the turn has ended.
fn lookup_of_an_ended_turn() -> Story {
    let mut story = one_lookup();
    story.tell([(2_200, ends("t1", TurnStatus::Completed, &[("a", "lookup", "{}")]))]);
    story.skip();
    story
}

#[test]
fn a_tool_runs_once_is_answered_and_the_model_goes_on() {
    let mut story = one_lookup();
    story.tell([
        (2_200, ends("t1", TurnStatus::Completed, &[("a", "lookup", "{}")])),
        (2_500, answers("a")),
        (2_550, acked("a")),
        (2_600, begins_as("t2", 2)),
        (2_700, done("t2")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.100 turn t1 wants a lookup
          - tool a running
          - run a lookup {}
    2.500 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
          - #2 prompt
    "#);
}

#[test]
fn a_tool_that_answers_before_its_turn_ends_waits_for_the_end() {
    let mut story = one_lookup();
    story.skip();
    story.tell([(2_120, answers("a")), (2_150, acked("a")), (2_200, done("t1"))]);
    assert_snapshot!(story.log(), @r#"
    2.120 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
    2.200 turn t1 ends: Completed
          - #2 prompt
    "#);
}

#[test]
fn tools_that_run_in_parallel_are_answered_in_any_order_and_continued_once() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, wants_lookup("t1", "a")),
        (2_110, wants_lookup("t1", "b")),
        (2_120, wants_lookup("t1", "c")),
        (2_200, done("t1")),
        (2_300, answers("c")),
        (2_400, answers("a")),
        (2_450, acked("c")),
        (2_460, acked("a")),
        (2_500, answers("b")),
        (2_550, acked("b")),
        (2_600, begins_as("t2", 4)),
        (3_000, done("t2")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.100 turn t1 wants a lookup
          - tool a running
          - run a lookup {}
    2.110 turn t1 wants b lookup
          - tool b running
          - run b lookup {}
    2.120 turn t1 wants c lookup
          - tool c running
          - run c lookup {}
    2.300 tool c answers
          - #1 output of c: {"answer":"c"}
          - tool c ok
    2.400 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
    2.500 tool b answers
          - #3 output of b: {"answer":"b"}
          - tool b ok
          - #4 prompt
    "#);
}

#[test]
fn a_request_that_comes_twice_runs_once() {
    let mut story = one_lookup();
    story.tell([
        (2_110, wants_lookup("t1", "a")),
        (2_200, ends("t1", TurnStatus::Completed, &[("a", "lookup", "{}"), ("b", "lookup", "{}")])),
        (2_300, answers("a")),
        (2_310, answers("a")),
        (2_400, answers("b")),
        (2_500, wants_lookup("t1", "a")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.100 turn t1 wants a lookup
          - tool a running
          - run a lookup {}
    2.200 turn t1 ends: Completed
          - tool b running
          - run b lookup {}
    2.300 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
    2.400 tool b answers
          - #2 output of b: {"answer":"b"}
          - tool b ok
          - #3 prompt
    "#);
}

#[test]
fn the_callers_turn_that_saw_the_answer_needs_no_other() {
    let mut story = lookup_of_an_ended_turn();
    story.tell([
        (2_300, begins("t2")),
        (2_350, done("t2")),
        (2_400, begins("t3")),
        (2_500, answers("a")),
        (2_550, acked("a")),
        (2_600, cancelled("t3")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.500 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
    2.600 turn t3 ends: Cancelled
          - #2 prompt
    "#);
    let mut story = lookup_of_an_ended_turn();
    story.tell([
        (2_500, begins("t2")),
        (2_600, answers("a")),
        (2_650, acked("a")),
        (2_660, done("t2")),
        (2_670, begins("t3")),
        (2_680, error(ErrorClass::TurnActive, Some(2))),
        (2_800, done("t3")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.600 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
    2.660 turn t2 ends: Completed
          - #2 prompt
    "#);
}

#[test]
fn a_continuation_waits_for_the_running_turn() {
    let mut story = lookup_of_an_ended_turn();
    story.tell([(2_300, begins("t2")), (2_400, answers("a")), (2_450, acked("a")), (3_000, done("t2"))]);
    assert_snapshot!(story.log(), @r#"
    2.400 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
    3.000 turn t2 ends: Completed
          - #2 prompt
    "#);
}

#[test]
fn a_continuation_that_lost_a_race_is_asked_for_again() {
    let mut story = lookup_of_an_ended_turn();
    // The provider began t2 before our answer arrived there: t2 has not seen it.
    story.tell([
        (2_500, answers("a")),
        (2_510, begins("t2")),
        (2_550, acked("a")),
        (2_560, error(ErrorClass::TurnActive, Some(2))),
        (3_000, done("t2")),
        (3_050, begins_as("t3", 3)),
        (3_500, done("t3")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.500 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
          - #2 prompt
    3.000 turn t2 ends: Completed
          - #3 prompt
    "#);
}

#[test]
fn a_continuation_that_never_began_is_asked_for_again_but_not_for_ever() {
    let mut story = lookup_of_an_ended_turn();
    story.tell([(2_500, answers("a")), (2_550, acked("a"))]);
    story.until(60_000);
    assert_snapshot!(story.log(), @r#"
     2.500 tool a answers
           - #1 output of a: {"answer":"a"}
           - tool a ok
           - #2 prompt
     7.500 (deadline)
           - #3 prompt
    12.500 (deadline)
           - #4 prompt
    "#);
}

#[test]
fn a_continuation_lost_with_the_sideband_is_asked_for_again() {
    let mut story = lookup_of_an_ended_turn();
    story.tell([(2_500, answers("a")), (2_600, lost()), (3_200, attached()), (3_300, acked("a"))]);
    assert_snapshot!(story.log(), @r#"
    2.500 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
          - #2 prompt
    2.600 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    3.200 attached
          - note sideband.reattached {"detail":"600 ms"}
          - #3 is the output of a there?
    3.300 output of a is in
          - #4 prompt
    "#);
}

#[test]
fn a_turn_that_still_runs_after_the_sideband_came_back_is_waited_for() {
    let mut story = lookup_of_an_ended_turn();
    story.tell([
        (2_300, begins("t2")),
        (2_400, lost()),
        (2_500, answers("a")),
        (3_000, attached()),
        (3_050, acked("a")),
        (3_060, error(ErrorClass::TurnActive, Some(2))),
        (3_500, done("t2")),
        (3_600, begins_as("t3", 3)),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.400 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    2.500 tool a answers
          - tool a ok
    3.000 attached
          - note sideband.reattached {"detail":"600 ms"}
          - #1 output of a: {"answer":"a"}
          - #2 prompt
    3.500 turn t2 ends: Completed
          - #3 prompt
    "#);
}

#[test]
fn a_refusal_without_a_turn_that_was_seen_is_not_answered_at_once() {
    let mut story = lookup_of_an_ended_turn();
    story.tell([(2_500, answers("a")), (2_550, acked("a")), (2_560, error(ErrorClass::TurnActive, Some(2)))]);
    assert_snapshot!(story.log(), @r#"
    2.500 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
          - #2 prompt
    "#);
    story.until(4_600);
    assert_snapshot!(story.log(), @"
    4.560 (deadline)
          - #3 prompt
    ");
}

#[test]
fn a_request_the_provider_did_not_understand_is_not_made_again() {
    let mut story = lookup_of_an_ended_turn();
    story.tell([(2_500, answers("a")), (2_600, error(ErrorClass::BadCommand, Some(2)))]);
    story.until(60_000);
    assert_snapshot!(story.log(), @r#"
    2.500 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
          - #2 prompt
    2.600 error BadCommand of #2
          - note provider.error {"detail":"some_code: some text"}
    "#);
}

#[test]
fn a_provider_at_its_limit_is_asked_again_later() {
    let mut story = lookup_of_an_ended_turn();
    story.tell([(2_500, answers("a")), (2_600, error(ErrorClass::Capacity, Some(2)))]);
    story.until(7_500);
    story.tell([(7_600, begins_as("t2", 3))]);
    assert_snapshot!(story.log(), @r#"
    2.500 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
          - #2 prompt
    2.600 error Capacity of #2
          - note provider.error {"detail":"some_code: some text"}
    7.500 (deadline)
          - #3 prompt
    "#);
}

#[test]
fn answers_wait_for_the_sideband_and_are_sent_again_unless_they_arrived() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, wants_lookup("t1", "arrived")),
        (2_110, wants_lookup("t1", "on its way")),
        (2_120, wants_lookup("t1", "not yet")),
        (2_200, done("t1")),
        (2_300, answers("arrived")),
        (2_310, acked("arrived")),
        (2_400, answers("on its way")),
        (2_410, lost()),
        (2_600, answers("not yet")),
    ]);
    story.skip();
    story.tell([
        (3_000, attached()),
        (3_100, acked("on its way")),
        (3_110, acked("not yet")),
        (3_200, begins_as("t2", 6)),
    ]);
    assert_snapshot!(story.log(), @r#"
    3.000 attached
          - note sideband.reattached {"detail":"590 ms"}
          - #3 is the output of on its way there?
          - #4 output of not yet: {"answer":"not yet"}
    3.100 output of on its way is in
          - #5 prompt
    "#);
}

#[test]
fn only_the_tool_calls_that_a_cut_turn_completed_run() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, cancelled("t1")),
        (3_000, begins("t2")),
        (3_100, ends("t2", TurnStatus::Incomplete, &[("a", "lookup", "{}")])),
        (3_200, answers("a")),
    ]);
    assert_snapshot!(story.log(), @r#"
    3.100 turn t2 ends: Incomplete
          - tool a running
          - run a lookup {}
          - note turn.cut
    3.200 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
          - #2 prompt
    "#);
}

#[test]
fn a_tool_that_ran_for_a_turn_that_was_cut_is_answered_all_the_same() {
    let mut story = one_lookup();
    story.tell([(2_200, cancelled("t1")), (2_210, begins("t2")), (2_500, answers("a")), (3_000, done("t2"))]);
    assert_snapshot!(story.log(), @r#"
    2.100 turn t1 wants a lookup
          - tool a running
          - run a lookup {}
    2.500 tool a answers
          - #1 output of a: {"answer":"a"}
          - tool a ok
    3.000 turn t2 ends: Completed
          - #2 prompt
    "#);
}

#[test]
fn what_runs_at_the_end_is_cancelled_and_what_comes_after_is_nothing() {
    let mut story = one_lookup();
    story.skip();
    story.tell([
        (2_200, hang_up()),
        (2_300, lost()),
        (2_400, answers("a")),
        (2_500, wants_lookup("t1", "b")),
    ]);
    assert_snapshot!(story.log(), @"
    2.200 the operator hangs up
          - hang up
    2.300 sideband lost 1006
          - tool a cancelled
          - ended operator
    ");
}

#[test]
fn an_answer_nobody_asked_for_is_nothing() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, answers("a")), (2_100, acked("a"))]);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn a_turn_that_fails_before_a_word_is_asked_for_once_more() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, ends("t1", TurnStatus::Failed, &[]))]);
    story.until(5_000);
    story.tell([(5_010, begins_as("t2", 1)), (5_100, ends("t2", TurnStatus::Failed, &[]))]);
    story.until(30_000);
    assert_snapshot!(story.log(), @"
    2.100 turn t1 ends: Failed
          - note turn.cut
    3.100 (deadline)
          - #1 prompt
    5.100 turn t2 ends: Failed
          - note turn.cut
    ");
}

#[test]
fn a_turn_of_the_caller_speaks_where_the_failed_one_did_not() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, ends("t1", TurnStatus::Failed, &[])),
        (2_500, begins("t2")),
        (3_000, done("t2")),
    ]);
    story.until(30_000);
    assert_snapshot!(story.log(), @"
    2.100 turn t1 ends: Failed
          - note turn.cut
    ");
}

#[test]
fn a_request_that_comes_too_early_often_is_made_all_the_same() {
    let mut story = Story::live(|terms| terms.greeting = Greeting::Prompt("録音します".into()));
    for command in 1..=5 {
        let now = command * 1_000;
        let turn = format!("t{command}");
        story.tell([
            (now + 10, begins(&turn)),
            (now + 20, error(ErrorClass::TurnActive, Some(command))),
            (now + 100, done(&turn)),
        ]);
    }
    assert_eq!(story.log().matches("prompt").count(), 6);
}

// === tools of remote servers, which the provider runs itself ===

/// A live call whose turn t1 begins at 2,000, calls a remote tool and ends.
fn remote_tool_of_an_ended_turn(is_ok: bool) -> Story {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, remote_tool(is_ok)), (2_200, done("t1"))]);
    story.skip();
    story
}

#[test]
fn what_a_remote_tool_answers_is_said() {
    let mut story = remote_tool_of_an_ended_turn(true);
    story.until(3_000);
    assert_snapshot!(story.log(), @"
    2.500 (deadline)
          - #1 prompt
    ");
    // A tool that failed is apologised for.
    let mut story = remote_tool_of_an_ended_turn(false);
    story.until(3_000);
    assert_snapshot!(story.log(), @"
    2.500 (deadline)
          - #1 prompt
    ");
}

#[test]
fn a_model_that_goes_on_by_itself_after_a_remote_tool_is_not_asked_to() {
    let mut story = remote_tool_of_an_ended_turn(true);
    story.tell([(2_300, begins("t2")), (2_400, says_on("t2", "two")), (2_900, done("t2"))]);
    story.until(5_000);
    assert_snapshot!(story.log(), @"
    2.900 turn t2 ends: Completed
          - line Assistant 2.400–? Final two
    ");
    // Or in the same turn.
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, remote_tool(true)),
        (2_150, says_on("t1", "two")),
        (2_200, done("t1")),
    ]);
    story.until(5_000);
    assert_snapshot!(story.log(), @"
    2.200 turn t1 ends: Completed
          - line Assistant 2.150–? Final two
    ");
}

#[test]
fn a_caller_who_takes_the_word_after_a_remote_tool_is_not_talked_over() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, remote_tool(true)),
        (2_150, hears("i1", 2_000)),
        (2_200, ends("t1", TurnStatus::Cancelled, &[])),
    ]);
    story.until(5_000);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn remote_tools_count_among_the_tool_calls_of_a_call() {
    let mut story = Story::live(|terms| terms.tool_calls_max = 1);
    story.tell([
        (2_000, begins("t1")),
        (2_100, remote_tool(true)),
        (2_110, remote_tool(true)),
        (2_200, done("t1")),
    ]);
    story.until(3_000);
    assert_snapshot!(story.log(), @"
    2.500 (deadline)
          - #1 prompt without tools
    ");
}
