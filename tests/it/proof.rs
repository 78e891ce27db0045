//! Whole simulated days: the rules of calls hold, whatever dies when; and where a rule is broken on purpose, somebody notices.

use switchboard::clock::Entropy;
use switchboard::proof::command::explain;
use switchboard::proof::{Broken, Options, Tally, run};

/// Enough to see everything happen, few enough for every push.
fn days(seed: u64) -> Options {
    Options { seed, days: 3, callers: 40, broken: None, keeps_log: false }
}

/// Plays it; fails with the call's log and how to see it again.
fn holds(options: &Options) -> Tally {
    let outcome = run(options);
    let tally = outcome.tally;
    assert!(outcome.violation.is_none(), "{}", explain(options, outcome));
    tally
}

#[test]
fn the_rules_hold_for_days_that_are_always_the_same() {
    let mut tally = Tally::default();
    (0..8).for_each(|seed| tally.add(&holds(&days(seed))));
    // What never happens proves nothing.
    let happened = [
        tally.answered,
        tally.closed,
        tally.crashes,
        tally.drains,
        tally.handovers,
        tally.taken_up,
        tally.sockets_lost,
        tally.effects,
        tally.lines,
        tally.webhooks,
        tally.refused,
        tally.announced,
        tally.recordings_kept,
        tally.recordings_deleted,
        tally.copies_deleted,
    ];
    assert!(happened.iter().all(|times| *times > 20), "{tally:?}");
}

#[test]
fn the_rules_hold_for_days_that_nobody_has_seen() {
    for _ in 0..4 {
        let seed = u64::from(u32::from_be_bytes(Entropy::System.bytes()));
        eprintln!("seed {seed}");
        holds(&days(seed));
    }
}

#[test]
fn the_same_seed_plays_the_same_days() {
    let options = Options { keeps_log: true, ..days(7) };
    let (first, second) = (run(&options), run(&options));
    assert!(first.log.lines().count() > 10_000, "{} lines", first.log.lines().count());
    assert!(first.log == second.log, "two runs of one seed differ");
    assert_eq!(run(&days(7)).tally, first.tally, "writing it down changes what happens");
    assert_ne!(run(&Options { keeps_log: true, ..days(8) }).log, first.log);
}

/// Some seed of a few must show that this rule is broken, in some of these words: what is broken first shows in more
/// than one place.
fn is_noticed(broken: Broken, words: &[&str]) {
    let outcomes = (0..100).map(|seed| (seed, run(&Options { broken: Some(broken), ..days(seed) })));
    let Some((seed, outcome)) = outcomes.into_iter().find(|(_, outcome)| outcome.violation.is_some()) else {
        panic!("{broken:?}: nobody noticed");
    };
    let told = explain(&Options { broken: Some(broken), ..days(seed) }, outcome);
    assert!(words.iter().any(|words| told.contains(words)), "{told}");
    assert!(told.contains(&format!("again: switchboard-sim --seed {seed} ")), "{told}");
}

#[test]
fn a_tool_that_runs_before_its_record_is_on_disk_is_noticed() {
    is_noticed(Broken::ToolBeforeRecord, &["runs before its record is on disk"]);
}

#[test]
fn an_answer_that_is_sent_before_it_is_on_disk_is_noticed() {
    is_noticed(Broken::AnswerBeforeRecord, &["the model was told otherwise"]);
}

#[test]
fn a_webhook_that_is_acknowledged_too_early_is_noticed() {
    is_noticed(Broken::AckBeforeCommit, &["was acknowledged and is not on disk"]);
}

#[test]
fn an_effect_that_comes_twice_is_noticed() {
    is_noticed(Broken::ToolsAgain, &["came twice"]);
}

#[test]
fn a_line_that_is_written_over_is_noticed() {
    is_noticed(Broken::LinesForgotten, &["is written over"]);
}

#[test]
fn a_call_that_nobody_closes_is_noticed() {
    is_noticed(Broken::CallsForgotten, &["it was never closed", "is looked after by nobody"]);
}

#[test]
fn a_disk_that_lies_is_noticed() {
    is_noticed(Broken::DiskLies, &["on disk"]);
}

#[test]
fn money_that_is_counted_twice_is_noticed() {
    is_noticed(Broken::UsageTwice, &["is billed twice"]);
}

#[test]
fn a_call_that_goes_on_after_its_end_is_noticed() {
    is_noticed(Broken::AliveAfterEnd, &["after the end"]);
}

#[test]
fn a_report_of_a_recording_that_is_acknowledged_too_early_is_noticed() {
    is_noticed(Broken::ReportBeforeRecord, &["was answered and is not on disk"]);
}

#[test]
fn a_recording_that_is_kept_without_its_file_is_noticed() {
    is_noticed(Broken::KeptBeforeFile, &["its file is not on disk"]);
}

#[test]
fn a_carriers_copy_that_goes_before_ours_is_kept_is_noticed() {
    is_noticed(Broken::CopyGoesEarly, &["goes before ours is kept"]);
}

#[test]
fn a_recording_that_nobody_fetches_is_noticed() {
    is_noticed(Broken::RecordingsForgotten, &["is left undone", "has had its time and is still there"]);
}

#[test]
fn a_recording_that_is_kept_twice_is_noticed() {
    is_noticed(Broken::RecordingTwice, &["is kept twice", "is given up, and the carrier has it"]);
}

#[test]
fn a_place_that_is_not_given_back_is_noticed() {
    is_noticed(
        Broken::PlaceLeaked,
        &["there is room, and the caller is turned away", "have not given their places back"],
    );
}

#[test]
fn calls_that_are_not_counted_after_a_crash_are_noticed() {
    is_noticed(Broken::PlacesForgotten, &["a caller too many is let in"]);
}

#[test]
fn an_overflow_that_is_not_the_configured_one_is_noticed() {
    is_noticed(Broken::OverflowForgotten, &["is not told what is configured"]);
}

#[test]
fn a_process_that_does_not_wait_for_the_disk_is_noticed() {
    is_noticed(Broken::LeavesUnsynced, &["two processes write one call"]);
}

#[test]
fn calls_that_are_handed_to_nobody_are_noticed() {
    is_noticed(Broken::HandedToNobody, &["is looked after by nobody"]);
}

#[test]
fn a_caller_who_is_recorded_and_not_told_is_noticed() {
    is_noticed(Broken::ToldNothing, &["is recorded, and was not told"]);
}

#[test]
fn a_greeting_that_a_crash_swallows_is_noticed() {
    is_noticed(Broken::GreetingForgotten, &["the model does not tell the caller of the recording"]);
}

#[test]
fn a_call_that_is_recorded_and_was_not_to_be_is_noticed() {
    is_noticed(Broken::RecordedAnyway, &["was not to be when it came in"]);
}

#[test]
fn a_call_that_is_taken_in_by_the_process_that_left_it_is_noticed() {
    is_noticed(Broken::LeftRevived, &["looked after by nobody"]);
}
