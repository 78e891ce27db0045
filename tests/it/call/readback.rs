//! What passed unseen while there was no sideband, and is asked for when it is there again.

use insta::assert_snapshot;
use switchboard::call::event::{ErrorClass, TurnStatus};
use switchboard::call::record::Speaker;

use super::story::*;

fn gone_and_back(story: &mut Story, lost_at: u64, back_at: u64) {
    story.tell([(lost_at, lost()), (back_at, attached())]);
}

#[test]
fn an_answer_that_arrived_is_not_sent_again() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a"))]);
    story.tell([(2_200, ends("t1", TurnStatus::Completed, &[])), (2_300, answers("a"))]);
    gone_and_back(&mut story, 2_310, 3_000);
    story.skip();
    story.tell([(3_100, acked("a"))]);
    assert_snapshot!(story.log(), @"");
    assert!(story.tools[&0].acknowledged);
}

#[test]
fn an_answer_that_was_lost_is_sent_again_and_the_model_goes_on() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a"))]);
    story.tell([(2_200, ends("t1", TurnStatus::Completed, &[])), (2_300, answers("a"))]);
    story.skip();
    gone_and_back(&mut story, 2_310, 3_000);
    story.tell([(3_100, error(ErrorClass::BadCommand, Some(3)))]);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn a_provider_that_does_not_say_gets_the_answer_after_a_while() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a"))]);
    story.tell([(2_200, ends("t1", TurnStatus::Completed, &[])), (2_300, answers("a"))]);
    gone_and_back(&mut story, 2_310, 3_000);
    story.skip();
    story.until(4_999);
    assert_snapshot!(story.log(), @"");
    story.until(5_001);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn words_whose_end_passed_unseen_are_asked_for() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, hears("i1", 1_500)), (2_900, hears_end("i1", 2_500))]);
    story.skip();
    gone_and_back(&mut story, 3_000, 4_000);
    story.tell([(4_100, read_back("i1", Speaker::Caller, "my order")), (4_200, caller_says("i1", "my order"))]);
    assert_snapshot!(story.transcript(), @"");
    assert_snapshot!(story.log(), @"");
}

#[test]
fn what_was_said_last_while_nobody_listened_is_asked_for() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, hears("i1", 1_500)), (2_600, hears_end("i1", 2_500))]);
    story.tell([(2_900, caller_says("i1", "hello"))]);
    gone_and_back(&mut story, 3_000, 6_000);
    story.skip();
    story.tell([(7_000, hears("i3", 6_500)), (7_500, hears_end("i3", 7_200)), (7_510, added("i3", "i2"))]);
    story.tell([(7_600, read_back("i2", Speaker::Caller, "are you there?"))]);
    story.tell([(7_700, caller_says("i3", "hello?")), (7_800, added("i4", "i9"))]);
    assert_snapshot!(story.log(), @"");
    assert_snapshot!(story.transcript(), @"");
}

#[test]
fn what_is_known_or_not_there_is_passed_over() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, hears("i1", 1_500)), (2_600, hears_end("i1", 2_500))]);
    story.tell([(2_900, caller_says("i1", "hello"))]);
    gone_and_back(&mut story, 3_000, 4_000);
    story.skip();
    story.tell([(5_000, added("i2", "i1"))]);
    assert_snapshot!(story.log(), @"");
    gone_and_back(&mut story, 6_000, 7_000);
    story.skip();
    story.tell([(8_000, added("i3", "i7")), (8_100, error(ErrorClass::BadCommand, Some(1)))]);
    story.tell([(8_200, read_back("i1", Speaker::Caller, "hello")), (8_300, read_back("i8", Speaker::Caller, ""))]);
    assert_snapshot!(story.log(), @"");
    assert_snapshot!(story.transcript(), @"");
}
