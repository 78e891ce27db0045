//! `switchboard eval`: what is measured over real sockets is what was made up, to the last unit; runs are compared;
//! what cannot be used is named; and with a key alone the real way is gone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use switchboard::cli::eval;
use switchboard::clock::{Entropy, SystemClock};
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::log::WorldLog;
use switchboard::sim::openai::{OpenAiSim, Options};
use switchboard::speech::wave;

use crate::cli::{switchboard, text};

/// What the callers of a small corpus say.
const SAID: [(&str, &str); 5] = [
    ("a-order", "注文番号Ａの一〇〇二は、もう発送されましたか。"),
    ("b-price", "合計は千五百八十円でよろしいですか。"),
    ("c-name", "予約をお願いしたい山本と申します。"),
    ("d-date", "十二月二十三日の午後七時半に変更してください。"),
    ("e-english", "I would like to check the status of my order, please."),
];

/// A folder with a corpus whose voices are tones, each at its own pitch; in the middle of one there is a pause.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        let bench = Bench(tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(bench.corpus()).expect("a folder");
        for ((name, words), pitch) in SAID.into_iter().zip(1..) {
            let pause = if pitch == 3 { 800 } else { 0 };
            bench.write(&format!("{name}.wav"), &wave::write(&voice(pitch, pause)));
            bench.write(&format!("{name}.txt"), words.as_bytes());
        }
        bench
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn corpus(&self) -> PathBuf {
        self.path().join("corpus")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.corpus().join(name), bytes).expect("a file");
    }

    /// `eval speech --simulate` of the corpus.
    fn simulate(&self, words: &[&str]) -> Output {
        let mut all = vec!["eval", "speech", "corpus", "--simulate", "--concurrency", "16"];
        all.extend(words);
        switchboard(&all, self.path())
    }

    fn simulate_json(&self, words: &[&str]) -> Value {
        let mut all = vec!["--format", "json"];
        all.extend(words);
        let output = self.simulate(&all);
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON on standard output")
    }
}

/// 300 ms of a tone, with a pause in the middle.
fn voice(pitch: usize, pause_ms: usize) -> Vec<i16> {
    let half = |from: usize| {
        (from..from + 1_200).map(move |at| if (at / (4 + pitch)).is_multiple_of(2) { 5_000 } else { -5_000 })
    };
    half(0).chain(std::iter::repeat_n(0, pause_ms * 8)).chain(half(1_200)).collect()
}

fn exit(output: &Output) -> Option<i32> {
    output.status.code()
}

/// Errors of all utterances, by kind, as they were made up or as they were measured.
fn sum(measured: &Value, of: impl Fn(&Value) -> &Value) -> [u64; 4] {
    let outcomes = measured["outcomes"].as_array().expect("outcomes");
    ["units", "substitutions", "deletions", "insertions"]
        .map(|kind| outcomes.iter().map(|outcome| of(outcome)[kind].as_u64().expect("a number")).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_is_what_was_made_up() {
    let evaluation = eval::simulated(7, ProviderFaults::default()).await.expect("it is played");
    assert!(evaluation.is_exact(), "{:#?}", evaluation.measured[0].not_measured);
    let measured = &evaluation.measured[0];
    assert_eq!((measured.outcomes.len() as u64, evaluation.utterances), (25, 25));
    let edits: u64 = measured.outcomes.iter().map(|outcome| outcome.counts.edits()).sum();
    let made: u64 = measured.outcomes.iter().filter_map(|outcome| Some(outcome.injected?.edits())).sum();
    assert!(edits == made && edits > 25, "{edits} of {made}");
    let notes: Vec<_> = measured.outcomes.iter().flat_map(|outcome| &outcome.notes).collect();
    assert!(notes.is_empty(), "{notes:?}");
    // Both units, each with its own rate.
    let metrics: Vec<&str> = measured.rates.iter().map(|rate| rate.metric.as_str()).collect();
    assert_eq!(metrics, ["CER", "WER"]);
    let again = eval::simulated(7, ProviderFaults::default()).await.expect("it is played");
    assert_eq!(again.measured, evaluation.measured, "a seed repeats itself");
}

#[test]
fn settings_are_compared_on_the_same_utterances() {
    let bench = Bench::new();
    let page = bench.simulate_json(&[
        "--transcription-model",
        "gpt-transcribe",
        "--transcription-model",
        "gpt-realtime-whisper",
        "--language",
        "ja",
        "--errors",
        "0,0,0",
        "--errors",
        "3,1,2",
    ]);
    assert_eq!(page["is_exact"], true);
    let (first, second) = (&page["measured"][0], &page["measured"][1]);
    assert_eq!(first["setting"]["transcription_model"], "gpt-transcribe");
    assert_eq!(second["setting"]["language"], "ja");
    assert!(first["rates"].as_array().expect("rates").iter().all(|rate| rate["rate"] == 0.0), "{first:#}");
    let (made, found) = (sum(second, |one| &one["injected"]), sum(second, |one| one));
    assert_eq!(found, made);
    assert!(found[1] > 0 && found[2] > 0 && found[3] > 0, "{found:?}");
    // The difference is the second rate, as the first is zero; and the fraction is exact.
    let rate = &second["rates"][0];
    let edits =
        ["substitutions", "deletions", "insertions"].map(|kind| rate[kind].as_u64().expect("a number"));
    let expected = edits.iter().sum::<u64>() as f64 / rate["units"].as_u64().expect("a number") as f64;
    assert_eq!(rate["rate"].as_f64(), Some(expected));
    let difference = &page["differences"][0];
    assert_eq!(
        (difference["metric"].as_str(), difference["difference"].as_f64()),
        (Some("CER"), Some(expected))
    );
    assert_eq!(difference["is_clear"], true);
}

/// Bad lines, a session that notices no turns, and one that takes its time: the words come back whole.
#[test]
fn every_line_and_every_session_is_measured_whole() {
    let bench = Bench::new();
    let config = "[sessions.vad]\ninstructions = \"x\"\ngreeting = \"Say hello to {{ call.from }}.\"\n\
                  greeting_protected = true\n\
                  tools = [\"hangup\"]\ntool_choice = \"required\"\n\
                  turn_detection = { type = \"server_vad\", idle_timeout = \"5s\" }\n\
                  [sessions.semantic]\ninstructions = \"x\"\nturn_detection = \"semantic_vad\"\n\
                  [sessions.manual]\ninstructions = \"x\"\nturn_detection = \"off\"\n\
                  [[routes]]\nname = \"all\"\nsession = \"vad\"\n";
    std::fs::write(bench.path().join("gateway.toml"), config).expect("a file");
    let page = bench.simulate_json(&[
        "--session",
        "vad",
        "--session",
        "semantic",
        "--session",
        "manual",
        "--condition",
        "clean,g711,noise:10db,packet-loss:5%+noise:20db",
    ]);
    let measured = page["measured"].as_array().expect("measured");
    assert_eq!((page["is_exact"].as_bool(), measured.len()), (Some(true), 12));
    for one in measured {
        let outcomes = one["outcomes"].as_array().expect("outcomes");
        let is_quiet = outcomes.iter().all(|outcome| outcome["notes"] == serde_json::json!([]));
        assert!(is_quiet && outcomes.len() == SAID.len(), "{one:#}");
    }
    let output = bench.simulate(&[]);
    assert_eq!(exit(&output), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("which session? Give `--session NAME`, one of `manual`, `semantic`, `vad`"),
        "{said}"
    );
    let output = bench.simulate(&["--session", "vad", "--session", "sales"]);
    assert!(text(&output.stderr).contains("there is no session `sales`"), "{}", text(&output.stderr));
}

/// A carrier's calls, a gateway, its bridge and its store: what is kept is what was made up.
#[test]
fn a_whole_gateway_keeps_what_was_written_down() {
    let bench = Bench::new();
    let page = bench.simulate_json(&["--over", "bridge", "--errors", "2,1,1", "--condition", "noise:10db"]);
    let measured = &page["measured"][0];
    assert_eq!((page["is_exact"].as_bool(), &measured["not_measured"]), (Some(true), &serde_json::json!([])));
    let found = sum(measured, |one| one);
    assert!(found == sum(measured, |one| &one["injected"]) && found[1] > 0, "{found:?}");
    let notes = measured["outcomes"].as_array().expect("outcomes").iter().map(|outcome| &outcome["notes"]);
    assert!(notes.clone().all(|notes| *notes == serde_json::json!([])), "{:?}", notes.collect::<Vec<_>>());
    let output = bench.simulate(&["--over", "bridge", "--speed", "2"]);
    assert!(text(&output.stderr).contains("never faster than life"), "{}", text(&output.stderr));
}

#[test]
fn what_became_worse_is_told_and_can_be_denied() {
    let bench = Bench::new();
    let run = |errors: &str| bench.simulate(&["--history", "runs.jsonl", "--errors", errors]);
    let report = |words: &[&str]| {
        let mut all = vec!["eval", "report", "runs.jsonl"];
        all.extend(words);
        switchboard(&all, bench.path())
    };
    assert_eq!(exit(&report(&[])), Some(1), "there is nothing yet");
    assert_eq!(exit(&run("0,0,0")), Some(0));
    assert_eq!(exit(&report(&["--deny-regressions"])), Some(0), "one run is no regression");
    let worse = run("6,2,2");
    assert_eq!(exit(&worse), Some(0), "{}", text(&worse.stderr));
    let said = text(&worse.stdout);
    assert!(said.contains("against the last run") && said.contains(": clearly worse ("), "{said}");
    let shown = report(&["--deny-regressions"]);
    assert_eq!(exit(&shown), Some(99));
    assert!(text(&shown.stdout).contains(" WORSE"), "{}", text(&shown.stdout));
    assert!(text(&shown.stderr).contains("CER +"), "{}", text(&shown.stderr));
    let page: Value = serde_json::from_slice(&report(&["--format", "json"]).stdout).expect("JSON");
    let regressions = page.as_array().expect("a list").iter().map(|line| line["is_regression"].as_bool());
    assert_eq!(regressions.collect::<Vec<_>>(), [Some(false), Some(true)]);
    // Another condition is another thing, and no change.
    let other = bench.simulate(&["--history", "runs.jsonl", "--condition", "g711"]);
    assert!(!text(&other.stdout).contains("against the last run"), "{}", text(&other.stdout));
    assert_eq!(exit(&run("0,0,0")), Some(0));
    assert_eq!(exit(&report(&["--deny-regressions"])), Some(0), "it is as good as it was");
    std::fs::write(bench.path().join("runs.jsonl"), "{\"format\":2}\n").expect("a file");
    let broken = report(&[]);
    assert!(text(&broken.stderr).contains("runs.jsonl:1: "), "{}", text(&broken.stderr));
}

#[test]
fn a_threshold_that_is_missed_is_exit_99() {
    let bench = Bench::new();
    let output = bench.simulate(&["--errors", "3,1,2", "--max-cer", "0.5%", "--max-wer", "900%"]);
    assert_eq!(exit(&output), Some(99), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("is above 0.5 %"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("what was measured is exactly what was made up"));
    // What is shown needs no colour.
    assert!(text(&output.stdout).contains("[-") && !text(&output.stdout).contains('\u{1b}'));
    assert_eq!(exit(&bench.simulate(&["--errors", "0,0,0", "--max-cer", "0%"])), Some(0));
    assert_eq!(exit(&bench.simulate(&["--max-cer", "0.08"])), Some(2), "a percentage is written as one");
}

#[test]
fn a_bad_corpus_is_refused_file_by_file() {
    let bench = Bench::new();
    bench.write("x-mp3.wav", b"ID3\x04");
    bench.write("x-mp3.txt", "はい".as_bytes());
    bench.write("y-alone.wav", &wave::write(&voice(40, 0)));
    bench.write("corpus.toml", b"[utterances.z]\n");
    let output = bench.simulate(&[]);
    assert_eq!(exit(&output), Some(1));
    let said = text(&output.stderr);
    for line in [
        "error: the corpus cannot be used",
        "corpus/corpus.toml: it tells of `z`, of which there is no file",
        "corpus/x-mp3.wav: it is not a WAV file; `ffmpeg -i IN -ac 1 -ar 8000 -c:a pcm_s16le OUT.wav` makes one of it",
        "corpus/y-alone.txt: there is none beside the sound: write into it what is said",
    ] {
        assert!(said.lines().any(|told| told == line), "no line `{line}` in\n{said}");
    }
    let nowhere = switchboard(&["eval", "speech", "nowhere", "--simulate"], bench.path());
    assert!(
        text(&nowhere.stderr).contains("nowhere cannot be read: name a folder"),
        "{}",
        text(&nowhere.stderr)
    );
    for words in [&["eval", "speech", "corpus"][..], &["eval", "speech", "--live"]] {
        assert_eq!(exit(&switchboard(words, bench.path())), Some(2), "{words:?}");
    }
}

/// A provider at another address, as `--live` finds one.
async fn provider(faults: ProviderFaults) -> OpenAiSim {
    OpenAiSim::start(Options {
        clock: Arc::new(SystemClock),
        entropy: Entropy::seeded(3),
        log: WorldLog::quiet(Arc::new(SystemClock)),
        project_id: "proj_x".to_owned(),
        api_key: "sk-real".to_owned(),
        webhook_secrets: vec!["whsec_c2VjcmV0".to_owned()],
        pending_ttl: std::time::Duration::from_secs(10),
        speed: 20.0,
        faults,
    })
    .await
    .expect("a provider")
}

/// `eval speech --live` with nothing in the environment but a key, and where the provider is.
async fn live(bench: &Bench, provider: &OpenAiSim, key: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(["eval", "speech", "corpus", "--live", "--concurrency", "8", "--format", "json"]);
    command.current_dir(bench.path()).env_clear().env("HOME", bench.path());
    command.env("OPENAI_BASE_URL", provider.base_url());
    command.envs(key.map(|key| ("OPENAI_API_KEY", key)));
    tokio::task::spawn_blocking(move || command.output().expect("the command runs")).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_all_that_the_real_way_needs() {
    let bench = Bench::new();
    let provider = provider(ProviderFaults::default()).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&heard);
    provider.listen_with(Arc::new(move |turn| {
        remembered.lock().unwrap().push((
            turn.model.to_owned(),
            turn.transcription.clone(),
            turn.audio.len(),
        ));
        Some("はい。".to_owned())
    }));
    let output = live(&bench, &provider, Some("sk-real")).await;
    assert_eq!(exit(&output), Some(0), "{}", text(&output.stderr));
    let page: Value = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    assert_eq!((page["simulated"].as_bool(), &page["is_exact"]), (Some(false), &Value::Null));
    let outcomes = page["measured"][0]["outcomes"].as_array().expect("outcomes");
    // The pause in one of them makes it two turns, whose words are put together.
    let words: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome["hypothesis"].as_str()).collect();
    assert_eq!(words, ["はい。", "はい。", "はい。 はい。", "はい。", "はい。"]);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 6);
    for (model, transcription, bytes) in heard.iter() {
        let is_whole = [150 * 8, 300 * 8].iter().any(|length| bytes.abs_diff(*length) <= 160);
        assert!(
            is_whole && model == "gpt-realtime-2.1" && transcription["model"] == "gpt-transcribe",
            "{heard:?}"
        );
    }
    let broken: Vec<String> = provider.calls().into_iter().flat_map(|call| call.protocol_errors).collect();
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(provider.count(|call| !call.spoken.is_empty()), 0, "nobody answers");
    // A real run is kept beside the corpus.
    let kept = std::fs::read_to_string(bench.corpus().join("history.jsonl")).expect("a history");
    assert_eq!(kept.lines().count(), 1);
    assert!(!kept.contains("はい"), "without a word of what was said");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_measured_is_no_measurement() {
    let bench = Bench::new();
    let without = live(&bench, &provider(ProviderFaults::default()).await, None).await;
    assert_eq!(exit(&without), Some(78));
    assert!(text(&without.stderr).contains("OPENAI_API_KEY"), "{}", text(&without.stderr));
    assert!(!text(&without.stderr).contains("TWILIO"), "nothing else is asked for");
    let wrong = live(&bench, &provider(ProviderFaults::default()).await, Some("sk-other")).await;
    assert_eq!(exit(&wrong), Some(1));
    assert!(text(&wrong.stderr).contains("the key is not taken (401)"), "{}", text(&wrong.stderr));
    let refusing =
        provider(ProviderFaults { session_refused_times: u32::MAX, ..ProviderFaults::default() }).await;
    let refused = live(&bench, &refusing, Some("sk-real")).await;
    assert_eq!(exit(&refused), Some(1));
    assert!(
        text(&refused.stderr).contains("5 utterances could not be measured"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!bench.corpus().join("history.jsonl").exists(), "it is compared with nothing later");
}
