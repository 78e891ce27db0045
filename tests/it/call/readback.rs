//! What passed unseen while there was no sideband, and is asked for when it is there again.

use insta::assert_snapshot;
use switchboard::call::event::{ErrorClass, TurnStatus};
use switchboard::call::record::Speaker;

use super::story::*;

/// A tool was asked for and has answered; nobody has said yet that the answer arrived.
fn answered() -> Story {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a"))]);
    story.tell([(2_200, ends("t1", TurnStatus::Completed, &[])), (2_300, answers("a"))]);
    story
}

/// The caller has said hello.
fn greeted() -> Story {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, hears("i1", 1_500)), (2_600, hears_end("i1", 2_500))]);
    story.tell([(2_900, caller_says("i1", "hello"))]);
    story
}

fn gone_and_back(story: &mut Story, lost_at: u64, back_at: u64) {
    story.tell([(lost_at, lost()), (back_at, attached())]);
}

#[test]
fn an_answer_that_arrived_is_not_sent_again() {
    let mut story = answered();
    gone_and_back(&mut story, 2_310, 3_000);
    story.skip();
    story.tell([(3_100, acked("a"))]);
    assert_snapshot!(story.log(), @r#"
    3.100 output of a is in
          - #4 prompt
    "#);
    assert!(story.tools[&0].acknowledged);
}

#[test]
fn an_answer_that_was_lost_is_sent_again_and_the_model_goes_on() {
    let mut story = answered();
    story.skip();
    gone_and_back(&mut story, 2_310, 3_000);
    story.tell([(3_100, error(ErrorClass::BadCommand, Some(3)))]);
    assert_snapshot!(story.log(), @r#"
    2.310 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    3.000 attached
          - note sideband.reattached {"detail":"690 ms"}
          - #3 is the output of a there?
    3.100 error BadCommand of #3
          - #4 output of a: {"answer":"a"}
          - #5 prompt
    "#);
}

#[test]
fn a_provider_that_does_not_say_gets_the_answer_after_a_while() {
    let mut story = answered();
    gone_and_back(&mut story, 2_310, 3_000);
    story.skip();
    story.until(4_999);
    assert_snapshot!(story.log(), @"");
    story.until(5_001);
    assert_snapshot!(story.log(), @r#"
    5.000 (deadline)
          - #4 output of a: {"answer":"a"}
          - #5 prompt
    "#);
}

#[test]
fn words_whose_end_passed_unseen_are_asked_for() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, hears("i1", 1_500)), (2_900, hears_end("i1", 2_500))]);
    story.skip();
    gone_and_back(&mut story, 3_000, 4_000);
    story.tell([
        (4_100, read_back("i1", Speaker::Caller, "my order")),
        (4_200, caller_says("i1", "my order")),
    ]);
    assert_snapshot!(story.transcript(), @r#"
    Caller 2.000–2.500 Final my order
    "#);
    assert_snapshot!(story.log(), @r#"
    3.000 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    4.000 attached
          - note sideband.reattached {"detail":"1000 ms"}
          - #1 what is i1?
    4.100 ReadBack { item: i1, speaker: Caller, text: "my order" }
          - note transcript.read_back
          - line Caller 2.000–2.500 Final my order
    "#);
}

#[test]
fn what_was_said_last_while_nobody_listened_is_asked_for() {
    let mut story = greeted();
    gone_and_back(&mut story, 3_000, 6_000);
    story.skip();
    story.tell([(7_000, hears("i3", 6_500)), (7_500, hears_end("i3", 7_200)), (7_510, added("i3", "i2"))]);
    story.tell([(7_600, read_back("i2", Speaker::Caller, "are you there?"))]);
    story.tell([(7_700, caller_says("i3", "hello?")), (7_800, added("i4", "i9"))]);
    assert_snapshot!(story.log(), @r#"
    7.510 ItemAdded { item: i3, previous: Some(i2) }
          - #1 what is i2?
    7.600 ReadBack { item: i2, speaker: Caller, text: "are you there?" }
          - note transcript.read_back
          - line Caller 5.500–? Final are you there?
    7.700 caller's words (i3) hello?
          - line Caller 6.900–7.100 Final hello?
    "#);
    assert_snapshot!(story.transcript(), @r#"
    Caller 1.900–2.400 Final hello
    Caller 5.500–? Final are you there?
    Caller 6.900–7.100 Final hello?
    "#);
}

#[test]
fn what_passed_unseen_stands_before_all_that_began_since() {
    let mut story = greeted();
    gone_and_back(&mut story, 3_000, 6_000);
    // The caller goes on at once, and an item of the assistant is the first that is added.
    story.tell([(6_250, hears("i3", 6_200)), (7_000, added("a1", "i2"))]);
    story.tell([(7_100, read_back("i2", Speaker::Caller, "are you there?"))]);
    story.tell([(7_500, hears_end("i3", 7_200)), (7_700, caller_says("i3", "hello?"))]);
    assert_snapshot!(story.transcript(), @r#"
    Caller 1.900–2.400 Final hello
    Caller 5.500–? Final are you there?
    Caller 6.050–7.100 Final hello?
    "#);
}

#[test]
fn what_is_known_or_not_there_is_passed_over() {
    let mut story = greeted();
    gone_and_back(&mut story, 3_000, 4_000);
    story.skip();
    story.tell([(5_000, added("i2", "i1"))]);
    assert_snapshot!(story.log(), @"");
    gone_and_back(&mut story, 6_000, 7_000);
    story.skip();
    story.tell([(8_000, added("i3", "i7")), (8_100, error(ErrorClass::BadCommand, Some(1)))]);
    story.tell([
        (8_200, read_back("i1", Speaker::Caller, "hello")),
        (8_300, read_back("i8", Speaker::Caller, "")),
    ]);
    assert_snapshot!(story.log(), @r#"
    8.000 ItemAdded { item: i3, previous: Some(i7) }
          - #1 what is i7?
    "#);
    assert_snapshot!(story.transcript(), @r#"
    Caller 1.900–2.400 Final hello
    "#);
}
