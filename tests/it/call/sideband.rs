//! The sideband: opened, confirmed, lost, found again; and what must wait while it is down.

use std::time::Duration;

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::event::{
    AcceptAnswer, AttachFailure, ErrorClass, ProviderEvent, SpeechPadding, TextMode, TurnStatus, Verdict,
};
use switchboard::call::record::{EndedReason, State};
use switchboard::call::terms::Greeting;

use super::story::*;

fn failed(failure: AttachFailure) -> Event {
    Event::AttachFailed(failure)
}

fn passing() -> Event {
    failed(AttachFailure::Passing("connection refused".into()))
}

#[test]
fn each_answer_to_the_accept_leads_on_or_to_a_clear_end() {
    let cases = [
        AcceptAnswer::Ok,
        AcceptAnswer::AlreadyDecided,
        AcceptAnswer::Unclear("no answer in 10 s".into()),
        AcceptAnswer::Gone,
        AcceptAnswer::Refused("429 slow down".into()),
    ];
    let mut log = String::new();
    for answer in cases {
        let mut story = Story::offered(|_| {});
        story.tell([(110, Event::AcceptSent), (300, Event::AcceptAnswered(answer))]);
        log += &story.log();
    }
    assert_snapshot!(log, @r#"
    0.300 accept answered: Ok
          - attach
    0.300 accept answered: AlreadyDecided
          - note accept.already_decided
          - attach
    0.300 accept answered: Unclear("no answer in 10 s")
          - note accept.unclear {"detail":"no answer in 10 s"}
          - attach
    0.300 accept answered: Gone
          - ended caller_gone
    0.300 accept answered: Refused("429 slow down")
          - reject 503
          - ended accept_failed: 429 slow down
    "#);
}

#[test]
fn a_call_that_is_not_wanted_is_rejected() {
    let mut story = Story::dialing();
    let (reason, detail) = (EndedReason::Rejected, Some("blocked number".to_owned()));
    story.tell([(100, offer(Verdict::Refuse { sip_code: 603, reason, detail }))]);
    assert_snapshot!(story.log(), @"
    0.100 offered
          - reject 603
          - ended rejected: blocked number
    ");
    assert_eq!(story.call.record.state, State::Ended);
}

#[test]
fn a_sideband_that_is_not_found_is_tried_again_for_five_seconds() {
    let mut story = Story::accepted(|_| {});
    let mut tries = 0;
    let mut now = 350;
    while !story.call.is_over() {
        story.tell([(now, failed(AttachFailure::NotFound))]);
        tries += 1;
        now += 300;
    }
    assert_eq!((tries, now), (18, 5_750));
    let log = story.log();
    assert_snapshot!(log.lines().rev().take(3).collect::<Vec<_>>().join("\n"), @"
          - ended attach_failed: the provider does not know the call (404)
          - hang up
    5.450 attach failed: NotFound
    ");
}

#[test]
fn a_key_that_is_denied_is_not_tried_twice() {
    let mut story = Story::accepted(|_| {});
    story.tell([(400, passing()), (700, failed(AttachFailure::Denied(401)))]);
    assert_snapshot!(story.log(), @r#"
    0.400 attach failed: Passing("connection refused")
          - attach after 250 ms
    0.700 attach failed: Denied(401)
          - hang up
          - ended attach_failed: the provider denied the sideband (401)
    "#);
}

#[test]
fn a_session_that_is_not_confirmed_is_not_waited_for() {
    let mut story = Story::accepted(|_| {});
    story.tell([(400, error(ErrorClass::Other, None))]);
    story.until(60_000);
    assert_snapshot!(story.log(), @r#"
     0.400 error Other
           - note provider.error {"detail":"some_code: some text"}
    11.300 (deadline)
           - hang up
           - ended attach_failed: the session was not confirmed in time
    "#);
    let mut story = Story::accepted(|_| {});
    story.tell([(400, lost()), (700, lost()), (6_000, lost())]);
    assert_snapshot!(story.log(), @"
    0.400 sideband lost 1006
          - attach after 250 ms
    0.700 sideband lost 1006
          - attach after 250 ms
    6.000 sideband lost 1006
          - hang up
          - ended attach_failed: closed before the session was confirmed
    ");
}

#[test]
fn nothing_is_made_of_words_before_the_session_is_confirmed() {
    let mut story = Story::accepted(|_| {});
    story.tell([(400, begins("t1")), (450, wants_lookup("t1", "a")), (500, key('#')), (550, hears("i1", 0))]);
    assert_snapshot!(story.log(), @"");
}

#[test]
fn a_session_that_nobody_opened_is_not_attached() {
    let mut story = Story::dialing();
    story.tell([(50, attached())]);
    assert_eq!(story.call.record.state, State::Dialing);
    story.tell([(100, offered(|_| {})), (200, attached()), (300, begins("t1"))]);
    assert_eq!(story.call.record.state, State::Offered);
}

#[test]
fn a_lost_sideband_is_looked_for_five_times() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, lost()),
        (2_600, passing()),
        (3_700, passing()),
        (5_800, lost()),
        (9_900, failed(AttachFailure::Denied(503))),
        (18_000, passing()),
    ]);
    assert_snapshot!(story.log(), @r#"
     2.000 sideband lost 1006
           - note sideband.lost {"detail":"close code 1006"}
           - attach after 500 ms
     2.600 attach failed: Passing("connection refused")
           - attach after 1000 ms
     3.700 attach failed: Passing("connection refused")
           - attach after 2000 ms
     5.800 sideband lost 1006
           - attach after 4000 ms
     9.900 attach failed: Denied(503)
           - attach after 8000 ms
    18.000 attach failed: Passing("connection refused")
           - hang up
           - ended provider_dropped: connection refused
    "#);
}

#[test]
fn a_lost_sideband_that_opens_but_is_not_confirmed_counts_as_a_try() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, lost())]);
    story.until(120_000);
    assert_snapshot!(story.log(), @r#"
     2.000 sideband lost 1006
           - note sideband.lost {"detail":"close code 1006"}
           - attach after 500 ms
     8.500 (deadline)
           - attach after 1000 ms
    15.500 (deadline)
           - attach after 2000 ms
    23.500 (deadline)
           - attach after 4000 ms
    33.500 (deadline)
           - attach after 8000 ms
    47.500 (deadline)
           - hang up
           - ended provider_dropped: the session was not confirmed in time
    "#);
}

#[test]
fn a_sideband_that_is_not_found_again_means_the_call_is_over() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, lost()), (2_600, failed(AttachFailure::NotFound)), (2_700, attached())]);
    assert_snapshot!(story.log(), @r#"
    2.000 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    2.600 attach failed: NotFound
          - ended caller_hangup
    "#);
}

#[test]
fn a_sideband_lost_after_the_leg_was_over_or_the_hang_up_was_asked_is_the_end() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, leg("completed", 3)), (2_100, lost())]);
    assert_snapshot!(story.log(), @"
    2.100 sideband lost 1006
          - ended caller_hangup
    ");
    let mut story = Story::live(|_| {});
    story.tell([(2_000, lost()), (2_100, leg("completed", 3))]);
    assert_snapshot!(story.log(), @r#"
    2.000 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    2.100 leg completed
          - ended caller_hangup
    "#);
    let mut story = Story::live(|_| {});
    story.tell([(2_000, hang_up()), (2_100, lost())]);
    assert_snapshot!(story.log(), @"
    2.000 the operator hangs up
          - hang up
    2.100 sideband lost 1006
          - ended operator
    ");
}

#[test]
fn a_sideband_that_outlives_its_leg_is_hung_up() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, leg("completed", 3))]);
    story.until(20_000);
    assert_snapshot!(story.log(), @"
    5.000 (deadline)
          - hang up
          - ended caller_hangup
    ");
}

#[test]
fn a_found_sideband_is_counted_and_the_conversation_goes_on() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, lost()), (2_600, attached()), (5_000, lost()), (5_600, attached())]);
    assert_eq!(story.call.record.provider.as_ref().map(|provider| provider.reattached), Some(2));
    assert_eq!(story.call.record.stages.attached, Some(at(1_000)));
}

#[test]
fn keys_pressed_before_a_loss_are_told_after_it() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, key('4')), (2_500, key('2')), (2_600, lost())]);
    story.skip();
    story.until(6_000);
    story.tell([(7_000, attached())]);
    story.until(7_000);
    assert_snapshot!(story.log(), @r#"
    7.000 attached
          - note sideband.reattached {"detail":"4400 ms"}
    7.000 (deadline)
          - #1 tell as User: The caller pressed these keys on the telephone: 42
          - #2 prompt
          - line Keypad 2.000–2.500 Final ••
    "#);
}

#[test]
fn a_protected_greeting_ends_with_its_playback() {
    let mut story = protected();
    story.tell([
        (1_100, begins_as("t1", 1)),
        (1_200, plays("t1")),
        (1_300, says("t1", "もしもし")),
        (1_400, done("t1")),
        (3_000, played("t1")),
        (3_100, Event::Provider(ProviderEvent::Configured { padding: SpeechPadding::default() })),
        (9_000, begins("t2")),
        (9_100, plays("t2")),
        (9_200, done("t2")),
        (9_900, played("t2")),
    ]);
    assert_snapshot!(story.log(), @r#"
    1.000 attached
          - #1 prompt without tools
    1.400 turn t1 ends: Completed
          - line Assistant 1.200–? Final もしもし
    3.000 t1 was heard
          - #2 turn detection 1
          - line Assistant 1.200–3.000 Final もしもし
    "#);
}

/// A live call whose greeting cannot be interrupted.
fn protected() -> Story {
    Story::live(|terms| {
        terms.greeting = Greeting::ByInstructions;
        terms.turn_detection = turn_detection(true);
    })
}

#[test]
fn a_protected_greeting_whose_end_is_never_reported_ends_in_time() {
    let mut story = protected();
    story.tell([(1_100, begins_as("t1", 1)), (1_300, says("t1", "もしもし")), (1_400, done("t1"))]);
    story.skip();
    story.until(60_000);
    assert_snapshot!(story.log(), @r#"
    16.000 (deadline)
           - #2 turn detection 1
    "#);
}

#[test]
fn a_protected_greeting_that_makes_no_sound_protects_nothing() {
    let mut story = protected();
    story.tell([(1_100, begins_as("t1", 1)), (1_200, ends("t1", TurnStatus::Failed, &[]))]);
    assert_snapshot!(story.log(), @r#"
    1.000 attached
          - #1 prompt without tools
    1.200 turn t1 ends: Failed
          - note turn.cut
          - #2 turn detection 1
    "#);
    let mut story = protected();
    story.skip();
    story.tell([(1_100, error(ErrorClass::BadCommand, Some(1)))]);
    assert_snapshot!(story.log(), @r#"
    1.100 error BadCommand of #1
          - #2 turn detection 1
          - note provider.error {"detail":"some_code: some text"}
    "#);
}

#[test]
fn a_protected_greeting_that_ends_while_the_sideband_is_down_still_lets_the_caller_speak() {
    let mut story = protected();
    story.tell([(1_100, begins_as("t1", 1)), (1_200, plays("t1")), (1_400, done("t1")), (15_900, lost())]);
    story.skip();
    story.tell([(17_000, attached())]);
    story.until(17_000);
    assert_snapshot!(story.log(), @r#"
    17.000 attached
           - note sideband.reattached {"detail":"1100 ms"}
    17.000 (deadline)
           - #2 turn detection 1
    "#);
}

#[test]
fn turn_detection_that_was_not_confirmed_before_a_loss_is_set_again() {
    let mut story = protected();
    story.tell([
        (1_100, begins_as("t1", 1)),
        (1_200, plays("t1")),
        (1_400, done("t1")),
        (3_000, played("t1")),
    ]);
    story.skip();
    story.tell([
        (3_010, lost()),
        (3_600, attached()),
        (3_700, Event::Provider(ProviderEvent::Configured { padding: SpeechPadding::default() })),
        (4_000, lost()),
        (4_600, attached()),
    ]);
    assert_snapshot!(story.log(), @r#"
    3.010 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    3.600 attached
          - note sideband.reattached {"detail":"590 ms"}
          - #3 turn detection 1
    4.000 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    4.600 attached
          - note sideband.reattached {"detail":"600 ms"}
    "#);
}

#[test]
fn a_caller_who_speaks_first_is_heard_at_once() {
    let mut story = Story::live(|terms| {
        terms.turn_detection = turn_detection(true);
    });
    assert_snapshot!(story.log(), @r#"
    1.000 attached
          - #1 turn detection 1
    "#);
}

#[test]
fn silence_is_noticed_although_the_end_of_speech_was_lost() {
    let silent_for_ten = |terms: &mut switchboard::call::terms::Terms| {
        terms.silence_max = Some(Duration::from_secs(10));
    };
    let mut story = Story::live(silent_for_ten);
    story.tell([(2_000, hears("i1", 1_000)), (2_100, lost()), (2_700, attached())]);
    story.skip();
    story.until(12_700);
    assert_snapshot!(story.log(), @r#"
    12.700 (deadline)
           - #2 prompt "The caller has been silent for a"
    "#);
    let mut story = Story::live(silent_for_ten);
    story.tell([
        (2_000, begins("t1")),
        (2_050, plays("t1")),
        (2_100, caller_words("i0", "えっと", TextMode::Append, None)),
        (2_200, lost()),
        (2_700, attached()),
    ]);
    story.skip();
    story.until(12_700);
    assert_snapshot!(story.log(), @r#"
    12.700 (deadline)
           - #2 prompt "The caller has been silent for a"
    "#);
}
