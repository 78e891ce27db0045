//! Turns and words: who speaks when, and what is written down of it.

use insta::assert_snapshot;
use switchboard::call::Event;
use switchboard::call::event::{
    AcceptAnswer, AttachFailure, ErrorClass, ProviderEvent, TextMode, TurnStatus,
};
use switchboard::call::record::{EndedReason, Usage};
use switchboard::call::terms::Greeting;

use super::story::*;

#[test]
fn a_call_is_answered_greeted_and_hung_up_by_the_caller() {
    let mut story = Story::dialing();
    story.tell([
        (60, leg("initiated", 0)),
        (100, offered(|terms| terms.greeting = Greeting::Prompt("お電話ありがとうございます".into()))),
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
          - #1 prompt "お電話ありがとうございます" without tools
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

#[test]
fn a_greeting_is_not_spoken_twice_when_the_caller_was_faster() {
    let mut story = Story::live(|terms| terms.greeting = Greeting::ByInstructions);
    story.tell([(1_010, begins("t1")), (1_050, error(ErrorClass::TurnActive, Some(1))), (1_500, done("t1"))]);
    assert_snapshot!(story.log(), @"
    1.000 attached
          - #1 prompt without tools
    ");
    // Words that must be said are said all the same.
    let mut story = Story::live(|terms| terms.greeting = Greeting::Prompt("録音します".into()));
    story.tell([(1_010, begins("t1")), (1_050, error(ErrorClass::TurnActive, Some(1))), (1_500, done("t1"))]);
    assert_snapshot!(story.log(), @r#"
    1.000 attached
          - #1 prompt "録音します" without tools
    1.500 turn t1 ends: Completed
          - #2 prompt "録音します" without tools
    "#);
}

#[test]
fn late_and_missing_words_stand_where_the_speech_was() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, hears("i1", 1_000)),
        (3_000, hears_end("i1", 2_500)),
        (3_100, begins("t1")),
        (3_200, plays("t1")),
        (3_300, says("t1", "はい")),
        (3_400, done("t1")),
        (4_000, played("t1")),
        (4_100, hears("i2", 3_200)),
        (4_700, hears_end("i2", 4_200)),
        (
            4_750,
            Event::Provider(ProviderEvent::CallerTranscriptFailed { item: "i2".into(), reason: "?".into() }),
        ),
        (4_800, caller_says("i1", "もしもし")),
        (5_000, hears("i3", 4_200)),
        (5_300, hears_end("i3", 4_800)),
        (5_400, caller_says("i3", "")),
        (6_000, hears("i4", 5_200)),
        (6_100, caller_words("i4", "あの", TextMode::Append, None)),
        (6_200, caller_words("i4", "、住所が", TextMode::Append, None)),
        (6_300, hears("i5", 5_500)),
        (6_400, leg("completed", 3)),
        (6_500, lost()),
    ]);
    assert_snapshot!(story.transcript(), @"
    Caller 1.800–2.800 Final もしもし
    Assistant 3.200–4.000 Final はい
    Caller 4.000–4.500 Untranscribed 
    Caller 6.000–? Partial あの、住所が
    Caller 6.300–? Untranscribed
    ");
}

#[test]
fn an_interrupted_answer_says_so_and_when() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, plays("t1")),
        (2_200, says("t1", "ご注文は昨日発送され")),
        (3_000, hears("i1", 2_200)),
        (3_010, cut("t1")),
        (3_020, cancelled("t1")),
        (3_030, says("t1", "ご注文は昨日発送されました")),
        (4_000, begins("t2")),
        (4_050, says("t2", "は")),
        (4_100, cancelled("t2")),
        (5_000, begins("t3")),
        (5_100, plays("t3")),
        (5_200, says("t3", "全部生成された")),
        (5_300, done("t3")),
        (5_900, cut("t3")),
        (6_000, played("t3")),
        (7_000, begins("t4")),
        (7_100, plays("t4")),
        (7_200, says("t4", "長すぎて")),
        (7_300, ends("t4", TurnStatus::Incomplete, &[])),
        (8_000, played("t4")),
        (9_000, begins("t5")),
        (9_100, plays("t5")),
        (9_200, says("t5", "話している間に")),
        (9_300, lost()),
        (9_900, Event::AttachFailed(AttachFailure::NotFound)),
    ]);
    assert_snapshot!(story.transcript(), @"
    Assistant 2.100–3.010 Interrupted ご注文は昨日発送され
    Caller 3.000–? Untranscribed 
    Assistant 4.050–? Interrupted は
    Assistant 5.100–5.900 Interrupted 全部生成された
    Assistant 7.100–8.000 Partial 長すぎて
    Assistant 9.100–? Partial 話している間に
    ");
}

#[test]
fn a_playback_that_was_cut_was_not_heard_to_its_end() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, plays("t1")),
        (2_200, says("t1", "ご注文は")),
        (3_000, cut("t1")),
        (3_100, played("t1")),
        (3_200, plays("t1")),
        (3_300, done("t1")),
    ]);
    assert_snapshot!(story.transcript(), @"Assistant 2.100–3.000 Interrupted ご注文は");
}

#[test]
fn a_turn_that_goes_on_over_a_loss_is_one_line() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, begins("t1")),
        (2_100, plays("t1")),
        (2_200, says("t1", "ご注文は")),
        (2_300, lost()),
        (2_900, attached()),
        (3_000, says("t1", "ご注文は昨日発送されました")),
        (3_100, done("t1")),
        (4_000, played("t1")),
    ]);
    assert_snapshot!(story.log(), @r#"
    2.300 sideband lost 1006
          - note sideband.lost {"detail":"close code 1006"}
          - attach after 500 ms
          - line Assistant 2.100–? Partial ご注文は
    2.900 attached
          - note sideband.reattached {"detail":"600 ms"}
          - #1 what is item-t1?
    3.100 turn t1 ends: Completed
          - line Assistant 2.100–? Final ご注文は昨日発送されました
    4.000 t1 was heard
          - line Assistant 2.100–4.000 Final ご注文は昨日発送されました
    "#);
}

#[test]
fn a_moment_the_provider_cannot_mean_does_not_move_the_others() {
    let mut story = Story::live(|_| {});
    story.tell([
        (2_000, hears("i1", u64::MAX)),
        (2_500, hears_end("i1", 9_000_000)),
        (2_600, caller_says("i1", "はい")),
        (3_000, hears("i2", 2_100)),
        (3_100, hears_end("i2", 2_200)),
        (3_200, caller_says("i2", "ええ")),
    ]);
    assert_snapshot!(story.transcript(), @"
    Caller 1.800–2.300 Final はい
    Caller 3.000–3.000 Final ええ
    ");
}

#[test]
fn keys_are_told_together_at_the_hash_or_after_two_seconds() {
    let mut story = Story::live(|_| {});
    story.tell([(2_000, key('1')), (3_000, key('2')), (4_900, key('3'))]);
    story.until(7_000);
    story.tell([(8_000, begins_as("t1", 2)), (8_100, key('9')), (8_200, key('#')), (8_500, done("t1"))]);
    assert_snapshot!(story.log(), @"
    6.900 (deadline)
          - #1 tell as User: The caller pressed these keys on the telephone: 123
          - #2 prompt
          - line Keypad 2.000–4.900 Final •••
    8.200 key #
          - #3 tell as User: The caller pressed these keys on the telephone: 9#
          - line Keypad 8.100–8.200 Final ••
    8.500 turn t1 ends: Completed
          - #4 prompt
    ");
}

#[test]
fn keys_the_model_knows_are_not_told_and_keys_at_the_end_are_kept() {
    let mut story = Story::live(|_| {});
    let known = || Event::Provider(ProviderEvent::Key { digit: '7', model_knows: true });
    story.tell([(2_000, known())]);
    story.until(5_000);
    // Rather told twice than not at all.
    story.tell([(5_100, known()), (5_200, key('#')), (5_300, begins_as("t1", 2)), (5_400, done("t1"))]);
    story.tell([(6_000, key('1')), (6_100, leg("completed", 3)), (6_200, lost())]);
    assert_snapshot!(story.log(), @"
    4.000 (deadline)
          - line Keypad 2.000–2.000 Final •
    5.200 key #
          - #1 tell as User: The caller pressed these keys on the telephone: 7#
          - #2 prompt
          - line Keypad 5.100–5.200 Final ••
    6.200 sideband lost 1006
          - line Keypad 6.000–6.000 Final •
          - ended caller_hangup
    ");
}

#[test]
fn usage_is_summed_and_priced_and_never_shrinks() {
    let mut story = Story::live(|_| {});
    let turn = Usage {
        text_in: 3200,
        audio_in: 410,
        text_cached: 2880,
        audio_cached: 256,
        text_out: 96,
        audio_out: 340,
        ..Usage::default()
    };
    let minute = |transcription_s| Some(Usage { transcription_s, ..Usage::default() });
    story.tell([
        (2_000, ends_with("t1", TurnStatus::Completed, turn)),
        (2_100, ends_with("t2", TurnStatus::Cancelled, turn)),
        (2_200, caller_words("i1", "はい", TextMode::Final, minute(60.0))),
        (2_300, caller_words("i2", "はい", TextMode::Final, minute(-5.0))),
        (2_400, caller_words("i3", "はい", TextMode::Final, minute(f64::NAN))),
        (
            2_500,
            ends_with(
                "t3",
                TurnStatus::Completed,
                Usage { text_in: u64::MAX, transcription_in: 1, ..Usage::default() },
            ),
        ),
    ]);
    let record = &story.call.record;
    assert_eq!(
        (record.usage.audio_out, record.usage.text_in, record.usage.transcription_s),
        (680, u64::MAX, 60.0)
    );
    assert_eq!(record.counts.usage, 6);
    let first_three: f64 = story.usage.iter().take(3).filter_map(|record| record.cost_usd).sum();
    assert!((first_three - (2.0 * 0.031_526_4 + 0.006)).abs() < 1e-9, "{first_three}");
    assert!(
        story.usage.iter().all(|record| record.cost_usd.is_some_and(|cost| cost >= 0.0 && cost.is_finite()))
    );
}

#[test]
fn the_stages_of_a_call_are_timed() {
    let mut story = Story::dialing();
    story.tell([
        (100, offered(|terms| terms.greeting = Greeting::ByInstructions)),
        (110, Event::AcceptSent),
        (300, Event::AcceptAnswered(AcceptAnswer::Ok)),
        (800, leg("in-progress", 2)),
        (900, attached()),
        (1_000, begins_as("t1", 1)),
        (1_100, plays("t1")),
        (2_000, played("t1")),
        (2_100, begins("t2")),
        (2_200, plays("t2")),
        (9_000, leg("completed", 3)),
        (9_100, lost()),
    ]);
    let stages = story.call.record.stages;
    assert_eq!(stages.carrier_asked, Some(at(0)));
    assert_eq!(stages.webhook_created, Some(at(0)));
    assert_eq!(stages.webhook_received, Some(at(90)));
    assert_eq!(stages.accept_sent, Some(at(110)));
    assert_eq!(stages.accepted, Some(at(300)));
    assert_eq!(stages.leg_answered, Some(at(800)));
    assert_eq!(stages.attached, Some(at(900)));
    assert_eq!(stages.first_audio, Some(at(1_100)));
    assert_eq!(stages.ended, Some(at(9_100)));
    assert_eq!(stages.first_word_after().map(|after| after.as_millis()), Some(1_010));
    assert_eq!(story.reason(), Some(EndedReason::CallerHangup));
}
