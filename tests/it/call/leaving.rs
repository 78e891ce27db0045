//! How a call is left on purpose: goodbyes, transfers, an operator.

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::event::{AcceptAnswer, AttachFailure, CarrierEvent, ErrorClass, TurnStatus, Verdict};
use switchboard::call::record::HandedBy;

use super::story::*;

/// A live call in whose turn t1 the model says goodbye and hangs up; the turn ended at 2,200.
fn goodbye_is_said() -> Story {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_050, plays("t1")),
        (2_100, says("t1", "失礼いたします")),
        (2_150, wants("t1", "h", "hangup", "{}")),
        (2_200, ends("t1", TurnStatus::Completed, &[("h", "hangup", "{}")])),
    ]);
    story.skip();
    story
}

/// A live call whose model called `hangup` without a word; it was asked for a goodbye at 2,200.
fn goodbye_is_missing() -> Story {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_150, wants("t1", "h", "hangup", "{}")),
        (2_200, ends("t1", TurnStatus::Completed, &[("h", "hangup", "{}")])),
    ]);
    story.skip();
    story
}

/// A live call in which the model transfers to sales; the provider was asked at 3,300.
fn transfer_is_asked() -> Story {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_050, plays("t1")),
        (2_100, says("t1", "おつなぎします")),
        (2_150, wants("t1", "x", "transfer", r#"{"to":"sales"}"#)),
        (2_200, done("t1")),
        (3_000, played("t1")),
    ]);
    story.until(3_300);
    story
}

#[test]
fn the_goodbye_is_heard_before_the_line_goes() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_050, plays("t1")),
        (2_100, says("t1", "失礼いたします")),
        (2_150, wants("t1", "h", "hangup", "{}")),
        (2_200, ends("t1", TurnStatus::Completed, &[("h", "hangup", "{}")])),
        (2_250, acked("h")),
        (14_000, played("t1")),
    ]);
    story.until(14_400);
    story.tell([(14_500, lost())]);
    assert_snapshot!(story.log(), @r#"
     2.150 turn t1 wants h hangup
           - tool h running
           - #1 output of h: {"ok":true}
           - tool h ok
     2.200 turn t1 ends: Completed
           - line Assistant 2.050–? Final 失礼いたします
    14.000 t1 was heard
           - line Assistant 2.050–14.000 Final 失礼いたします
    14.300 (deadline)
           - hang up
    14.500 sideband lost 1006
           - ended assistant_hangup
    "#);
}

#[test]
fn a_goodbye_is_asked_for_when_there_was_none() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_150, wants("t1", "h", "hangup", "{}")),
        (2_200, ends("t1", TurnStatus::Completed, &[("h", "hangup", "{}")])),
        (2_300, begins_as("t2", 2)),
        (2_350, says("t2", "失礼いたします")),
        (2_400, done("t2")),
        (2_450, plays("t2")),
        (4_000, played("t2")),
    ]);
    story.until(4_400);
    story.tell([(4_500, lost())]);
    assert_snapshot!(story.log(), @r#"
    2.150 turn t1 wants h hangup
          - tool h running
          - #1 output of h: {"ok":true}
          - tool h ok
    2.200 turn t1 ends: Completed
          - #2 prompt "Say a short goodbye to the calle" without tools
    2.400 turn t2 ends: Completed
          - line Assistant 2.350–? Final 失礼いたします
    4.000 t2 was heard
          - line Assistant 2.450–4.000 Final 失礼いたします
    4.300 (deadline)
          - hang up
    4.500 sideband lost 1006
          - ended assistant_hangup
    "#);
}

#[test]
fn an_assistant_without_a_goodbye_is_not_asked_twice() {
    let mut story = goodbye_is_missing();
    story.tell([(2_300, begins_as("t2", 2)), (2_400, done("t2"))]);
    story.until(3_000);
    assert_snapshot!(story.log(), @"
    2.700 (deadline)
          - hang up
    ");
    let mut story = goodbye_is_missing();
    story.tell([(2_300, error(ErrorClass::BadCommand, Some(2)))]);
    story.until(3_000);
    assert_snapshot!(story.log(), @r#"
    2.300 error BadCommand of #2
          - note provider.error {"detail":"some_code: some text"}
    2.300 (deadline)
          - hang up
    "#);
}

#[test]
fn a_goodbye_that_never_begins_is_not_waited_for() {
    let mut story = goodbye_is_missing();
    story.until(60_000);
    assert_snapshot!(story.log(), @r#"
     7.200 (deadline)
           - #3 prompt "Say a short goodbye to the calle" without tools
    12.200 (deadline)
           - hang up
    17.200 (deadline)
           - ended assistant_hangup: the provider did not end it
    "#);
}

#[test]
fn a_caller_who_speaks_into_the_goodbye_is_not_hung_up_on() {
    let mut story = goodbye_is_said();
    story.tell([(2_500, hears("i1", 1_800)), (2_510, cut("t1")), (3_500, begins("t2")), (4_000, done("t2"))]);
    story.until(60_000);
    assert_snapshot!(story.log(), @"
    2.510 t1 was cut
          - line Assistant 2.050–2.510 Interrupted 失礼いたします
    ");
    // Cut while it was still being made.
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_050, plays("t1")),
        (2_100, says("t1", "失礼")),
        (2_150, wants("t1", "h", "hangup", "{}")),
        (2_200, cut("t1")),
        (2_210, done("t1")),
    ]);
    story.skip();
    story.until(60_000);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn a_goodbye_that_nobody_wants_any_more_is_not_said() {
    let mut story = goodbye_is_missing();
    story.tell([(2_210, begins("t2")), (2_250, error(ErrorClass::TurnActive, Some(2))), (3_000, done("t2"))]);
    story.until(60_000);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn a_goodbye_whose_end_is_never_reported_is_not_waited_for() {
    let mut story = goodbye_is_said();
    story.until(120_000);
    assert_snapshot!(story.log(), @"
    32.200 (deadline)
           - hang up
    37.200 (deadline)
           - line Assistant 2.050–37.200 Interrupted 失礼いたします
           - ended assistant_hangup: the provider did not end it
    ");
}

#[test]
fn a_turn_that_hangs_up_and_never_ends_is_not_waited_for() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_150, wants("t1", "h", "hangup", "{}"))]);
    story.skip();
    story.until(120_000);
    assert_snapshot!(story.log(), @"
    62.150 (deadline)
           - hang up
    67.150 (deadline)
           - ended assistant_hangup: the provider did not end it
    ");
}

#[test]
fn a_goodbye_lost_with_the_sideband_still_ends_the_call() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_150, wants("t1", "h", "hangup", "{}")),
        (2_200, lost()),
        (2_800, attached()),
    ]);
    story.skip();
    story.until(60_000);
    assert_snapshot!(story.log(), @r#"
     4.800 (deadline)
           - #3 output of h: {"ok":true}
    12.200 (deadline)
           - hang up
    17.200 (deadline)
           - ended assistant_hangup: the provider did not end it
    "#);
}

#[test]
fn what_else_a_turn_that_hangs_up_wanted_does_not_hold_the_line() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_050, says("t1", "失礼いたします")),
        (2_100, wants_lookup("t1", "a")),
        (2_150, wants("t1", "h", "hangup", "{}")),
        (2_200, done("t1")),
        (2_300, answers("a")),
        (2_400, plays("t1")),
        (4_000, played("t1")),
    ]);
    story.skip();
    story.until(10_000);
    assert_snapshot!(story.log(), @"
    4.300 (deadline)
          - hang up
    9.300 (deadline)
          - ended assistant_hangup: the provider did not end it
    ");
}

#[test]
fn a_transfer_waits_for_its_words_and_ends_the_call() {
    let mut story = transfer_is_asked();
    story.tell([(3_400, Event::ReferAnswered(Ok(()))), (4_000, lost())]);
    assert_snapshot!(story.log(), @r#"
    2.150 turn t1 wants x transfer
          - tool x running
          - #1 output of x: {"ok":true}
          - tool x ok
    2.200 turn t1 ends: Completed
          - line Assistant 2.050–? Final おつなぎします
    3.000 t1 was heard
          - line Assistant 2.050–3.000 Final おつなぎします
    3.300 (deadline)
          - note transfer.asked
          - refer to tel:+81300000001
    3.400 refer taken
          - note transfer.accepted
    4.000 sideband lost 1006
          - ended transferred
    "#);
}

#[test]
fn a_transfer_without_a_word_is_announced() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants("t1", "x", "transfer", "{}")), (2_200, done("t1"))]);
    assert_snapshot!(story.log(), @r#"
    2.100 turn t1 wants x transfer
          - tool x running
          - #1 output of x: {"ok":true}
          - tool x ok
    2.200 turn t1 ends: Completed
          - #2 prompt "Tell the caller in one short sen" without tools
    "#);
}

#[test]
fn a_transfer_to_nowhere_is_answered_with_what_there_is() {
    let mut story = Story::live(|terms| {
        terms.transfer_targets.insert("support".into(), "tel:+81300000002".into());
    });
    story.tell([
        (2_000, begins("t1")),
        (2_100, wants("t1", "x", "transfer", r#"{"to":"the moon"}"#)),
        (2_110, wants("t1", "y", "transfer", "not json")),
        (2_200, done("t1")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.100 turn t1 wants x transfer
          - tool x running
          - #1 output of x: {"error":"invalid_arguments","message":"`to` must be one of: sales, support"}
          - tool x invalid_arguments
    2.110 turn t1 wants y transfer
          - tool y running
          - #2 output of y: {"error":"invalid_arguments","message":"`to` must be one of: sales, support"}
          - tool y invalid_arguments
    2.200 turn t1 ends: Completed
          - #3 prompt
    "#);
}

#[test]
fn a_transfer_that_was_refused_everywhere_is_told_to_the_caller() {
    let mut story = transfer_is_asked();
    story.skip();
    story.tell([
        (3_400, Event::ReferAnswered(Err("500 internal error".into()))),
        (3_450, Event::ReferAnswered(Err("500 internal error".into()))),
        (3_480, Event::RedirectAnswered(Err("21220".into()))),
        (3_490, Event::RedirectAnswered(Err("21220".into()))),
        (3_500, begins_as("t2", 2)),
        (3_600, done("t2")),
    ]);
    assert_snapshot!(story.log(), @r#"
    3.400 refer refused: 500 internal error
          - note transfer.refused {"detail":"500 internal error"}
          - note transfer.redirecting
          - redirect to tel:+81300000001
    3.480 redirect refused: 21220
          - note transfer.failed {"detail":"21220"}
          - #2 prompt "The transfer did not work. Tell "
    "#);
    assert_eq!(story.reason(), None);
}

#[test]
fn a_transfer_that_the_provider_only_says_it_made_is_made_by_the_carrier() {
    let mut story = transfer_is_asked();
    story.skip();
    story.tell([(3_400, Event::ReferAnswered(Ok(())))]);
    story.until(9_000);
    story.tell([(9_000, Event::RedirectAnswered(Ok(()))), (9_100, lost())]);
    story.tell([(9_200, Event::RedirectAnswered(Err("too late to matter".into())))]);
    assert_snapshot!(story.log(), @r#"
    3.400 refer taken
          - note transfer.accepted
    8.400 (deadline)
          - note transfer.redirecting
          - redirect to tel:+81300000001
    9.000 redirect taken
          - note transfer.redirected
    9.100 sideband lost 1006
          - ended transferred
    "#);
}

#[test]
fn a_transfer_that_the_carrier_follows_is_left_to_it() {
    let mut story = transfer_is_asked();
    story.skip();
    story.tell([
        (3_400, Event::ReferAnswered(Ok(()))),
        (3_900, Event::Carrier(CarrierEvent::Referred)),
        (9_100, lost()),
        (9_200, Event::Carrier(CarrierEvent::Referred)),
    ]);
    assert_snapshot!(story.log(), @r#"
    3.400 refer taken
          - note transfer.accepted
    3.900 the carrier asks about the refer
          - note transfer.followed
    9.100 sideband lost 1006
          - ended transferred
    "#);
}

fn handed_on(status: &str, answered: bool) -> Event {
    let (status, caller_status) = (status.into(), "in-progress".into());
    Event::Carrier(CarrierEvent::HandedOn { status, answered, caller_status })
}

#[test]
fn a_transfer_whose_call_ends_first_is_made_when_the_carrier_asks_what_is_next() {
    let mut story = transfer_is_asked();
    story.skip();
    story.tell([
        (3_400, Event::ReferAnswered(Ok(()))),
        (4_000, lost()),
        (4_100, dial_ended("completed", Some(200), true, "in-progress")),
        (4_200, dial_ended("completed", Some(200), true, "in-progress")),
        (30_000, handed_on("busy", false)),
        (30_100, handed_on("completed", true)),
    ]);
    assert_snapshot!(story.log(), @r#"
     3.400 refer taken
           - note transfer.accepted
     4.000 sideband lost 1006
           - ended transferred
     4.100 dial ended completed, caller in-progress
           - note transfer.followed {"detail":"dial_over"}
    30.000 dial to somebody else ended busy
           - note transfer.unanswered {"detail":"busy"}
    "#);
    let handed = story.call.record.handed.as_ref().map(|handed| (handed.by, handed.answered));
    assert_eq!(handed, Some((HandedBy::DialOver, Some(false))));
}

#[test]
fn a_caller_who_hung_up_is_not_handed_on_any_more() {
    let mut story = transfer_is_asked();
    story.tell([
        (3_400, Event::ReferAnswered(Ok(()))),
        (4_000, lost()),
        (4_100, dial_ended("completed", Some(200), true, "completed")),
        (4_200, handed_on("completed", true)),
    ]);
    assert_eq!(story.call.record.handed, None);
}

#[test]
fn a_transfer_that_was_seen_did_not_fail_because_the_provider_lingers() {
    let mut story = transfer_is_asked();
    story.skip();
    story.tell([
        (3_400, Event::ReferAnswered(Ok(()))),
        (3_900, Event::Carrier(CarrierEvent::Referred)),
        (9_000, handed_on("completed", true)),
    ]);
    story.until(60_000);
    assert_snapshot!(story.log(), @r#"
     3.400 refer taken
           - note transfer.accepted
     3.900 the carrier asks about the refer
           - note transfer.followed
     9.000 dial to somebody else ended completed
           - note transfer.answered {"detail":"completed"}
    23.300 (deadline)
           - hang up
           - ended transferred: the provider did not end it
    "#);
}

#[test]
fn a_transfer_without_effect_is_told_to_the_caller() {
    let mut story = transfer_is_asked();
    story.skip();
    story.tell([(3_400, Event::ReferAnswered(Ok(())))]);
    story.until(60_000);
    assert_snapshot!(story.log(), @r#"
     3.400 refer taken
           - note transfer.accepted
     8.400 (deadline)
           - note transfer.redirecting
           - redirect to tel:+81300000001
    23.300 (deadline)
           - note transfer.failed {"detail":"nothing happened in time"}
           - #2 prompt "The transfer did not work. Tell "
    28.300 (deadline)
           - #3 prompt "The transfer did not work. Tell "
    33.300 (deadline)
           - #4 prompt "The transfer did not work. Tell "
    "#);
}

#[test]
fn a_transfer_that_fails_while_the_sideband_is_down_is_told_when_it_is_back() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, wants("t1", "x", "transfer", "{}")),
        (2_150, says("t1", "おつなぎします")),
        (2_200, done("t1")),
        (2_300, lost()),
        (12_000, Event::AttachFailed(AttachFailure::Passing("timeout".into()))),
        (12_300, Event::ReferAnswered(Err("500".into()))),
        (12_400, Event::RedirectAnswered(Err("404".into()))),
        (12_500, attached()),
    ]);
    assert_snapshot!(story.log(), @r#"
     2.100 turn t1 wants x transfer
           - tool x running
           - #1 output of x: {"ok":true}
           - tool x ok
     2.200 turn t1 ends: Completed
           - line Assistant 2.150–? Final おつなぎします
     2.300 sideband lost 1006
           - note sideband.lost {"detail":"close code 1006"}
           - attach after 500 ms
           - line Assistant 2.150–? Final おつなぎします
     8.800 (deadline)
           - attach after 1000 ms
    12.000 attach failed: Passing("timeout")
           - attach after 2000 ms
    12.200 (deadline)
           - note transfer.asked
           - refer to tel:+81300000001
    12.300 refer refused: 500
           - note transfer.refused {"detail":"500"}
           - note transfer.redirecting
           - redirect to tel:+81300000001
    12.400 redirect refused: 404
           - note transfer.failed {"detail":"404"}
    12.500 attached
           - note sideband.reattached {"detail":"10200 ms"}
           - #2 is the output of x there?
           - #3 prompt "The transfer did not work. Tell "
    "#);
}

#[test]
fn a_forwarded_call_is_handed_on_at_once() {
    let forward = || {
        let mut story = Story::dialing();
        let target = "tel:+81300000009".to_owned();
        story.tell([
            (100, offer(Verdict::Forward { target, terms: Box::new(terms()) })),
            (300, Event::AcceptAnswered(AcceptAnswer::Ok)),
            (1_000, attached()),
        ]);
        story
    };
    let mut story = forward();
    story.tell([(1_100, Event::ReferAnswered(Ok(()))), (2_000, lost())]);
    assert_snapshot!(story.log(), @"
    0.100 offered
          - accept
    0.300 accept answered: Ok
          - attach
    1.000 attached
          - note transfer.asked
          - refer to tel:+81300000009
    1.100 refer taken
          - note transfer.accepted
    2.000 sideband lost 1006
          - ended forwarded
    ");
    let mut story = forward();
    story.skip();
    let refused = || "500".to_owned();
    story.tell([
        (1_100, Event::ReferAnswered(Err(refused()))),
        (1_200, Event::RedirectAnswered(Err(refused()))),
    ]);
    assert_snapshot!(story.log(), @r#"
    1.100 refer refused: 500
          - note transfer.refused {"detail":"500"}
          - note transfer.redirecting
          - redirect to tel:+81300000009
    1.200 redirect refused: 500
          - note transfer.failed {"detail":"500"}
          - #1 prompt "The transfer did not work. Tell "
    "#);
}

#[test]
fn an_operator_hangs_up_a_live_call_at_once() {
    let mut story = Story::live(|_| {});
    story.skip();
    story.tell([(2_000, hang_up()), (2_100, hang_up())]);
    story.until(60_000);
    assert_snapshot!(story.log(), @"
    2.000 the operator hangs up
          - hang up
    7.000 (deadline)
          - ended operator: the provider did not end it
    ");
}

#[test]
fn after_the_end_nothing_is_done() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, hang_up()), (2_100, lost())]);
    story.skip();
    story.tell([
        (3_000, attached()),
        (3_010, begins("t1")),
        (3_020, wants("t1", "h", "hangup", "{}")),
        (3_030, done("t1")),
        (3_040, key('#')),
        (3_050, Event::AttachFailed(AttachFailure::NotFound)),
        (3_060, lost()),
        (3_070, hang_up()),
        (3_080, Event::Deadline),
        (3_090, Event::ReferAnswered(Err("late".into()))),
        (3_100, answers("h")),
        (3_110, Event::AcceptAnswered(AcceptAnswer::Gone)),
    ]);
    assert_snapshot!(story.log(), @"");
    assert_eq!(story.call.deadline(), None);
}
