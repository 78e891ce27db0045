//! How a call is left on purpose: goodbyes, transfers, the end of its time, silence, an operator.

use std::time::Duration;

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::event::{AcceptAnswer, AttachFailure, ErrorClass, TurnStatus, Verdict};
use switchboard::call::record::EndedReason;

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
    assert_snapshot!(story.log(), @"
    12.200 (deadline)
           - hang up
    17.200 (deadline)
           - ended assistant_hangup: the provider did not end it
    ");
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
fn a_transfer_that_was_refused_is_told_to_the_caller() {
    let mut story = transfer_is_asked();
    story.skip();
    story.tell([
        (3_400, Event::ReferAnswered(Err("500 internal error".into()))),
        (3_450, Event::ReferAnswered(Err("500 internal error".into()))),
        (3_500, begins_as("t2", 2)),
        (3_600, done("t2")),
    ]);
    assert_snapshot!(story.log(), @r#"
    3.400 refer refused: 500 internal error
          - note transfer.failed {"detail":"500 internal error"}
          - #2 prompt "The transfer did not work. Tell "
    "#);
    assert_eq!(story.reason(), None);
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
           - note transfer.failed {"detail":"500"}
    12.500 attached
           - note sideband.reattached {"detail":"10200 ms"}
           - #2 output of x: {"ok":true}
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
    story.tell([(1_100, Event::ReferAnswered(Err("500".into())))]);
    assert_snapshot!(story.log(), @r#"
    1.100 refer refused: 500
          - note transfer.failed {"detail":"500"}
          - #1 prompt "The transfer did not work. Tell "
    "#);
}

#[test]
fn the_caller_is_warned_and_told_when_the_time_is_over() {
    let mut story = Story::live(|terms| terms.duration_max = Some(Duration::from_secs(300)));
    story.until(301_000);
    story.tell([
        (301_100, begins_as("t1", 2)),
        (301_200, plays("t1")),
        (301_300, says("t1", "お時間です")),
        (301_400, done("t1")),
        (304_000, played("t1")),
    ]);
    story.until(304_400);
    story.tell([(304_500, lost())]);
    assert_snapshot!(story.log(), @r#"
    181.000 (deadline)
            - #1 tell as System: Two minutes of this call are left. Bring the conversation to its end and tell the caller so.
    301.000 (deadline)
            - #2 prompt "The time of this call is over. T" without tools
    301.400 turn t1 ends: Completed
            - line Assistant 301.200–? Final お時間です
    304.000 t1 was heard
            - line Assistant 301.200–304.000 Final お時間です
    304.300 (deadline)
            - hang up
    304.500 sideband lost 1006
            - ended max_duration
    "#);
}

#[test]
fn a_short_call_is_not_warned_and_the_providers_limit_counts_too() {
    let mut story = Story::live(|terms| terms.duration_max = Some(Duration::from_secs(60)));
    story.skip();
    story.until(61_000);
    assert_snapshot!(story.log(), @r#"
    61.000 (deadline)
           - #1 prompt "The time of this call is over. T" without tools
    "#);
    let mut story = Story::accepted(|terms| terms.duration_max = Some(Duration::from_secs(7_200)));
    story.tell([(1_000, attached_until(Some(at(3_601_000))))]);
    story.skip();
    story.until(3_571_000);
    assert_snapshot!(story.log(), @r#"
    3451.000 (deadline)
            - #1 tell as System: Two minutes of this call are left. Bring the conversation to its end and tell the caller so.
    3571.000 (deadline)
            - #2 prompt "The time of this call is over. T" without tools
    "#);
}

#[test]
fn a_caller_who_talks_into_every_goodbye_is_not_longer_on_the_line_than_the_time() {
    let mut story = Story::live(|terms| terms.duration_max = Some(Duration::from_secs(60)));
    story.skip();
    let mut now = 61_000;
    let mut command = 1;
    while story.call.record.ended.is_none() && now < 200_000 {
        let turn = format!("t{now}");
        story.tell([
            (now + 100, begins_as(&turn, command)),
            (now + 200, plays(&turn)),
            (now + 300, says(&turn, "お時間です")),
            (now + 400, done(&turn)),
            (now + 500, cut(&turn)),
        ]);
        now += 2_000;
        command += 1;
        story.until(now);
    }
    let log = story.log();
    let end: Vec<&str> = log.lines().skip_while(|line| !line.starts_with(" 91.000 (")).take(2).collect();
    assert_snapshot!(end.join("\n"), @"
    91.000 (deadline)
           - hang up
    ");
    assert_eq!(story.reason(), Some(EndedReason::MaxDuration));
}

#[test]
fn the_end_of_the_time_is_not_talked_away() {
    let mut story = Story::live(|terms| terms.duration_max = Some(Duration::from_secs(60)));
    story.skip();
    story.until(61_000);
    story.tell([(62_000, begins("t1"))]);
    story.until(75_000);
    assert_snapshot!(story.log(), @r#"
    61.000 (deadline)
           - #1 prompt "The time of this call is over. T" without tools
    71.000 (deadline)
           - hang up
    "#);
}

#[test]
fn a_goodbye_the_model_says_by_itself_is_not_said_again() {
    let mut story = Story::live(|terms| terms.duration_max = Some(Duration::from_secs(60)));
    story.tell([(60_500, begins("t1")), (61_100, wants("t1", "h", "hangup", "{}"))]);
    story.skip();
    story.tell([
        (61_200, says("t1", "失礼いたします")),
        (61_300, plays("t1")),
        (61_400, done("t1")),
        (63_000, played("t1")),
    ]);
    story.until(63_300);
    assert_snapshot!(story.log(), @"
    61.400 turn t1 ends: Completed
           - line Assistant 61.300–? Final 失礼いたします
    63.000 t1 was heard
           - line Assistant 61.300–63.000 Final 失礼いたします
    63.300 (deadline)
           - hang up
    ");
}

#[test]
fn a_goodbye_that_begins_to_sound_late_is_heard_to_its_end() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, says("t1", "失礼いたします")),
        (2_150, wants("t1", "h", "hangup", "{}")),
        (2_200, done("t1")),
        (11_000, plays("t1")),
        (20_000, played("t1")),
    ]);
    story.skip();
    story.until(20_300);
    assert_snapshot!(story.log(), @"
    20.300 (deadline)
           - hang up
    ");
}

#[test]
fn a_session_that_expired_is_over() {
    let mut story = Story::live(|_| {});
    story.skip();
    story.tell([(2_000, error(ErrorClass::Expired, None)), (2_100, lost())]);
    assert_snapshot!(story.log(), @r#"
    2.000 error Expired
          - hang up
          - note provider.error {"detail":"some_code: some text"}
    2.100 sideband lost 1006
          - ended max_duration
    "#);
}

#[test]
fn a_silent_caller_is_asked_once_and_then_taken_leave_of() {
    let mut story = Story::live(|terms| terms.silence_max = Some(Duration::from_secs(10)));
    story.skip();
    story.until(11_000);
    story.tell([
        (11_100, begins_as("t1", 1)),
        (11_200, plays("t1")),
        (11_300, says("t1", "もしもし？")),
        (11_400, done("t1")),
        (12_000, played("t1")),
    ]);
    story.until(22_000);
    story.tell([
        (22_100, begins_as("t2", 2)),
        (22_200, plays("t2")),
        (22_300, says("t2", "失礼します")),
        (22_400, done("t2")),
        (23_000, played("t2")),
    ]);
    story.until(23_300);
    story.tell([(23_400, lost())]);
    assert_snapshot!(story.log(), @r#"
    11.000 (deadline)
           - #1 prompt "The caller has been silent for a"
    11.400 turn t1 ends: Completed
           - line Assistant 11.200–? Final もしもし？
    12.000 t1 was heard
           - line Assistant 11.200–12.000 Final もしもし？
    22.000 (deadline)
           - #2 prompt "Nobody answers. Say that you wil" without tools
    22.400 turn t2 ends: Completed
           - line Assistant 22.200–? Final 失礼します
    23.000 t2 was heard
           - line Assistant 22.200–23.000 Final 失礼します
    23.300 (deadline)
           - hang up
    23.400 sideband lost 1006
           - ended assistant_hangup
    "#);
}

#[test]
fn a_caller_who_speaks_up_is_not_silent() {
    let mut story = Story::live(|terms| terms.silence_max = Some(Duration::from_secs(10)));
    story.until(11_000);
    story.tell([(11_100, begins_as("t1", 1)), (11_200, done("t1"))]);
    story.until(21_200);
    story.skip();
    // The goodbye is on its way when the caller speaks.
    story.tell([
        (21_210, hears("i1", 20_400)),
        (21_300, begins_as("t2", 2)),
        (21_400, says("t2", "失礼し")),
        (21_450, plays("t2")),
        (21_500, done("t2")),
        (21_900, played("t2")),
        (22_000, hears_end("i1", 21_500)),
    ]);
    story.until(31_900);
    assert_snapshot!(story.log(), @"
    21.500 turn t2 ends: Completed
           - line Assistant 21.450–? Final 失礼し
    21.900 t2 was heard
           - line Assistant 21.450–21.900 Final 失礼し
    ");
    assert_eq!(story.reason(), None);
}

#[test]
fn a_caller_who_answered_is_asked_again_before_the_goodbye() {
    let mut story = Story::live(|terms| terms.silence_max = Some(Duration::from_secs(10)));
    story.until(11_000);
    story.tell([
        (11_100, begins_as("t1", 1)),
        (11_200, done("t1")),
        (12_000, hears("i1", 11_200)),
        (13_000, hears_end("i1", 12_400)),
    ]);
    story.skip();
    story.until(23_000);
    assert_snapshot!(story.log(), @r#"
    23.000 (deadline)
           - #2 prompt "The caller has been silent for a"
    "#);
}

#[test]
fn silence_is_noticed_although_the_end_of_a_playback_was_never_reported() {
    let mut story = Story::live(|terms| terms.silence_max = Some(Duration::from_secs(10)));
    story.tell([
        (2_000, begins("t1")),
        (2_100, plays("t1")),
        (2_200, done("t1")),
        (3_000, begins("t2")),
        (3_100, plays("t2")),
        (3_200, done("t2")),
        (4_000, played("t2")),
    ]);
    story.skip();
    story.until(14_000);
    assert_snapshot!(story.log(), @r#"
    14.000 (deadline)
           - #1 prompt "The caller has been silent for a"
    "#);
}

#[test]
fn a_running_tool_is_not_silence() {
    let mut story = Story::live(|terms| terms.silence_max = Some(Duration::from_secs(10)));
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a")), (2_200, done("t1"))]);
    story.skip();
    story.until(60_000);
    assert_snapshot!(story.log(), @"");
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
