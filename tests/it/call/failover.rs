//! From one path to the other: what moves a call, what does not, and what the new path knows of the old.

use std::time::Duration;

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::event::{AcceptAnswer, AttachFailure, CarrierEvent, Offer, TurnStatus};
use switchboard::call::record::{EndedReason, LineStatus, Path, Stages, State, Usage};
use switchboard::call::terms::Greeting;

use super::story::*;

/// What the provider offers, to be accepted within 1.5 s.
fn offered_in_a_hurry() -> Event {
    in_a_hurry(greeted())
}

fn greeted() -> Event {
    offered(|terms| terms.greeting = Greeting::ByInstructions)
}

/// What a stream offers.
pub(super) fn stream_offered() -> Event {
    on_stream(greeted())
}

pub(super) fn session() -> Event {
    Event::AcceptAnswered(AcceptAnswer::Session(Some("sess_1".into())))
}

fn dial_failed(code: u16) -> Event {
    dial_ended("failed", Some(code), false, "ringing")
}

pub(super) fn stream_over(caller_status: &str) -> Event {
    Event::Carrier(CarrierEvent::StreamEnded { caller_status: caller_status.into() })
}

/// A way to fail: its name, what happens and when, and the reason that is kept.
type Failing = (&'static str, Vec<(u64, Event)>, EndedReason);

/// The ways to fail before anybody was heard.
fn failures() -> Vec<Failing> {
    let accepted = || vec![(100, offered_in_a_hurry()), (200, Event::AcceptAnswered(AcceptAnswer::Ok))];
    let with = |mut before: Vec<(u64, Event)>, after: Vec<(u64, Event)>| {
        before.extend(after);
        before
    };
    let refused = Event::AcceptAnswered(AcceptAnswer::Refused("500".into()));
    vec![
        ("no webhook", vec![(8_000, dial_failed(400))], EndedReason::ProviderSilent),
        ("refused", vec![(100, offered_in_a_hurry()), (300, refused)], EndedReason::AcceptFailed),
        ("late", vec![(100, offered_in_a_hurry())], EndedReason::AcceptFailed),
        (
            "no sideband",
            with(accepted(), vec![(300, Event::AttachFailed(AttachFailure::Denied(401)))]),
            EndedReason::AttachFailed,
        ),
        ("the leg fails", with(accepted(), vec![(300, dial_failed(400))]), EndedReason::LegFailed),
        (
            "dropped at once",
            with(
                accepted(),
                vec![(300, attached()), (400, dial_ended("completed", Some(200), true, "in-progress"))],
            ),
            EndedReason::ProviderDropped,
        ),
        (
            "the leg never rang",
            with(accepted(), vec![(300, attached()), (400, dial_failed(400))]),
            EndedReason::LegFailed,
        ),
        (
            "dropped, and the socket tells it first",
            with(
                accepted(),
                vec![
                    (300, attached()),
                    (400, lost()),
                    (900, Event::AttachFailed(AttachFailure::NotFound)),
                    (1_000, dial_ended("completed", Some(200), true, "in-progress")),
                ],
            ),
            EndedReason::ProviderDropped,
        ),
        (
            "dropped, and a report comes between",
            with(
                accepted(),
                vec![(300, attached()), (400, lost()), (450, leg("failed", 3)), (500, dial_failed(400))],
            ),
            EndedReason::LegFailed,
        ),
        (
            "dropped, and a report tells it first",
            with(
                accepted(),
                vec![
                    (300, attached()),
                    (400, leg("completed", 3)),
                    (410, lost()),
                    (500, dial_ended("completed", Some(200), true, "in-progress")),
                ],
            ),
            EndedReason::ProviderDropped,
        ),
    ]
}

fn told(story: &mut Story, events: Vec<(u64, Event)>) {
    events.into_iter().for_each(|event| story.tell([event]));
}

#[test]
fn every_failure_moves_the_caller_once_and_the_other_path_answers() {
    for (name, events, reason) in failures() {
        let mut story = Story::with_a_way_out();
        told(&mut story, events);
        story.until(10_000);
        let log = story.log();
        let record = &story.call.record;
        assert_eq!((record.path, record.state), (Path::MediaStreams, State::Dialing), "{name}: {log}");
        let record = &story.call.record;
        let moved = record.moved.clone().expect("moved");
        assert_eq!((moved.from, moved.reason, record.other_path), (Path::Sip, reason, None), "{name}");
        assert_eq!(log.matches("let go").count(), 1, "{name}: {log}");
        let known = if name == "no webhook" { "let go of nothing" } else { "let go of rtc_1" };
        assert!(log.contains(known), "{name}: {log}");
        assert!(story.events.iter().any(|event| event.kind == "path.moved"), "{name}");
        // What the old path still tells changes nothing; the new one is answered like any call.
        story.tell([
            (10_000, leg("completed", 9)),
            (10_100, dial_ended("completed", Some(200), true, "in-progress")),
            (10_200, stream_offered()),
            (10_300, session()),
            (10_400, attached()),
        ]);
        let log = story.log();
        assert!(log.contains("prompt"), "{name}: {log}");
        assert_eq!(story.call.record.state, State::Live, "{name}: {log}");
        // A second failure is the end.
        story.tell([(11_000, begins_as("t1", 1)), (11_100, says("t1", "はい")), (11_200, plays("t1"))]);
        assert_eq!(story.call.record.moved.as_ref().and_then(|moved| moved.spoke_again), Some(at(11_200)));
        story.tell([(12_000, stream_over("in-progress"))]);
        assert_eq!(story.reason(), Some(EndedReason::ProviderDropped), "{name}: {}", story.log());
    }
}

#[test]
fn a_caller_who_is_gone_or_was_to_be_left_is_not_moved() {
    for (name, events, _) in failures() {
        for leave in [caller_status("completed"), hang_up()] {
            let is_operator = matches!(leave, Event::Command(_));
            let mut story = Story::with_a_way_out();
            let (last, before) = events.split_last().map_or((None, &[][..]), |(last, all)| (Some(last), all));
            let mut at_ms = 0;
            for (moment, event) in before {
                at_ms = *moment;
                story.tell([(*moment, again(event))]);
            }
            story.tell([(at_ms + 5, leave)]);
            if let Some((moment, event)) = last {
                story.tell([(*moment, again(event))]);
            }
            story.until(60_000);
            assert!(story.call.record.moved.is_none(), "{name}: {}", story.log());
            assert_eq!(story.call.record.state, State::Ended, "{name}");
            if is_operator {
                assert_eq!(story.reason(), Some(EndedReason::Operator), "{name}");
            }
        }
    }
}

/// Events are not copied by anybody but this test.
fn again(event: &Event) -> Event {
    match event {
        Event::Offered(_) => offered_in_a_hurry(),
        Event::AcceptAnswered(answer) => Event::AcceptAnswered(answer.clone()),
        Event::AttachFailed(failure) => Event::AttachFailed(failure.clone()),
        Event::Carrier(event) => Event::Carrier(event.clone()),
        Event::SidebandLost(code) => Event::SidebandLost(*code),
        Event::Provider(event) => Event::Provider(event.clone()),
        other => unreachable!("{other:?}"),
    }
}

/// The carrier dials, and an offer is waited for so long.
fn dialled() -> Story {
    let mut story = Story::with_a_way_out();
    story.call.expect_offer_within(Some(Duration::from_secs(3)));
    story.tell([(150, leg("initiated", 0)), (400, leg("ringing", 1))]);
    story
}

#[test]
fn a_dial_of_which_no_offer_tells_is_ended_and_the_caller_goes_on() {
    let mut story = dialled();
    story.until(3_149);
    assert_eq!(story.call.record.moved, None);
    story.until(3_150);
    assert_snapshot!(story.log(), @r#"
    3.150 (deadline)
          - note path.moved {"detail":"sip to media-streams, provider_silent: no webhook within 3s"}
          - let go of nothing
          - end the leg CA-leg
    "#);
    story.tell([
        (3_300, Event::LegEnded(Ok(()))),
        (3_350, leg("canceled", 2)),
        (3_400, dial_ended("canceled", Some(487), false, "ringing")),
        (3_500, stream_offered()),
        (3_600, session()),
        (3_700, attached()),
    ]);
    assert_eq!(story.call.record.state, State::Live);
}

#[test]
fn a_dial_is_not_ended_where_an_offer_came_or_nobody_could_go_on() {
    let mut offered = dialled();
    offered.tell([(3_100, greeted()), (3_200, Event::AcceptAnswered(AcceptAnswer::Ok)), (3_300, attached())]);
    offered.until(20_000);
    assert_eq!((offered.call.record.state, &offered.call.record.moved), (State::Live, &None));
    let mut without = dialled();
    without.call.record.other_path = None;
    let mut gone = dialled();
    gone.tell([(3_000, caller_status("completed"))]);
    for mut story in [without, gone] {
        story.until(20_000);
        assert!(story.call.record.moved.is_none());
        assert!(!story.log().contains("end the leg"));
    }
}

#[test]
fn a_leg_that_could_not_be_ended_rings_until_the_carrier_goes_on() {
    let mut story = dialled();
    story.tell([(3_300, Event::LegEnded(Err("503".into())))]);
    story.until(60_000);
    assert_eq!(story.call.record.state, State::Dialing);
    story.tell([
        (60_100, dial_ended("no-answer", Some(487), false, "ringing")),
        (60_200, stream_offered()),
        (60_300, session()),
        (60_400, attached()),
    ]);
    assert_eq!(story.call.record.state, State::Live);
}

#[test]
fn a_provider_that_refuses_encrypted_sound_is_dialled_once_more_without_where_that_may_be() {
    let refused = || dial_ended("failed", Some(488), false, "ringing");
    let mut story = Story::with_a_way_out();
    story.call.may_dial_plainly(true);
    story.tell([(150, leg("initiated", 0)), (300, leg("failed", 1)), (350, refused())]);
    let carrier = story.call.record.carrier.clone().expect("a carrier");
    assert!(carrier.is_plain && carrier.leg_status.is_none(), "{carrier:?}");
    assert_eq!((story.call.record.state, &story.call.record.moved), (State::Dialing, &None));
    // What is told of the first leg again changes nothing.
    story.tell([(400, refused()), (410, leg("failed", 1))]);
    assert_eq!(story.call.record.carrier.as_ref(), Some(&carrier));
    let mut second = story;
    let mut of_another_leg = refused();
    if let Event::Carrier(CarrierEvent::DialEnded { leg_sid, .. }) = &mut of_another_leg {
        *leg_sid = Some("CA-other".into());
    }
    // Refused once more: there is no third time.
    second.tell([(600, of_another_leg)]);
    assert_eq!(second.call.record.path, Path::MediaStreams);

    let mut strict = Story::with_a_way_out();
    strict.tell([(350, refused())]);
    assert_eq!(strict.call.record.path, Path::MediaStreams);
}

#[test]
fn an_offer_that_comes_after_the_move_is_turned_away_and_the_other_path_goes_on() {
    let mut story = Story::with_a_way_out();
    story.tell([(8_000, dial_failed(400))]);
    story.skip();
    // Before the other path is there, while it is up, and once the call is over.
    story.tell([
        (8_100, offered_in_a_hurry()),
        (8_200, stream_offered()),
        (8_300, session()),
        (8_400, attached()),
    ]);
    story.tell([(8_500, offered_in_a_hurry()), (9_000, caller_status("completed"))]);
    story.until(13_000);
    story.tell([(13_100, offered_in_a_hurry())]);
    let log = story.log();
    assert_eq!(log.matches("turn away rtc_1 on sip").count(), 3, "{log}");
    assert_eq!(log.matches("- accept").count(), 1, "{log}");
    let moved = story.call.record.moved.as_ref().and_then(|moved| moved.provider_call.clone());
    assert_eq!(moved, Some("rtc_1".into()));
    assert_eq!(story.reason(), Some(EndedReason::CallerHangup), "{log}");
}

#[test]
fn a_conversation_goes_on_with_an_apology_and_keeps_its_lines_and_tools() {
    let mut story = Story::with_a_way_out();
    story.tell([
        (100, offered_in_a_hurry()),
        (200, Event::AcceptAnswered(AcceptAnswer::Ok)),
        (300, attached()),
        (400, begins_as("t1", 1)),
        (500, says("t1", "はい")),
        (600, plays("t1")),
        (900, done("t1")),
        (1_000, played("t1")),
        (1_500, begins("t2")),
        (1_600, wants_lookup("t2", "c1")),
        (1_700, dial_ended("completed", Some(200), true, "in-progress")),
    ]);
    assert_eq!(story.call.record.path, Path::MediaStreams);
    let cancelled = story.tools.get(&0).expect("the tool's record");
    assert_eq!(cancelled.outcome.map(|outcome| outcome.as_str()), Some("cancelled"));
    story.tell([(2_000, stream_offered()), (2_100, session())]);
    story.skip();
    // The answer of the tool that ran before is nobody's.
    story.tell([(2_150, answers("c1")), (2_200, attached())]);
    let log = story.log();
    assert!(log.contains("The line broke"), "{log}");
    assert!(!log.contains("c1"), "{log}");
    story.tell([
        (2_300, begins_as("t3", 2)),
        (2_400, says("t3", "すみません")),
        (2_500, plays("t3")),
        (2_600, wants_lookup("t3", "c2")),
        (2_700, ends("t3", TurnStatus::Completed, &[])),
        (2_800, played("t3")),
        (9_000, caller_status("completed")),
        (9_100, stream_over("completed")),
    ]);
    story.until(13_000);
    assert_eq!(story.reason(), Some(EndedReason::CallerHangup), "{}", story.log());
    let lines: Vec<_> = story.lines.values().map(|line| (line.text.as_str(), line.status)).collect();
    assert_eq!(lines, [("はい", LineStatus::Final), ("すみません", LineStatus::Final)]);
    assert_eq!(story.tools.keys().copied().collect::<Vec<_>>(), [0, 1], "numbers go on");
}

#[test]
fn a_leg_that_the_carrier_cut_for_its_time_ends_the_call() {
    // The carrier's own count of seconds; none: only the report of the answer is there.
    for (duration_s, over_ms, reason, is_moved) in [
        (Some(60), 61_000, EndedReason::MaxDuration, false),
        (Some(59), 61_000, EndedReason::MaxDuration, false),
        (None, 60_300, EndedReason::MaxDuration, false),
        (Some(40), 61_000, EndedReason::ProviderDropped, true),
        (None, 50_000, EndedReason::ProviderDropped, true),
    ] {
        for is_told_by_socket in [false, true] {
            let mut story = Story::with_a_way_out();
            story.call.record.carrier.as_mut().expect("a carrier").time_limit_s = Some(60);
            story.tell([
                (100, offered_in_a_hurry()),
                (200, Event::AcceptAnswered(AcceptAnswer::Ok)),
                (250, leg("in-progress", 2)),
                (300, attached()),
                (400, begins_as("t1", 1)),
                (600, plays("t1")),
            ]);
            if is_told_by_socket {
                story.tell([(over_ms - 20, lost())]);
            }
            let mut over = dial_ended("completed", Some(200), true, "in-progress");
            if let Event::Carrier(CarrierEvent::DialEnded { duration_s: told, .. }) = &mut over {
                *told = duration_s;
            }
            story.tell([(over_ms, over)]);
            if !is_moved {
                story.until(over_ms + 5_000);
            }
            let record = &story.call.record;
            let moved = record.moved.as_ref().map(|moved| moved.reason);
            let ended = record.ended.as_ref().map(|ended| ended.reason);
            let expected = if is_moved { (Some(reason), None) } else { (None, Some(reason)) };
            assert_eq!((moved, ended), expected, "{duration_s:?} at {over_ms}: {}", story.log());
        }
    }
}

#[test]
fn words_that_come_once_the_leg_is_over_are_written_down() {
    let mut story = Story::with_a_way_out();
    story.tell([
        (100, offered_in_a_hurry()),
        (200, Event::AcceptAnswered(AcceptAnswer::Ok)),
        (250, leg("in-progress", 2)),
        (300, attached()),
        (1_000, hears("i1", 700)),
        (2_000, hears_end("i1", 1_700)),
        (2_100, lost()),
        // The caller is gone, as far as the leg tells; only the carrier knows for sure. Meanwhile the sideband opens.
        (2_200, leg("completed", 3)),
        (2_300, attached()),
        (2_310, caller_says("i1", "Goodbye.")),
        (2_320, caller_says("i2", "And thank you.")),
        (2_330, says("t1", "You are welcome.")),
        (2_340, ends_with("t1", TurnStatus::Completed, Usage { text_in: 7, ..Usage::default() })),
    ]);
    story.until(9_000);
    assert!(story.call.is_over(), "{}", story.log());
    let texts: Vec<&str> = story.lines.values().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["Goodbye.", "And thank you.", "You are welcome."]);
    assert_eq!(story.call.record.usage.text_in, 7);
}

#[test]
fn the_stages_of_a_call_are_those_of_the_path_it_ended_on() {
    let mut story = Story::with_a_way_out();
    story.tell([
        (100, offered_in_a_hurry()),
        (110, Event::AcceptSent),
        (200, Event::AcceptAnswered(AcceptAnswer::Ok)),
        (250, leg("in-progress", 2)),
        (300, attached()),
        (400, begins_as("t1", 1)),
        (600, plays("t1")),
        (1_700, dial_ended("completed", Some(200), true, "in-progress")),
        (2_000, offered_at(stream_offered(), 1_990)),
        (2_010, Event::AcceptSent),
        (2_100, session()),
        (2_200, attached()),
        (2_300, begins_as("t2", 2)),
        (2_500, plays("t2")),
    ]);
    let asked = Some(at(0));
    let record = &story.call.record;
    let before = Stages {
        carrier_asked: asked,
        webhook_created: Some(at(0)),
        webhook_received: Some(at(90)),
        accept_sent: Some(at(110)),
        accepted: Some(at(200)),
        attached: Some(at(300)),
        greeted: Some(at(400)),
        leg_answered: Some(at(250)),
        first_audio: Some(at(600)),
        ended: None,
    };
    assert_eq!(record.stages_on(Path::Sip), Some(&before));
    let after = Stages {
        carrier_asked: asked,
        webhook_created: Some(at(1_990)),
        webhook_received: Some(at(1_990)),
        accept_sent: Some(at(2_010)),
        accepted: Some(at(2_100)),
        attached: Some(at(2_200)),
        greeted: None,
        leg_answered: None,
        first_audio: Some(at(2_500)),
        ended: None,
    };
    assert_eq!(record.stages, after);
}

/// The same offer, read at another moment.
fn offered_at(event: Event, millis: u64) -> Event {
    let Event::Offered(offer) = event else { unreachable!("{event:?}") };
    Event::Offered(Box::new(Offer { created: at(millis), received: at(millis), ..*offer }))
}

#[test]
fn a_bridge_that_never_was_goes_over_sip_and_one_that_was_does_not() {
    let bridged = || {
        let mut story = Story::dialing();
        story.call.record.path = Path::MediaStreams;
        story.call.record.other_path = Some(Path::Sip);
        story
    };
    let mut never_came = bridged();
    never_came.tell([(5_000, stream_over("in-progress"))]);
    assert_eq!((never_came.call.record.path, never_came.call.record.state), (Path::Sip, State::Dialing));
    let mut refused = bridged();
    let no = Event::AcceptAnswered(AcceptAnswer::Refused("503".into()));
    refused.tell([(500, stream_offered()), (700, no), (900, stream_over("in-progress"))]);
    assert_eq!((refused.call.record.path, refused.call.record.state), (Path::Sip, State::Dialing));
    refused.tell([(1_500, dial_failed(503))]);
    assert_eq!(refused.reason(), Some(EndedReason::ProviderSilent), "no third way");
    let mut was_up = bridged();
    was_up.tell([(500, stream_offered()), (700, session()), (800, attached())]);
    was_up.tell([(1_500, stream_over("in-progress"))]);
    assert_eq!(was_up.reason(), Some(EndedReason::ProviderDropped), "{}", was_up.log());
}

#[test]
fn the_other_path_is_waited_for_and_not_for_ever() {
    let mut story = Story::with_a_way_out();
    story.tell([(8_000, dial_failed(400))]);
    story.until(120_000);
    assert_eq!(story.reason(), Some(EndedReason::LegFailed));
    assert_eq!(story.call.record.stages.ended, Some(at(38_000)));
}
