//! A call whose process died: what the next one makes of what was kept.

use std::time::Duration;

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::consent::{Announcer, Consent};
use switchboard::call::event::{AcceptAnswer, AttachFailure, ErrorClass, TakenUp, TurnStatus};
use switchboard::call::record::{EndedReason, LineStatus, Path, State, ToolOutcomeKind};
use switchboard::call::terms::Greeting;

use super::failover::{session, stream_offered, stream_over};
use super::story::*;

fn fresh() -> TakenUp {
    TakenUp { is_fresh: true, ..TakenUp::default() }
}

/// The tool `lookup` may run twice.
fn repeatable() -> TakenUp {
    TakenUp { repeatable: ["lookup".to_owned()].into(), ..TakenUp::default() }
}

fn not_found() -> Event {
    Event::AttachFailed(AttachFailure::NotFound)
}

/// The caller asked, the assistant answers: a turn is being heard.
fn talking() -> Story {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, hears("i1", 1_500)),
        (3_000, hears_end("i1", 2_500)),
        (3_400, caller_says("i1", "もしもし")),
        (3_500, begins("t1")),
        (3_600, plays("t1")),
        (3_700, says("t1", "はい、さくら商店です")),
        (3_800, done("t1")),
    ]);
    story
}

#[test]
fn a_talking_call_goes_on_where_it_was() {
    let mut story = talking().restarted(5_000, Some(terms()), TakenUp::default());
    story.tell([(5_100, attached()), (5_500, played("t1")), (6_000, caller_says("i1", "again"))]);
    story.tell([
        (6_400, added("i2", "item-t1")),
        (6_500, caller_says("i2", "注文は")),
        (7_000, begins("t2")),
        (7_100, plays("t2")),
    ]);
    story.tell([(7_200, says("t2", "発送済みです")), (7_300, done("t2")), (8_000, played("t2"))]);
    assert_snapshot!(story.log(), @r#"
    5.000 another process
          - note gateway.restarted
          - attach
    5.100 attached
          - note sideband.reattached {"detail":"100 ms"}
    5.500 t1 was heard
          - line Assistant 3.600–5.500 Final はい、さくら商店です
    6.500 caller's words (i2) 注文は
          - line Caller 6.300–? Final 注文は
    7.300 turn t2 ends: Completed
          - line Assistant 7.100–? Final 発送済みです
    8.000 t2 was heard
          - line Assistant 7.100–8.000 Final 発送済みです
    "#);
    assert_eq!(story.call.record.provider.as_ref().map(|provider| provider.reattached), Some(1));
    assert_snapshot!(story.transcript(), @r#"
    Caller 2.000–2.500 Final もしもし
    Assistant 3.600–5.500 Final はい、さくら商店です
    Caller 6.300–? Final 注文は
    Assistant 7.100–8.000 Final 発送済みです
    "#);
}

#[test]
fn a_greeting_is_said_once() {
    let greets = |terms: &mut switchboard::call::terms::Terms| terms.greeting = Greeting::ByInstructions;
    let with_greeting = || {
        let mut terms = terms();
        greets(&mut terms);
        Some(terms)
    };
    // Accepted, and nobody greeted yet.
    let mut story = Story::accepted(greets).restarted(2_000, with_greeting(), TakenUp::default());
    story.tell([(2_100, attached())]);
    assert_snapshot!(story.log(), @r#"
    2.000 another process
          - note gateway.restarted
          - attach
    2.100 attached
          - #1 prompt without tools
    "#);
    assert_eq!(story.call.record.state, State::Live);
    // It had begun.
    let mut story = Story::live(greets);
    story.tell([(1_100, begins_as("t1", 1))]);
    let mut story = story.restarted(2_000, with_greeting(), TakenUp::default());
    story.tell([(2_100, attached())]);
    assert!(!story.log().contains("prompt"));
}

#[test]
fn a_greeting_that_nobody_saw_begin_is_asked_for_again() {
    let greets = |terms: &mut switchboard::call::terms::Terms| {
        terms.greeting = Greeting::Prompt("Say hello.".into());
    };
    let with_greeting = || {
        let mut terms = terms();
        greets(&mut terms);
        Some(terms)
    };
    let again = || Story::live(greets).restarted(2_000, with_greeting(), TakenUp::default());
    let mut story = again();
    story.tell([(2_100, attached())]);
    story.until(3_200);
    assert_snapshot!(story.log(), @r#"
    2.000 another process
          - note gateway.restarted
          - attach
    2.100 attached
          - note sideband.reattached {"detail":"100 ms"}
    3.100 (deadline)
          - #1 prompt "The connection broke for a momen" without tools
    "#);
    // It begins, and the process after this one knows.
    story.tell([(3_300, begins_as("t1", 1))]);
    let mut story = story.restarted(4_000, with_greeting(), TakenUp::default());
    story.tell([(4_100, attached())]);
    story.until(6_000);
    assert!(!story.log().contains("prompt"));
    // Whatever is seen of a turn before the caller has spoken is the greeting; after that it need not be.
    for sign in [begins("t1"), says("t1", "hello"), done("t1"), plays("t1"), played("t1"), cut("t1")] {
        let mut story = again();
        story.tell([(2_100, attached()), (2_200, sign), (2_300, done("t1"))]);
        story.until(5_000);
        assert!(!story.log().contains("prompt"), "{}", story.log());
        assert!(story.call.record.stages.greeted.is_some());
    }
    let mut story = again();
    story.tell([
        (2_100, attached()),
        (2_150, hears("i1", 1_000)),
        (2_200, begins("t1")),
        (2_900, done("t1")),
    ]);
    story.until(5_000);
    assert!(story.log().contains("prompt"), "{}", story.log());
}

#[test]
fn who_is_to_be_told_of_the_recording_is_told_after_a_restart() {
    let mut with_greeting = terms();
    with_greeting.greeting = Greeting::Prompt("Say that the call is recorded.".into());
    let greeting = with_greeting.greeting.clone();
    let consent =
        Consent { announcement: Some("Recorded.".into()), by: Announcer::Assistant, ..Consent::default() };
    let again = || {
        let mut story = Story::live(|terms| terms.greeting = greeting.clone());
        story.call.record.consent = Some(consent.clone());
        story.restarted(2_000, Some(with_greeting.clone()), TakenUp::default())
    };
    let mut story = again();
    // Whatever else there is to speak about comes after it.
    story.tell([(2_100, attached()), (2_200, key('#'))]);
    story.until(3_500);
    assert_snapshot!(story.log(), @r#"
    2.000 another process
          - note gateway.restarted
          - attach
    2.100 attached
          - note sideband.reattached {"detail":"100 ms"}
    2.200 key #
          - #1 tell as User: The caller pressed these keys on the telephone: #
          - line Keypad 2.200–2.200 Final •
    3.100 (deadline)
          - #2 prompt "The connection broke for a momen" without tools
    "#);
    story.tell([(3_600, begins_as("t1", 2)), (3_700, done("t1"))]);
    assert_snapshot!(story.log(), @r#"
    3.700 turn t1 ends: Completed
          - #3 prompt
    "#);
    let mut story = again();
    // A turn was running. It may be the one that says so, and the model is told to look whether it was.
    story.tell([(2_100, attached()), (2_600, done("t1"))]);
    assert_snapshot!(story.log(), @r#"
    2.000 another process
          - note gateway.restarted
          - attach
    2.100 attached
          - note sideband.reattached {"detail":"100 ms"}
    2.600 turn t1 ends: Completed
          - #1 prompt "The connection broke for a momen" without tools
    "#);
}

#[test]
fn tools_are_answered_once_whatever_they_are() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, wants_lookup("t1", "sent")),
        (2_200, answers("sent")),
        (2_300, acked("sent")),
        (3_000, begins("t2")),
        (3_100, wants_lookup("t2", "unsent")),
        (3_100, wants_lookup("t2", "harmless")),
        (3_100, wants("t2", "harmful", "pay", r#"{"yen":100}"#)),
        (3_200, answers("unsent")),
        (3_300, ends("t2", TurnStatus::Completed, &[])),
    ]);
    let mut story = story.restarted(5_000, Some(terms()), repeatable());
    assert_snapshot!(story.log(), @r#"
    5.000 another process
          - note gateway.restarted
          - attach
          - run harmless lookup {}
          - note tool.interrupted {"detail":"pay"}
          - tool harmful interrupted
    "#);
    story.tell([(5_100, attached()), (5_150, error(ErrorClass::BadCommand, Some(1)))]);
    story.tell([(5_160, error(ErrorClass::BadCommand, Some(2))), (5_200, answers("harmless"))]);
    story.tell([(5_220, error(ErrorClass::BadCommand, Some(5)))]);
    assert_snapshot!(story.log(), @r#"
    5.100 attached
          - note sideband.reattached {"detail":"100 ms"}
          - #1 is the output of unsent there?
          - #2 is the output of harmful there?
    5.150 error BadCommand of #1
          - #3 output of unsent: {"answer":"unsent"}
    5.160 error BadCommand of #2
          - #4 output of harmful: {"error":"interrupted","message":"whether it was done is not known: the connection broke while it ran. Say so, and ask the caller before doing it again","retryable":false}
    5.200 tool harmless answers
          - #5 is the output of harmless there?
          - tool harmless ok
    5.220 error BadCommand of #5
          - #6 output of harmless: {"answer":"harmless"}
          - #7 prompt
    "#);
    let harmful = &story.tools[&3];
    assert_eq!((harmful.outcome, harmful.finished), (Some(ToolOutcomeKind::Interrupted), Some(at(5_000))));
    // The provider repeats itself: nothing runs again.
    story.tell([(5_300, wants_lookup("t2", "sent")), (5_300, wants("t2", "harmful", "pay", "{}"))]);
    assert!(!story.log().contains("run"));
}

#[test]
fn a_tool_whose_arguments_were_not_kept_does_not_run_again() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants("t1", "a", "lookup", r#"{"card":"•••"}"#))]);
    let mut story = story.restarted(5_000, Some(terms()), repeatable());
    assert_snapshot!(story.log(), @r#"
    5.000 another process
          - note gateway.restarted
          - attach
          - note tool.interrupted {"detail":"lookup"}
          - tool a interrupted
    "#);
}

#[test]
fn a_tool_that_was_left_to_the_next_process_is_begun_there_and_only_there() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants("t1", "a", "pay", "{}"))]);
    story.tell([(2_100, Event::ToolDeferred("a".into())), (2_200, Event::ToolDeferred("a".into()))]);
    assert!(story.tools[&0].deferred && story.call.running_tools().next().is_none());
    story.log();
    let mut story = story.restarted(5_000, Some(terms()), repeatable());
    assert_snapshot!(story.log(), @r#"
    5.000 another process
          - note gateway.restarted
          - attach
          - tool a running
          - run a pay {}
    "#);
    // From here on nobody knows.
    assert!(!story.tools[&0].deferred);
    let story = story.restarted(6_000, Some(terms()), repeatable());
    assert_eq!(story.tools[&0].outcome, Some(ToolOutcomeKind::Interrupted));
}

#[test]
fn nothing_runs_without_a_session() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a"))]);
    let mut story = story.restarted(3_000, None, TakenUp::default());
    story.tell([(3_100, attached()), (3_200, error(ErrorClass::BadCommand, Some(1)))]);
    assert_snapshot!(story.log(), @r#"
    3.000 another process
          - note gateway.restarted
          - attach
          - note tool.interrupted {"detail":"lookup"}
          - tool a interrupted
    3.100 attached
          - note sideband.reattached {"detail":"100 ms"}
          - #1 is the output of a there?
    3.200 error BadCommand of #1
          - #2 output of a: {"error":"interrupted","message":"whether it was done is not known: the connection broke while it ran. Say so, and ask the caller before doing it again","retryable":false}
          - #3 prompt without tools
    "#);
}

#[test]
fn a_call_that_ended_meanwhile_is_closed_and_the_carrier_may_know_better() {
    let mut story = talking().restarted(5_000, Some(terms()), TakenUp::default());
    story.tell([(5_100, not_found())]);
    assert_snapshot!(story.log(), @r#"
    5.000 another process
          - note gateway.restarted
          - attach
    5.100 attach failed: NotFound
          - ask the carrier
          - line Assistant 3.600–? Final はい、さくら商店です
          - ended caller_hangup: it ended while the gateway was away
    "#);
    assert_eq!(story.reason(), Some(EndedReason::CallerHangup));
    story.tell([(5_200, Event::CarrierAnswered("in-progress".into()))]);
    assert_eq!(story.reason(), Some(EndedReason::ProviderDropped));
    // The carrier had said so before.
    let mut gone = talking();
    gone.tell([(4_000, leg("completed", 3))]);
    let mut gone = gone.restarted(5_000, Some(terms()), TakenUp::default());
    gone.until(9_000);
    assert_eq!(gone.reason(), Some(EndedReason::CallerHangup), "{}", gone.log());
}

#[test]
fn a_provider_that_is_away_as_well_is_tried_again() {
    let mut story = talking().restarted(5_000, Some(terms()), TakenUp::default());
    story.tell([(5_100, Event::AttachFailed(AttachFailure::Passing("refused".into())))]);
    story.tell([(5_700, attached())]);
    assert!(story.log().contains("attach after 500 ms"));
    assert_eq!(story.call.record.state, State::Live);
}

#[test]
fn an_offer_is_accepted_while_it_is_fresh() {
    let mut story = Story::offered(|_| {}).restarted(2_000, Some(terms()), fresh());
    story.tell([(2_100, Event::AcceptAnswered(AcceptAnswer::AlreadyDecided)), (2_200, attached())]);
    assert_snapshot!(story.log(), @r#"
    2.000 another process
          - note gateway.restarted
          - accept
    2.100 accept answered: AlreadyDecided
          - note accept.already_decided
          - attach
    "#);
    // Stale, it may have been accepted; the sideband tells.
    let mut story = Story::offered(|_| {}).restarted(90_000, Some(terms()), TakenUp::default());
    story.tell([(90_100, not_found())]);
    assert_snapshot!(story.log(), @r#"
    90.000 another process
           - note gateway.restarted
           - attach
    90.100 attach failed: NotFound
           - ask the carrier
           - ended gateway_lost: the provider does not know the call any more
    "#);
    let mut story = Story::offered(|_| {}).restarted(90_000, Some(terms()), TakenUp::default());
    story.tell([(90_100, attached())]);
    assert_eq!(story.call.record.state, State::Live);
}

#[test]
fn a_call_that_was_being_left_is_left() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, plays("t1")),
        (2_200, says("t1", "さようなら")),
        (2_300, wants("t1", "a", "hangup", "{}")),
        (2_400, done("t1")),
    ]);
    let mut story = story.restarted(3_000, Some(terms()), TakenUp::default());
    story.tell([(3_100, attached()), (4_000, played("t1"))]);
    story.until(5_000);
    assert_snapshot!(story.log(), @r#"
    3.000 another process
          - note gateway.restarted
          - attach
    3.100 attached
          - note sideband.reattached {"detail":"100 ms"}
          - #1 is the output of a there?
    4.000 t1 was heard
          - line Assistant 2.100–4.000 Final さようなら
    4.300 (deadline)
          - hang up
    "#);
    // A transfer that was asked for is not asked for again.
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, plays("t1")), (2_200, says("t1", "おつなぎします"))]);
    story.tell([(2_300, wants("t1", "a", "transfer", r#"{"to":"sales"}"#)), (2_400, done("t1"))]);
    story.tell([(3_000, played("t1"))]);
    story.until(3_500);
    assert!(story.log().contains("refer to"));
    let mut story = story.restarted(4_000, Some(terms()), TakenUp::default());
    story.tell([(4_100, not_found())]);
    assert!(!story.log().contains("refer"));
    assert_eq!(story.reason(), Some(EndedReason::Transferred));
}

/// A bridged call that talks, with a tool in flight.
fn bridged() -> Story {
    let mut story = talking();
    story.call.record.path = Path::MediaStreams;
    story.tell([(4_000, begins("t2")), (4_100, wants("t2", "a", "pay", "{}"))]);
    story
}

#[test]
fn a_bridged_caller_comes_back_into_the_same_call() {
    let mut story = bridged().restarted(5_000, None, TakenUp::default());
    assert_snapshot!(story.log(), @r#"
    5.000 another process
          - note gateway.restarted
          - note tool.interrupted {"detail":"pay"}
          - tool a interrupted
          - ask the carrier
          - line Assistant 3.600–? Final はい、さくら商店です
    "#);
    let record = &story.call.record;
    assert_eq!((record.state, record.awaits_return()), (State::Dialing, true));
    assert_eq!(story.tools[&0].outcome, Some(ToolOutcomeKind::Interrupted));
    story.tell([(5_500, stream_over("in-progress")), (6_000, stream_offered()), (6_100, session())]);
    story.tell([(6_200, attached())]);
    assert_snapshot!(story.log(), @r#"
    6.000 offered
          - note caller.returned
          - accept
    6.100 accept answered: Session(Some(sess_1))
          - attach
    6.200 attached
          - #1 tell as System: About the tool `pay`: whether it was done is not known: the connection broke while it ran. Say so, and ask the caller before doing it again.
          - #2 prompt "The line broke because of a faul"
    "#);
    let interrupted = story.call.record.interrupted.expect("interrupted");
    assert_eq!((interrupted.times, interrupted.returned), (1, Some(at(6_000))));
    story.until(200_000);
    assert!(!story.call.is_over(), "{}", story.log());
}

#[test]
fn a_session_that_goes_on_with_a_bridged_call_is_told_what_the_one_before_did_not_say() {
    let mut story = bridged();
    story.tell([(4_200, wants("t2", "b", "lookup", "{}")), (4_300, wants("t2", "c", "pay", "{}"))]);
    story.tell([(4_300, Event::ToolDeferred("c".into())), (4_400, answers("b"))]);
    story.log();
    let mut story = story.restarted(5_000, None, TakenUp::default());
    assert_eq!(story.tools[&2].outcome, Some(ToolOutcomeKind::Cancelled));
    story.tell([(6_000, stream_offered()), (6_100, session())]);
    story.log();
    story.tell([(6_200, attached())]);
    assert_snapshot!(story.log(), @r#"
    6.200 attached
          - #1 tell as System: The tool `lookup` was run before the connection broke, and answered: {"answer":"b"}
          - #2 tell as System: About the tool `pay`: whether it was done is not known: the connection broke while it ran. Say so, and ask the caller before doing it again.
          - #3 tell as System: The tool `pay` was not run: the connection broke before. If the caller still wants it, run it.
          - #4 prompt "The line broke because of a faul"
    "#);
}

#[test]
fn a_bridged_caller_who_does_not_come_back_is_not_waited_for_for_ever() {
    let mut story = bridged().restarted(5_000, None, TakenUp::default());
    story.until(64_000);
    assert!(!story.call.is_over());
    story.until(65_000);
    assert_eq!(story.reason(), Some(EndedReason::GatewayLost));
    let mut story = bridged().restarted(5_000, None, TakenUp::default());
    story.tell([(5_100, Event::CarrierAnswered("completed".into()))]);
    assert_eq!(story.reason(), Some(EndedReason::GatewayLost));
    assert!(story.lines.values().all(|line| line.status != LineStatus::Untranscribed));
}

#[test]
fn limits_count_from_the_first_process() {
    let mut terms = terms();
    terms.duration_max = Some(Duration::from_secs(600));
    let limits = terms.clone();
    let mut story = Story::live(|own| *own = limits).restarted(60_000, Some(terms), TakenUp::default());
    story.tell([(60_100, attached())]);
    story.until(602_000);
    assert!(story.log().contains("prompt \"The time of this call is over"));
}

/// Found by the simulation: the machine's clock went back between the move and the tool.
#[test]
fn a_tool_of_a_moved_call_is_answered_though_the_clock_went_back() {
    let mut story = Story::with_a_way_out();
    story.tell([(100, in_a_hurry(offered(|_| {}))), (2_000, Event::Deadline)]);
    story.tell([(3_000, stream_offered()), (3_100, session()), (3_200, attached())]);
    assert!(story.call.record.moved.is_some(), "{}", story.log());
    if let Some(moved) = &mut story.call.record.moved {
        moved.at = at(600_000);
    }
    story.tell([(4_000, begins("t1")), (4_100, wants("t1", "a", "pay", "{}"))]);
    let story = story.restarted(5_000, None, TakenUp::default());
    assert_eq!(story.tools[&0].outcome, Some(ToolOutcomeKind::Interrupted));
}

/// An earlier process may have asked it to go on, and not have lived to see it begin.
#[test]
fn a_model_that_may_go_on_already_is_not_asked_to_while_it_speaks() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a")), (2_200, done("t1"))]);
    story.tell([(2_500, answers("a"))]);
    let mut story = story.restarted(4_000, Some(terms()), TakenUp::default());
    story.tell([(4_100, attached()), (4_150, acked("a"))]);
    // Words of a turn whose beginning nobody saw.
    story.tell([(4_900, says_on("t2", "it is")), (5_700, says_on("t2", " on its way"))]);
    assert!(!story.log().contains("prompt"));
    story.tell([(6_000, done("t2"))]);
    let log = story.log();
    assert!(log.contains("prompt"), "{log}");
    // Where nothing is seen, it is asked.
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, wants_lookup("t1", "a")), (2_200, done("t1"))]);
    story.tell([(2_500, answers("a"))]);
    let mut story = story.restarted(4_000, Some(terms()), TakenUp::default());
    story.tell([(4_100, attached()), (4_150, acked("a"))]);
    assert!(!story.log().contains("prompt"));
    story.until(5_200);
    let log = story.log();
    assert!(log.contains("prompt"), "{log}");
}

/// Of many lines only the last are remembered, so that late words make no second line.
#[test]
fn the_last_line_is_remembered_though_the_clock_was_set_back() {
    let mut story = Story::live(|_| {});
    for n in 0..40 {
        story.tell([(200_000 + n, caller_says(&format!("i{n}"), "words"))]);
    }
    let last = story.lines.values_mut().max_by_key(|line| line.n).expect("a line");
    last.started = at(100_000);
    let mut story = story.restarted(201_000, Some(terms()), TakenUp::default());
    story.tell([(201_100, attached()), (201_200, added("i40", "i39"))]);
    let log = story.log();
    assert!(!log.contains("what is i39?"), "{log}");
    story.tell([(201_300, caller_says("i39", "words"))]);
    assert_eq!(story.lines.len(), 40);
}

/// Found by the simulation: the caller spoke again before the words came whose beginning nobody saw.
#[test]
fn words_whose_beginning_passed_unseen_stand_before_those_that_follow() {
    let mut story = Story::live(|_| {});
    story.tell([(9_000, hears("i1", 8_500))]);
    let mut story = story.restarted(12_000, Some(terms()), TakenUp::default());
    story.tell([(12_100, attached()), (13_000, hears("i2", 12_500)), (13_700, caller_says("i1", "first"))]);
    story.tell([(14_000, hears_end("i2", 13_500)), (14_900, caller_says("i2", "second"))]);
    assert_snapshot!(story.transcript(), @r#"
    Caller 11.600–? Final first
    Caller 13.000–13.500 Final second
    "#);
    // The provider names what it heard meanwhile, and writes it down after the caller has begun to speak again.
    let mut story = Story::live(|_| {}).restarted(12_000, Some(terms()), TakenUp::default());
    story.tell([
        (12_100, attached()),
        (12_110, added("item-t1", "i1")),
        (12_600, caller_says("i1", "first")),
    ]);
    story.tell([
        (12_640, hears("i2", 12_100)),
        (13_000, hears_end("i2", 12_900)),
        (13_500, caller_says("i2", "second")),
    ]);
    assert_snapshot!(story.transcript(), @r#"
    Caller 11.600–? Final first
    Caller 12.500–12.800 Final second
    "#);
    // Of an utterance only the end was seen.
    let mut story = Story::live(|_| {}).restarted(12_000, Some(terms()), TakenUp::default());
    story.tell([(12_100, attached()), (12_700, hears_end("i1", 12_600)), (12_710, added("i1", "i0"))]);
    story.tell([(13_500, caller_says("i1", "only"))]);
    assert_snapshot!(story.transcript(), @"Caller 11.600–12.500 Final only");
}
