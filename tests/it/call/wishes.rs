//! What tools and hooks want of a call: carried out, put off, or noted with the reason why not.

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::event::{ErrorClass, Verdict, Wish};

use super::story::*;

fn want(wish: Wish) -> Event {
    wished(None, wish)
}

fn say(words: &str) -> Event {
    want(Wish::Say(words.to_owned()))
}

fn set(name: &str, value: &str) -> Event {
    want(Wish::SetVariable { name: name.to_owned(), value: value.to_owned() })
}

#[test]
fn what_is_to_be_said_is_said_in_order_and_the_answer_of_a_tool_is_not_lost_over_it() {
    let mut story = Story::live(|_| {});
    story.tell([(1_900, begins("t1")), (2_000, wants_lookup("t1", "a")), (2_100, done("t1"))]);
    story.skip();
    story.tell([
        (2_200, say("一")),
        (2_210, say("二")),
        (2_220, answers("a")),
        (2_230, acked("a")),
        (2_300, begins_as("t2", 1)),
        (2_400, done("t2")),
        (2_500, begins_as("t3", 3)),
        (2_600, done("t3")),
        (2_700, begins_as("t4", 4)),
        (2_800, done("t4")),
    ]);
    story.until(20_000);
    assert_snapshot!(story.log(), @r#"
    2.200 (orders wants Say("一"))
          - note wish.say {"detail":"orders: 一"}
          - #1 prompt "Say exactly this to the caller, " without tools
    2.210 (orders wants Say("二"))
          - note wish.say {"detail":"orders: 二"}
    2.220 tool a answers
          - #2 output of a: {"answer":"a"}
          - tool a ok
    2.400 turn t2 ends: Completed
          - #3 prompt
    2.600 turn t3 ends: Completed
          - #4 prompt "Say exactly this to the caller, " without tools
    "#);
}

#[test]
fn context_goes_in_as_the_system_and_nothing_is_said() {
    let mut story = Story::live(|_| {});
    story.skip();
    story.tell([(2_000, want(Wish::InjectContext("The caller has two open orders.".into())))]);
    assert_snapshot!(story.log(), @r#"
    2.000 (orders wants InjectContext("The caller has two open orders."))
          - note wish.inject_context {"detail":"orders: The caller has two open orders."}
          - #1 tell as System: The caller has two open orders.
    "#);
}

#[test]
fn a_transfer_is_told_to_the_caller_first_and_not_talked_away() {
    let mut story = Story::live(|_| {});
    story.skip();
    story.tell([
        (2_000, want(Wish::Transfer("sales".into()))),
        (2_010, begins("t1")),
        (2_050, error(ErrorClass::TurnActive, Some(1))),
        (2_100, done("t1")),
        (2_200, begins_as("t2", 2)),
        (2_250, says("t2", "おつなぎします")),
        (2_260, plays("t2")),
        (2_300, done("t2")),
        (2_400, cut("t2")),
    ]);
    story.until(3_000);
    assert_snapshot!(story.log(), @r#"
    2.000 (orders wants Transfer("sales"))
          - note wish.transfer {"detail":"orders"}
          - #1 prompt "Tell the caller in one short sen" without tools
    2.100 turn t1 ends: Completed
          - #2 prompt "Tell the caller in one short sen" without tools
    2.300 turn t2 ends: Completed
          - line Assistant 2.260–? Final おつなぎします
    2.400 t2 was cut
          - line Assistant 2.260–2.400 Interrupted おつなぎします
    2.700 (deadline)
          - note transfer.asked
          - refer to tel:+81300000001
    "#);
}

#[test]
fn a_target_that_does_not_exist_and_a_second_exit_are_noted() {
    let mut story = Story::live(|_| {});
    story.skip();
    story.tell([
        (2_000, want(Wish::Transfer("moon".into()))),
        (2_100, want(Wish::HangUp)),
        (2_200, want(Wish::Transfer("sales".into()))),
        (2_300, say("遅すぎ")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.000 (orders wants Transfer("moon"))
          - note wish.ignored {"detail":"orders: transfer to `moon`, which is no target of the session"}
    2.100 (orders wants HangUp)
          - note wish.hang_up {"detail":"orders"}
          - #1 prompt "Say a short goodbye to the calle" without tools
    2.200 (orders wants Transfer("sales"))
          - note wish.ignored {"detail":"orders: the call is being left already"}
    2.300 (orders wants Say("遅すぎ"))
          - note wish.ignored {"detail":"orders: say: the call is being left"}
    "#);
}

#[test]
fn a_turn_that_was_asked_for_before_does_not_take_the_goodbye_away() {
    let mut story = Story::live(|_| {});
    story.skip();
    story.tell([
        (2_000, say("少々")),
        (2_010, want(Wish::HangUp)),
        (2_100, begins_as("t1", 1)),
        (2_200, done("t1")),
        (2_300, begins_as("t2", 2)),
        (2_310, says("t2", "失礼いたします")),
        (2_320, plays("t2")),
        (2_400, done("t2")),
        (3_000, played("t2")),
    ]);
    story.until(3_400);
    story.tell([(3_500, lost())]);
    assert_snapshot!(story.log(), @r#"
    2.000 (orders wants Say("少々"))
          - note wish.say {"detail":"orders: 少々"}
          - #1 prompt "Say exactly this to the caller, " without tools
    2.010 (orders wants HangUp)
          - note wish.hang_up {"detail":"orders"}
    2.200 turn t1 ends: Completed
          - #2 prompt "Say a short goodbye to the calle" without tools
    2.400 turn t2 ends: Completed
          - line Assistant 2.320–? Final 失礼いたします
    3.000 t2 was heard
          - line Assistant 2.320–3.000 Final 失礼いたします
    3.300 (deadline)
          - hang up
    3.500 sideband lost 1006
          - ended assistant_hangup
    "#);
}

#[test]
fn wishes_wait_for_the_sideband_and_those_of_a_call_that_never_was_up_are_noted() {
    let mut story = Story::accepted(|_| {});
    story.tell([(400, say("一")), (410, want(Wish::InjectContext("二".into()))), (1_000, attached())]);
    story.tell([
        (1_100, begins_as("t1", 2)),
        (1_150, done("t1")),
        (1_200, lost()),
        (1_300, say("三")),
        (1_800, attached()),
    ]);
    assert_snapshot!(story.log(), @r#"
    1.000 attached
          - note wish.say {"detail":"orders: 一"}
          - note wish.inject_context {"detail":"orders: 二"}
          - #1 tell as System: 二
          - #2 prompt "Say exactly this to the caller, " without tools
    1.200 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    1.800 attached
          - note sideband.reattached {"detail":"600 ms"}
          - note wish.say {"detail":"orders: 三"}
          - #3 prompt "Say exactly this to the caller, " without tools
    "#);
    let mut story = Story::accepted(|_| {});
    for n in 0..17 {
        story.tell([(400, say(&n.to_string()))]);
    }
    story.tell([(500, hang_up()), (600, say("vorbei"))]);
    let log = story.log();
    let lost = log.lines().filter(|line| line.contains("wish.lost")).count();
    assert_eq!((lost, story.events.len()), (17, 17), "{log}");
    assert!(log.contains("too many wait for the sideband"), "{log}");
}

#[test]
fn what_was_not_said_before_the_end_is_noted() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1")), (2_100, say("一")), (2_200, say("二")), (2_300, leg("completed", 3))]);
    story.skip();
    story.tell([(2_400, lost())]);
    assert_snapshot!(story.log(), @r#"
    2.400 sideband lost 1006
          - note wish.unsaid {"detail":"2 of what plugins wanted to say"}
          - ended caller_hangup
    "#);
}

#[test]
fn too_much_to_say_is_noted_and_not_kept() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, begins("t1"))]);
    for n in 0..20 {
        story.tell([(2_100, say(&n.to_string()))]);
    }
    let refused = story.events.iter().filter(|event| event.kind == "wish.ignored").count();
    assert_eq!(refused, 12);
}

#[test]
fn variables_are_kept_and_bounded() {
    let mut story = Story::offered(|_| {});
    story.tell([(200, set("customer", "42")), (210, set("customer", "43"))]);
    assert_snapshot!(story.log(), @r#"
    0.200 (orders wants SetVariable { name: "customer", value: "42" })
          - note wish.set_variable {"detail":"orders: customer"}
    0.210 (orders wants SetVariable { name: "customer", value: "43" })
          - note wish.set_variable {"detail":"orders: customer"}
    "#);
    assert_eq!(story.call.record.vars["customer"], "43");
    for (name, value) in [("", "x"), ("9a", "x"), ("a b", "x"), ("long", &*"x".repeat(4_097))] {
        story.tell([(220, set(name, value))]);
        assert!(story.events.last().is_some_and(|event| event.kind == "wish.ignored"), "{name:?}");
    }
    for n in 0..100 {
        story.tell([(230, set(&format!("v{n}"), "x"))]);
    }
    assert_eq!(story.call.record.vars.len(), 64);
    story.tell([(240, set("customer", "44"))]);
    assert_eq!(story.call.record.vars["customer"], "44");
}

#[test]
fn a_flood_of_wishes_leaves_room_for_what_else_happens() {
    let mut story = Story::live(|_| {});
    for n in 0..600 {
        story.tell([(2_000, set("flood", &n.to_string()))]);
    }
    assert_eq!(story.events.len(), 400);
    story.tell([(3_000, lost())]);
    assert_eq!(story.events.last().map(|event| event.kind.as_str()), Some("sideband.lost"));
}

#[test]
fn a_call_that_is_forwarded_is_left_already() {
    let mut story = Story::dialing();
    let terms = Box::new(terms());
    story.tell([
        (100, offer(Verdict::Forward { target: "tel:+81300000009".into(), terms })),
        (300, Event::AcceptAnswered(switchboard::call::event::AcceptAnswer::Ok)),
        (400, want(Wish::HangUp)),
        (1_000, attached()),
    ]);
    let log = story.log();
    assert!(log.contains("refer to tel:+81300000009"), "{log}");
    assert!(log.contains("the call is being left already") && !log.contains("hang up"), "{log}");
}
