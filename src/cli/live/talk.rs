//! When a scenario's caller says what to a real model: a function of what passes between gateway and provider.
//!
//! The caller waits until nothing is being said and no tool is owed an answer. Wire facts: OpenAI, "Realtime client
//! events" and "Realtime server events".

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Report;
use crate::sim::line::Mouth;
use crate::sim::script::{CallerSpeech, HangUp, Step};
use crate::wire::g711;
use crate::wire::realtime::ClientEvent;
use crate::wire::realtime::client::{NewContent, NewItem, NewResponse};
use crate::wire::realtime::server::AudioDelta;

/// How long nothing must happen before the caller speaks: sound that is on its way to the ear is heard meanwhile.
const SETTLES: Duration = Duration::from_millis(600);
/// The same in a world that is faster: a machine needs its time.
const SETTLES_LEAST: Duration = Duration::from_millis(200);
/// How long a model that was asked to speak may take to begin before the caller goes on.
const TURN_WITHIN: Duration = Duration::from_secs(20);
/// The same in a world that is faster.
const TURN_WITHIN_LEAST: Duration = Duration::from_secs(5);
/// Between what was heard last and the caller's words, where the step says nothing else; as for simulated models.
const PAUSE_MS: u64 = 400;
/// Bytes of one piece of sound: 20 ms, as the carrier sends them.
const BLOCK: usize = 160;
/// What begins the ids of our events, so that nobody takes them for the gateway's.
const OURS: &str = "caller_";

/// What the caller does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A frame for the provider.
    Say(String),
    /// Something at the telephone.
    Do(Mouth),
}

/// One conversation, over as many sessions as it takes.
pub(super) struct Talk {
    steps: VecDeque<Step>,
    sounds: BTreeMap<String, Vec<u8>>,
    speed: f64,
    /// A response is being made.
    is_generating: bool,
    /// Tool calls whose output the gateway has not sent.
    owed: BTreeSet<String>,
    /// Those whose output it has.
    paid: BTreeSet<String>,
    /// Since when a response is waited for.
    asked: Option<Instant>,
    /// The caller hears the model until then.
    plays_until: Instant,
    quiet_since: Instant,
    /// Words that were sent, and are not in the conversation yet.
    written: Option<String>,
    /// Sound that is yet to be said.
    sound: VecDeque<Vec<u8>>,
    /// The provider hears the caller's line.
    is_heard: bool,
    /// The session notices by itself when the caller has spoken.
    detects_turns: bool,
    /// Nothing is left to do but to wait for the end.
    is_done: bool,
    number: u64,
}

impl Talk {
    /// Nobody has called yet.
    pub fn new(sounds: BTreeMap<String, Vec<u8>>, speed: f64, now: Instant) -> Talk {
        Talk {
            steps: VecDeque::new(),
            sounds,
            speed,
            is_generating: false,
            owed: BTreeSet::new(),
            paid: BTreeSet::new(),
            asked: None,
            plays_until: now,
            quiet_since: now,
            written: None,
            sound: VecDeque::new(),
            is_heard: false,
            detects_turns: false,
            is_done: false,
            number: 0,
        }
    }

    /// Somebody calls, who will do this. What the model was to do stands for nothing: it does as it likes, and so does its
    /// socket.
    pub fn begin(&mut self, steps: Vec<Step>) {
        let is_callers = |step: &Step| {
            matches!(step, Step::Caller(_) | Step::Keys(_) | Step::PauseMs(_) | Step::HangUp(_))
        };
        self.steps = steps.into_iter().filter(is_callers).collect();
    }

    /// A session was opened, the first or another one.
    pub fn opened(&mut self, now: Instant) {
        self.is_generating = false;
        self.asked = None;
        self.quiet_since = now;
    }

    /// A frame of the gateway; gives what the provider gets in its place.
    pub fn on_gateway(&mut self, frame: &str, report: &mut Report, now: Instant) -> Option<String> {
        let Ok(event) = serde_json::from_str::<Value>(frame) else { return Some(frame.to_owned()) };
        match event["type"].as_str().unwrap_or_default() {
            "input_audio_buffer.append" => return self.microphone(&event, now),
            "session.update" => {
                if let Some(instructions) = event.pointer("/session/instructions").and_then(Value::as_str) {
                    report.instructions = Some(instructions.to_owned());
                }
                if let Some(detection) = event.pointer("/session/audio/input/turn_detection") {
                    self.detects_turns = !detection.is_null();
                }
            }
            "response.create" => self.asked = Some(now),
            "conversation.item.create" if event["item"]["type"] == "function_call_output" => {
                let call_id = event["item"]["call_id"].as_str().unwrap_or_default();
                self.owed.remove(call_id);
                self.paid.insert(call_id.to_owned());
                // The gateway asks for what comes next, or ends the call.
                self.asked = Some(now);
            }
            _ => {}
        }
        Some(frame.to_owned())
    }

    /// A frame of the provider; gives what the gateway gets with it, in order.
    pub fn on_provider(&mut self, frame: &str, report: &mut Report, now: Instant) -> Vec<String> {
        if let Some(audio) = AudioDelta::read(frame) {
            let bytes = audio.delta.len() as u64 / 4 * 3;
            self.plays_until = self.plays_until.max(now) + g711::duration(bytes);
            return vec![frame.to_owned()];
        }
        let event: Value = serde_json::from_str(frame).unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "response.created" => {
                self.is_generating = true;
                self.is_heard = !self.sound.is_empty();
                self.asked = None;
            }
            "response.output_item.done" => self.owe(&event["item"]),
            "response.done" => {
                self.is_generating = false;
                self.quiet_since = now;
                event["response"]["output"].as_array().into_iter().flatten().for_each(|item| self.owe(item));
            }
            // The older name of the event still comes from some.
            "conversation.item.added" | "conversation.item.created" if event["item"]["role"] == "user" => {
                let text = event.pointer("/item/content/0/text").and_then(Value::as_str);
                // What the gateway itself puts in stays as it is.
                let written = self.written.take_if(|written| text.is_none_or(|text| text == written));
                if let Some(words) = written {
                    return spoken(frame, &event["item"]["id"], &words);
                }
            }
            "error" if is_ours(&event["error"]["event_id"]) => {
                let message = event["error"]["message"].as_str().unwrap_or("no reason given");
                report.notes.push(format!("the provider refused what the caller said: {message}"));
                (self.written, self.asked) = (None, None);
                // The gateway has sent nothing of the kind.
                return Vec::new();
            }
            _ => {}
        }
        vec![frame.to_owned()]
    }

    /// A call is owed an output once; in the event that ends a response it stands again.
    fn owe(&mut self, item: &Value) {
        let is_call = item["type"] == "function_call" && item["status"] == "completed";
        if let Some(call_id) = item["call_id"].as_str().filter(|id| is_call && !self.paid.contains(*id)) {
            self.owed.insert(call_id.to_owned());
        }
    }

    /// When the caller does something next, if nothing happens before.
    pub fn due(&self) -> Option<Instant> {
        let is_busy = self.is_generating || !self.owed.is_empty() || self.written.is_some();
        if is_busy || self.is_done || !self.sound.is_empty() {
            return None;
        }
        let quiet = self.plays_until.max(self.quiet_since) + self.pause();
        let turn_within = TURN_WITHIN.div_f64(self.speed).max(TURN_WITHIN_LEAST);
        Some(self.asked.map_or(quiet, |asked| quiet.max(asked + turn_within)))
    }

    /// How long nothing must happen before the next step.
    fn pause(&self) -> Duration {
        let pause_ms = match self.steps.front() {
            Some(Step::Caller(speech)) => speech.after_ms.unwrap_or(PAUSE_MS),
            Some(Step::PauseMs(pause_ms)) => *pause_ms,
            _ => PAUSE_MS,
        };
        let settles = SETTLES.div_f64(self.speed).max(SETTLES_LEAST);
        settles + Duration::from_millis(pause_ms).div_f64(self.speed)
    }

    /// It is time. After the last step the caller hangs up.
    pub fn act(&mut self, report: &mut Report, now: Instant) -> Vec<Act> {
        self.asked = None;
        self.quiet_since = now;
        match self.steps.pop_front() {
            Some(Step::Caller(speech)) => self.speak(speech, report, now),
            Some(Step::Keys(keys)) => keys.chars().map(|key| Act::Do(Mouth::Press(key))).collect(),
            Some(Step::HangUp(HangUp::Gateway)) => {
                self.is_done = true;
                Vec::new()
            }
            Some(Step::HangUp(HangUp::Caller)) | None => self.hang_up(),
            // Its time has passed.
            Some(_) => Vec::new(),
        }
    }

    fn hang_up(&mut self) -> Vec<Act> {
        self.is_done = true;
        vec![Act::Do(Mouth::HangUp)]
    }

    fn speak(&mut self, speech: CallerSpeech, report: &mut Report, now: Instant) -> Vec<Act> {
        if speech.then_hangs_up {
            self.steps.clear();
        }
        let sound = speech.audio.as_ref().and_then(|name| self.sounds.get(name));
        match sound {
            Some(sound) if self.detects_turns => {
                self.sound = sound.chunks(BLOCK).map(<[u8]>::to_vec).collect();
                self.is_heard = true;
                return Vec::new();
            }
            Some(_) => {
                let note = "a recording was written instead: the session detects no turns";
                report.notes.push(note.to_owned());
            }
            None => {}
        }
        self.number += 1;
        let (item, turn) = (format!("{OURS}{}_item", self.number), format!("{OURS}{}_turn", self.number));
        let content = [NewContent::InputText { text: &speech.says }];
        let create =
            ClientEvent::ItemCreate { event_id: &item, item: NewItem::Message { role: "user", content } };
        let number = self.number.to_string();
        let metadata = BTreeMap::from([("caller", number.as_str())]);
        let response = NewResponse { instructions: None, tool_choice: None, metadata };
        let ask = ClientEvent::ResponseCreate { event_id: &turn, response };
        let acts = vec![Act::Say(create.render()), Act::Say(ask.render())];
        self.written = Some(speech.says);
        self.asked = Some(now);
        acts
    }

    /// A piece of the caller's line. It is silent, as its microphone is simulated: while a recording is said, that goes
    /// in its place, and afterwards the silence by which the provider notices the end.
    fn microphone(&mut self, event: &Value, now: Instant) -> Option<String> {
        if !self.is_heard {
            return None;
        }
        let event_id = event["event_id"].as_str().unwrap_or_default();
        let block = match self.sound.pop_front() {
            Some(block) => block,
            None => vec![g711::SILENCE; BLOCK],
        };
        if self.sound.is_empty() && self.asked.is_none() && !self.is_generating {
            self.asked = Some(now);
        }
        Some(ClientEvent::AudioAppend { event_id, audio: &STANDARD.encode(block) }.render())
    }
}

fn is_ours(event_id: &Value) -> bool {
    event_id.as_str().is_some_and(|id| id.starts_with(OURS))
}

/// What was written reaches the gateway as if it had been heard and written down.
fn spoken(added: &str, item: &Value, words: &str) -> Vec<String> {
    let began = json!({ "type": "input_audio_buffer.speech_started", "item_id": item });
    let ended = json!({ "type": "input_audio_buffer.speech_stopped", "item_id": item });
    let said = json!({ "type": "conversation.item.input_audio_transcription.completed", "item_id": item,
        "content_index": 0, "transcript": words });
    vec![began.to_string(), ended.to_string(), added.to_owned(), said.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation at the speed of life, with the steps of a scenario.
    struct Bench {
        talk: Talk,
        report: Report,
        now: Instant,
    }

    impl Bench {
        fn new(steps: &str) -> Bench {
            #[derive(serde::Deserialize)]
            struct Written {
                steps: Vec<Step>,
            }
            let now = Instant::now();
            let written: Written = toml::from_str(&format!("steps = {steps}")).unwrap();
            let mut talk = Talk::new(BTreeMap::new(), 1.0, now);
            talk.begin(written.steps);
            talk.opened(now);
            Bench { talk, report: Report::default(), now }
        }

        fn provider(&mut self, frame: &Value) -> Vec<String> {
            self.talk.on_provider(&frame.to_string(), &mut self.report, self.now)
        }

        fn gateway(&mut self, frame: &Value) -> Option<String> {
            self.talk.on_gateway(&frame.to_string(), &mut self.report, self.now)
        }

        /// Waits until the caller does something; gives after how many milliseconds, and what.
        fn acts(&mut self) -> (u128, Vec<Act>) {
            let due = self.talk.due().expect("something to do");
            let waited = due.saturating_duration_since(self.now).as_millis();
            self.now = due;
            (waited, self.talk.act(&mut self.report, due))
        }
    }

    #[test]
    fn the_caller_waits_for_the_model_and_for_its_tools() {
        let mut bench = Bench::new("[{ caller = { says = 'a' } }, { model = { says = 'b' } }]");
        assert!(bench.talk.due().is_some(), "where nobody greets, the caller begins");
        assert!(bench.gateway(&json!({ "type": "response.create" })).is_some());
        bench.provider(&json!({ "type": "response.created", "response": { "id": "r" } }));
        assert_eq!(bench.talk.due(), None, "the model speaks");
        let call = json!({ "type": "function_call", "status": "completed", "call_id": "c", "name": "x" });
        bench.provider(&json!({ "type": "response.output_item.done", "item": call }));
        bench.provider(&json!({ "type": "response.done", "response": { "output": [call] } }));
        assert_eq!(bench.talk.due(), None, "a tool runs");
        let output = json!({ "type": "function_call_output", "call_id": "c", "output": "{}" });
        bench.gateway(&json!({ "type": "conversation.item.create", "item": output }));
        bench.provider(&json!({ "type": "response.created" }));
        // A tenth of a second of sound, as base64.
        let sound = json!({ "type": "response.output_audio.delta", "response_id": "r", "item_id": "i",
            "content_index": 0, "delta": STANDARD.encode(vec![0; 801]) });
        bench.provider(&sound);
        bench.provider(&json!({ "type": "response.done", "response": { "output": [call] } }));
        let (waited, acts) = bench.acts();
        assert_eq!(waited, 1_100, "the sound, the pause, and what is on its way");
        let [Act::Say(item), Act::Say(turn)] = &acts[..] else { panic!("{acts:?}") };
        assert_eq!(
            item,
            r#"{"type":"conversation.item.create","event_id":"caller_1_item","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]}}"#
        );
        assert_eq!(
            turn,
            r#"{"type":"response.create","event_id":"caller_1_turn","response":{"metadata":{"caller":"1"}}}"#
        );
        let added = json!({ "type": "conversation.item.added",
            "item": { "id": "i_1", "role": "user", "content": [{ "type": "input_text", "text": "a" }] } });
        let told = bench.provider(&added);
        let kinds: Vec<Value> = told
            .iter()
            .map(|frame| serde_json::from_str::<Value>(frame).expect("JSON")["type"].clone())
            .collect();
        assert_eq!(
            kinds,
            [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "conversation.item.added",
                "conversation.item.input_audio_transcription.completed"
            ]
        );
        assert_eq!(bench.provider(&added).len(), 1, "it is said once");
        // A model that does not answer is not waited for for ever.
        let (waited, acts) = bench.acts();
        assert_eq!((waited, acts), (20_000, vec![Act::Do(Mouth::HangUp)]));
        assert_eq!(bench.talk.due(), None);
    }

    #[test]
    fn keys_pauses_and_the_end_are_the_callers() {
        let mut bench =
            Bench::new("[{ keys = '1#' }, { pause_ms = 5000 }, { frame = 'x' }, { hang_up = 'gateway' }]");
        assert_eq!(bench.acts(), (1_000, vec![Act::Do(Mouth::Press('1')), Act::Do(Mouth::Press('#'))]));
        assert_eq!(bench.acts(), (5_600, Vec::new()));
        assert_eq!(bench.acts(), (1_000, Vec::new()));
        assert_eq!(bench.talk.due(), None, "the gateway is to hang up");
    }

    #[test]
    fn a_silent_line_is_not_sent_and_what_is_refused_is_told() {
        let mut bench = Bench::new("[{ caller = { says = 'a' } }]");
        let silence = json!({ "type": "input_audio_buffer.append", "event_id": "in_1", "audio": "/w==" });
        assert_eq!(bench.gateway(&silence), None);
        bench.acts();
        let refusal =
            json!({ "type": "error", "error": { "event_id": "caller_1_item", "message": "too long" } });
        assert_eq!(bench.provider(&refusal), Vec::<String>::new());
        assert_eq!(bench.report.notes, ["the provider refused what the caller said: too long"]);
        let other = json!({ "type": "error", "error": { "event_id": "sb_1", "message": "x" } });
        assert_eq!(bench.provider(&other), [other.to_string()]);
        let update = json!({ "type": "session.update", "session": { "instructions": "Be kind." } });
        assert_eq!(bench.gateway(&update), Some(update.to_string()));
        assert_eq!(bench.report.instructions.as_deref(), Some("Be kind."));
    }
}
