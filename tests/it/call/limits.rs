//! The limits of a call: its time, silence.

use std::time::Duration;

use insta::assert_snapshot;
use switchboard::call::event::ErrorClass;
use switchboard::call::record::EndedReason;

use super::story::*;

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
           - note audio.one_way {"detail":"the caller was not heard"}
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
fn a_caller_who_was_heard_once_is_only_silent() {
    let mut story = Story::live(|terms| terms.silence_max = Some(Duration::from_secs(10)));
    story.tell([(2_000, hears("i1", 1_200)), (3_000, hears_end("i1", 2_400))]);
    story.until(13_000);
    story.tell([
        (13_100, begins_as("t1", 1)),
        (13_200, plays("t1")),
        (13_300, says("t1", "もしもし？")),
        (13_400, done("t1")),
        (14_000, played("t1")),
    ]);
    story.until(24_000);
    let log = story.log();
    assert!(log.contains("Nobody answers") && !log.contains("audio.one_way"), "{log}");
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
