//! Turns and words: who speaks when, and what is written down of it.

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::event::{AcceptAnswer, AttachFailure};
use switchboard::call::terms::Greeting;

use super::story::*;

#[test]
fn a_call_is_answered_greeted_and_hung_up_by_the_caller() {
    let mut story = Story::dialing();
    story.tell([
        (60, leg("initiated", 0)),
        (100, offered(|terms| terms.greeting = Greeting::Say("お電話ありがとうございます".into()))),
        (110, Event::AcceptSent),
        (300, Event::AcceptAnswered(AcceptAnswer::Ok)),
        (800, leg("in-progress", 2)),
        (900, attached()),
        (1_000, begins_as("t1", 1)),
        (1_100, plays("t1")),
        (1_300, says("t1", "お電話ありがとうございます")),
        (1_400, done("t1")),
        (3_100, played("t1")),
        (3_900, hears("i1", 3_000)),
        (5_000, hears_end("i1", 4_500)),
        (5_050, begins("t2")),
        (5_400, caller_says("i1", "注文の件で")),
        (5_500, plays("t2")),
        (5_600, says("t2", "はい、どうぞ")),
        (5_700, done("t2")),
        (7_000, played("t2")),
        (9_000, lost()),
        (9_500, Event::AttachFailed(AttachFailure::NotFound)),
        (9_600, leg("completed", 3)),
        (9_700, dial_ended("completed", Some(200), true, "completed")),
    ]);
    assert_snapshot!(story.log(), @r#"
    0.100 offered
          - accept
    0.300 accept answered: Ok
          - attach
    0.900 attached
          - #1 prompt "Greet the caller with exactly th" without tools
    1.400 turn t1 ends: Completed
          - line Assistant 1.100–? Final お電話ありがとうございます
    3.100 t1 was heard
          - line Assistant 1.100–3.100 Final お電話ありがとうございます
    5.400 caller's words (i1) 注文の件で
          - line Caller 3.800–4.800 Final 注文の件で
    5.700 turn t2 ends: Completed
          - line Assistant 5.500–? Final はい、どうぞ
    7.000 t2 was heard
          - line Assistant 5.500–7.000 Final はい、どうぞ
    9.000 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
    9.500 attach failed: NotFound
          - ended caller_hangup
    "#);
    assert_snapshot!(story.transcript(), @"
    Assistant 1.100–3.100 Final お電話ありがとうございます
    Caller 3.800–4.800 Final 注文の件で
    Assistant 5.500–7.000 Final はい、どうぞ
    ");
}
