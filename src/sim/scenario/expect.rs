//! What must come of a scenario.
//!
//! Every figure is one of simulated time, and all of it is judged from what is kept of the call, so that the same
//! expectations hold for a call that a real model answered.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::matcher::Matcher;
use super::phrase::Forbidden;
use super::place::Position;

/// What must come of a scenario; what is not mentioned is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Why the call ended, such as `caller_hangup`.
    pub ended: Option<String>,
    /// The route that took the call.
    pub route: Option<String>,
    /// The session it was answered with.
    pub session: Option<String>,
    /// How audio reached the model: `sip`, `media-streams`, `none`.
    pub path: Option<String>,
    /// All tool calls, in the order they were asked for.
    pub tool_calls: Option<Vec<ExpectedToolCall>>,
    /// Whether they must come in the order in which they stand here.
    pub tool_calls_order: Order,
    /// Others may come between them, too.
    pub other_tool_calls: bool,
    /// Tools that must not be called.
    pub never_calls: Vec<String>,
    /// Lines of the transcript, in this order; others may stand between them.
    pub lines: Vec<ExpectedLine>,
    /// Words that must not be said.
    pub never_says: Forbidden,
    /// What stands in the instructions that the model was given, with the call's facts in them.
    pub instructions_contain: Vec<String>,
    /// How long things may take.
    pub within: Within,
    /// Variables of the call when it was over: the route's, and what plugins made of them.
    pub vars: BTreeMap<String, Matcher>,
    /// To whom the caller was handed on: a number, or an address.
    pub transferred_to: Option<Matcher>,
    /// What must stand among the call's events, in this order: `sideband.lost`; others may come between.
    pub events: Vec<String>,
    /// What the caller heard of the carrier, in this order; other things may come between.
    pub caller_hears: Vec<String>,
    /// How many calls the provider was told to accept.
    pub accepts: Option<usize>,
    /// How many recordings of the call are kept.
    pub recordings: Option<usize>,
    /// Complaints of the simulators that belong to the scenario; any other is a mismatch.
    pub problems: Vec<String>,
}

impl Expect {
    /// The same for a call that goes this way instead: what caller and operator see of the conversation is
    /// the same on every path, how it was brought about is not.
    pub fn over(mut self, path: &str) -> Expect {
        self.path = Some(path.to_owned());
        self.caller_hears.clear();
        self.accepts = None;
        self
    }

    /// The same for a call whose caller is simulated and whose model is not: nobody dials, and whatever path the
    /// configuration prefers, the sound goes through us.
    pub fn live(mut self) -> Expect {
        self.path = None;
        self.caller_hears.clear();
        self.accepts = None;
        self.recordings = None;
        self
    }

    /// A key whose value makes no sense, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let forbidden = self.never_says.assistant.iter().chain(&self.never_says.caller);
        for (key, mut words) in [
            ("expect.never_says", Box::new(forbidden) as Box<dyn Iterator<Item = &String>>),
            ("expect.instructions_contain", Box::new(self.instructions_contain.iter())),
        ] {
            if words.any(|words| words.trim().is_empty()) {
                return Err((key, "words that are empty stand in every text".to_owned()));
            }
        }
        let called = self.tool_calls.iter().flatten();
        for call in called {
            if self.never_calls.contains(&call.name) {
                let message = format!("`{}` stands in `tool_calls`, too", call.name);
                return Err(("expect.never_calls", message));
            }
        }
        Ok(())
    }
}

/// Whether tool calls must come in the order in which they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// They must.
    #[default]
    Written,
    /// They may come in any order.
    Any,
}

/// One expected tool call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedToolCall {
    /// The tool's name.
    pub name: String,
    /// What the model gave it.
    pub arguments: Option<Matcher>,
    /// What came of it, such as `ok`.
    pub outcome: Option<String>,
    /// What was sent to the model, as JSON.
    pub output: Option<Matcher>,
    /// Stands somewhere in what was sent to the model.
    pub output_contains: Option<String>,
}

/// One expected line of the transcript.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedLine {
    /// `caller`, `assistant` or `keypad`.
    pub speaker: String,
    /// Stands somewhere in the line.
    pub contains: String,
    /// `final`, `partial`, `interrupted` or `untranscribed`.
    pub status: Option<String>,
}

/// How long things may take at most, such as `1.5s` or `800ms`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Within {
    /// From the moment the model's side of the call is offered to the first word that the caller hears.
    pub first_word: Option<Span>,
    /// From the end of what the caller says to the next thing the assistant says: each time.
    pub reply: Option<Span>,
    /// From the model's request to the tool's answer: each tool call.
    pub tool: Option<Span>,
    /// The whole call.
    pub call: Option<Span>,
}

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        let message = || D::Error::custom(format!("`{text}` is no span of time, such as `1.5s` or `800ms`"));
        let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = match &text[number.len()..] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            _ => return Err(message()),
        };
        let number: f64 = number.trim().parse().map_err(|_| message())?;
        Duration::try_from_secs_f64(number * unit).map(Span).map_err(|_| message())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0..1_000 => write!(f, "{millis} ms"),
            _ => write!(f, "{:.1} s", self.0.as_secs_f64()),
        }
    }
}

/// What was seen of a played scenario.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Why the call ended; none when it did not, or was not kept.
    pub ended: Option<String>,
    /// The route that took it.
    pub route: Option<String>,
    /// The session it was answered with.
    pub session: Option<String>,
    /// How audio reached the model.
    pub path: Option<String>,
    /// All tool calls, in the order they were asked for.
    pub tool_calls: Vec<SeenToolCall>,
    /// The transcript in the order it is read.
    pub lines: Vec<SeenLine>,
    /// The instructions of the model's last session; none where it had none.
    pub instructions: Option<String>,
    /// How long until the first word; none: there was none.
    pub first_word: Option<Duration>,
    /// How long the whole call lasted.
    pub call: Option<Duration>,
    /// The call's variables at its end.
    pub vars: BTreeMap<String, String>,
    /// To whom the caller was handed on.
    pub transferred_to: Option<String>,
    /// The kinds of the call's events.
    pub events: Vec<String>,
    /// What the caller heard of the carrier.
    pub caller_hears: Vec<String>,
    /// How many calls the provider was told to accept.
    pub accepts: usize,
    /// How many recordings of the call are kept.
    pub recordings: usize,
    /// What the simulators complained about.
    pub problems: Vec<String>,
}

/// One tool call that was kept.
#[derive(Clone, Debug, Default)]
pub struct SeenToolCall {
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: not always JSON.
    pub arguments: String,
    /// What came of it; none while it runs.
    pub outcome: Option<String>,
    /// What was sent to the model.
    pub output: Option<String>,
    /// How long it took; none while it runs.
    pub took: Option<Duration>,
}

/// One line of the kept transcript.
#[derive(Clone, Debug, Default)]
pub struct SeenLine {
    /// Who spoke.
    pub speaker: String,
    /// The words.
    pub text: String,
    /// How far they can be trusted to be whole.
    pub status: String,
    /// How long after the end of what the caller said just before, where this answers it.
    pub reply_after: Option<Duration>,
}

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The key of `[expect]`, such as `tool_calls[0].outcome`.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Where the file says so.
    pub at: Option<Position>,
}

impl Mismatch {
    /// Claims that it can be otherwise in a call that is played at another speed: the gateway's own timers, and what
    /// the machine needs, go by real time.
    pub fn is_of_time(&self) -> bool {
        let key = self.what.as_str();
        let is_fixed =
            ["route", "session", "instructions_contain"].iter().any(|fixed| key.starts_with(fixed));
        !is_fixed && !key.contains("].arguments")
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, saw {}", self.what, self.expected, self.seen)
    }
}
