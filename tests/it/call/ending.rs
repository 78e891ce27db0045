//! How a call ends when nobody planned it, and what the carrier's reports make of it in any order.

use insta::assert_snapshot;
use proptest::prelude::*;
use switchboard::call::Event;
use switchboard::call::event::{AcceptAnswer, AttachFailure, CarrierEvent};
use switchboard::call::record::{Carrier, EndedReason, State};

use super::story::*;

fn not_found() -> Event {
    Event::AttachFailed(AttachFailure::NotFound)
}

fn accepted_ok() -> Event {
    Event::AcceptAnswered(AcceptAnswer::Ok)
}

#[test]
fn a_call_that_nobody_offers_ends_with_the_dial_or_at_the_very_last() {
    let mut story = Story::dialing();
    story.tell([(8_000, leg("failed", 2)), (8_100, dial_ended("failed", Some(400), false, "in-progress"))]);
    assert_snapshot!(story.log(), @"
    8.100 dial ended failed, caller in-progress
          - ended provider_silent: SIP 400
    ");
    let mut story = Story::dialing();
    story.tell([(8_000, leg("no-answer", 2))]);
    story.until(1_000_000);
    assert_snapshot!(story.log(), @"
    660.000 (deadline)
            - ended provider_silent: no webhook, no report
    ");
}

#[test]
fn a_caller_who_is_gone_ends_the_call_in_every_state() {
    let mut log = String::new();
    for mut story in [Story::dialing(), Story::offered(|_| {}), Story::accepted(|_| {}), Story::live(|_| {})]
    {
        story.skip();
        story.tell([
            (2_000, caller_status("completed")),
            (2_100, dial_ended("canceled", None, false, "completed")),
        ]);
        story.until(60_000);
        log += &story.log();
        assert!(story.call.is_over());
    }
    assert_snapshot!(log, @"
    2.000 caller's leg completed
          - ended caller_gone
    2.000 caller's leg completed
          - hang up
          - ended caller_gone
    2.000 caller's leg completed
          - hang up
          - ended caller_gone
    5.000 (deadline)
          - hang up
          - ended caller_hangup
    ");
}

#[test]
fn a_leg_that_fails_before_the_sideband_is_up_says_why() {
    let mut log = String::new();
    let results = [
        ("failed", Some(400), false, "in-progress"),
        ("busy", Some(486), false, "ringing"),
        ("completed", Some(200), true, "in-progress"),
        ("no-answer", Some(487), false, "completed"),
    ];
    for (status, code, bridged, caller) in results {
        let mut story = Story::accepted(|_| {});
        story.tell([(2_000, leg(status, 3)), (2_100, dial_ended(status, code, bridged, caller))]);
        log += &story.log();
    }
    assert_snapshot!(log, @"
    2.100 dial ended failed, caller in-progress
          - hang up
          - ended leg_failed: SIP 400
    2.100 dial ended busy, caller ringing
          - hang up
          - ended leg_failed: SIP 486
    2.100 dial ended completed, caller in-progress
          - hang up
          - ended provider_dropped: SIP 200
    2.100 dial ended no-answer, caller completed
          - hang up
          - ended caller_gone
    ");
}

#[test]
fn a_leg_that_is_over_without_a_result_of_the_dial_is_not_waited_for() {
    let mut log = String::new();
    for status in ["failed", "completed", "canceled"] {
        let mut story = Story::offered(|_| {});
        story.tell([(200, leg(status, 3))]);
        story.until(60_000);
        log += &story.log();
    }
    assert_snapshot!(log, @"
    3.200 (deadline)
          - hang up
          - ended leg_failed
    3.200 (deadline)
          - hang up
          - ended caller_gone
    3.200 (deadline)
          - hang up
          - ended caller_gone
    ");
}

#[test]
fn a_provider_that_drops_a_caller_who_is_still_there_is_named() {
    let mut story = Story::live(|_| {});
    story.skip();
    story.tell([
        (2_000, lost()),
        (2_050, leg("completed", 3)),
        (2_130, dial_ended("completed", Some(200), true, "in-progress")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.000 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    2.050 leg completed
          - ended caller_hangup
    "#);
    assert_eq!(story.reason(), Some(EndedReason::ProviderDropped));
    let mut story = Story::live(|_| {});
    story.tell([(2_000, dial_ended("completed", Some(200), true, "in-progress")), (2_050, lost())]);
    assert_eq!(story.reason(), Some(EndedReason::ProviderDropped));
}

#[test]
fn a_hang_up_of_ours_is_not_blamed_on_the_provider() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, hang_up()),
        (2_050, dial_ended("completed", Some(200), true, "in-progress")),
        (2_100, lost()),
        (2_150, leg("completed", 3)),
    ]);
    assert_eq!(story.reason(), Some(EndedReason::Operator));
}

#[test]
fn an_operator_ends_a_call_in_every_state() {
    let mut log = String::new();
    for mut story in [Story::dialing(), Story::offered(|_| {}), Story::accepted(|_| {}), Story::live(|_| {})]
    {
        story.skip();
        story.tell([(2_000, hang_up()), (2_100, hang_up())]);
        story.until(2_200);
        log += &story.log();
        story.tell([(2_300, accepted_ok()), (2_400, attached()), (2_500, lost())]);
        log += &story.log();
        assert_eq!(story.reason(), Some(EndedReason::Operator));
    }
    assert_snapshot!(log, @"
    2.000 the operator hangs up
          - ended operator
    2.300 accept answered: Ok
          - hang up
          - ended operator
    2.000 the operator hangs up
          - hang up
          - ended operator
    2.000 the operator hangs up
          - hang up
    2.500 sideband lost 1006
          - ended operator
    ");
}

#[test]
fn an_accept_that_fails_after_the_operator_hung_up_needs_no_hang_up() {
    let mut log = String::new();
    for answer in [AcceptAnswer::Gone, AcceptAnswer::Refused("500".into())] {
        let mut story = Story::offered(|_| {});
        story.tell([(2_000, hang_up()), (2_300, Event::AcceptAnswered(answer))]);
        log += &story.log();
    }
    assert_snapshot!(log, @r#"
    2.300 accept answered: Gone
          - ended operator
    2.300 accept answered: Refused("500")
          - reject 480
          - ended operator
    "#);
}

#[test]
fn an_offer_that_comes_too_late_is_turned_away() {
    let mut story = Story::dialing();
    story.tell([(2_000, caller_status("completed")), (2_100, offered(|_| {})), (2_200, offered(|_| {}))]);
    assert_snapshot!(story.log(), @"
    2.000 caller's leg completed
          - ended caller_gone
    2.100 offered
          - reject 480
    ");
    let mut story = Story::dialing();
    story.tell([(2_000, leg("failed", 2)), (2_100, offered(|_| {})), (2_200, accepted_ok())]);
    story.until(60_000);
    assert_snapshot!(story.log(), @"
    2.100 offered
          - accept
    2.200 accept answered: Ok
          - attach
    5.100 (deadline)
          - hang up
          - ended leg_failed
    ");
}

#[test]
fn an_offer_that_comes_twice_is_noted() {
    let mut story = Story::offered(|_| {});
    story.tell([(200, offered(|_| {})), (210, accepted_ok()), (220, offered(|_| {}))]);
    assert_snapshot!(story.log(), @"
    0.200 offered
          - note offer.again
    0.210 accept answered: Ok
          - attach
    0.220 offered
          - note offer.again
    ");
}

#[test]
fn what_the_carrier_tells_after_the_end_is_kept() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, lost()), (2_500, not_found())]);
    let billed = CarrierEvent::Leg {
        sid: "CA-leg".into(),
        status: "completed".into(),
        sequence: Some(3),
        sip_code: Some(200),
        sip_call_id: None,
        duration_s: Some(33),
    };
    story.tell([(3_000, dial_ended("completed", None, true, "completed"))]);
    let kept = story.call.step(Event::Carrier(billed.clone()), at(3_100));
    assert_eq!(kept.len(), 1, "the record with the seconds: {kept:?}");
    let kept = story.call.step(Event::Carrier(billed), at(3_200));
    assert_eq!(kept.len(), 0, "nothing new: {kept:?}");
    let carrier = story.call.record.carrier.expect("a carrier");
    assert_eq!((carrier.leg_duration_s, carrier.sip_code), (Some(33), Some(200)));
}

#[test]
fn an_expiry_that_lies_in_the_past_is_not_believed() {
    let mut story = Story::accepted(|_| {});
    story.tell([(1_000, attached_until(Some(at(0))))]);
    story.until(600_000);
    assert_eq!(story.reason(), None);
}

#[test]
fn a_bare_trunk_has_no_carrier_and_no_reports() {
    let mut story = Story::live(|_| {});
    story.call.record.carrier = None;
    story.skip();
    story.tell([(2_000, leg("completed", 3)), (2_100, caller_status("completed"))]);
    assert_snapshot!(story.log(), @"");
}

// === any order ===

/// Everything the carrier says of a call that was answered and then hung up by the caller.
fn reports_of_a_caller_who_hung_up() -> Vec<CarrierEvent> {
    let events = [
        leg("initiated", 0),
        leg("ringing", 1),
        leg("in-progress", 2),
        leg("completed", 3),
        dial_ended("completed", Some(200), true, "completed"),
        caller_status("completed"),
    ];
    events.into_iter().map(carrier_event).collect()
}

/// The same of a leg that the provider refused while the caller waited.
fn reports_of_a_leg_that_failed() -> Vec<CarrierEvent> {
    let events = [
        leg("initiated", 0),
        leg("ringing", 1),
        leg("failed", 2),
        dial_ended("failed", Some(503), false, "in-progress"),
    ];
    events.into_iter().map(carrier_event).collect()
}

fn carrier_event(event: Event) -> CarrierEvent {
    match event {
        Event::Carrier(event) => event,
        other => panic!("not of the carrier: {other:?}"),
    }
}

fn doubled(reports: Vec<CarrierEvent>) -> impl Strategy<Value = Vec<CarrierEvent>> {
    Just(reports.iter().chain(&reports).cloned().collect::<Vec<_>>()).prop_shuffle()
}

fn in_state(state: State) -> Story {
    match state {
        State::Dialing => Story::dialing(),
        State::Offered => Story::offered(|_| {}),
        State::Accepted => Story::accepted(|_| {}),
        _ => Story::live(|_| {}),
    }
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![Just(State::Dialing), Just(State::Offered), Just(State::Accepted), Just(State::Live)]
}

/// Tells the reports one after the other, 10 ms apart, then that the provider's side is gone as well.
fn told(state: State, reports: Vec<CarrierEvent>) -> Story {
    let mut story = in_state(state);
    let mut now = 2_000;
    for report in reports {
        story.tell([(now, Event::Carrier(report))]);
        now += 10;
    }
    story.tell([(now, lost()), (now + 500, not_found())]);
    story.until(now + 20_000);
    story
}

fn carrier_of(story: &Story) -> Carrier {
    story.call.record.carrier.clone().expect("a carrier")
}

proptest! {
    #[test]
    fn any_order_of_reports_of_a_hang_up_ends_the_same(
        state in any_state(),
        reports in doubled(reports_of_a_caller_who_hung_up()),
    ) {
        let in_order = told(state, reports_of_a_caller_who_hung_up());
        let story = told(state, reports);
        prop_assert_eq!(carrier_of(&story), carrier_of(&in_order));
        let reason = if state == State::Live { EndedReason::CallerHangup } else { EndedReason::CallerGone };
        prop_assert_eq!(story.reason(), Some(reason));
    }

    #[test]
    fn any_order_of_reports_of_a_failed_leg_ends_the_same(
        state in any_state(),
        reports in doubled(reports_of_a_leg_that_failed()),
    ) {
        let in_order = told(state, reports_of_a_leg_that_failed());
        let story = told(state, reports);
        prop_assert_eq!(carrier_of(&story), carrier_of(&in_order));
        let reason = match state {
            State::Dialing => EndedReason::ProviderSilent,
            State::Live => EndedReason::ProviderDropped,
            _ => EndedReason::LegFailed,
        };
        prop_assert_eq!(story.reason(), Some(reason));
    }
}
