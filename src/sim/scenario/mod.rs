//! Scenario files: who calls, what caller and model say, what goes wrong, and what must come of it.
//!
//! One file serves demo, tests and load. Unknown keys are refused; errors name file, line and column.
//!
//! ```toml
//! name = "opening-hours"
//! description = "A caller asks when the shop opens."
//!
//! [caller]
//! from = "+819012345678"
//! to = "+815012345678"
//!
//! [[steps]]
//! model = { says = "はい、山田商店でございます。" }
//! [[steps]]
//! caller = { says = "何時に開きますか。" }
//!
//! [expect]
//! ended = "caller_hangup"
//! ```

mod expect;
mod grade;
mod matcher;
mod phrase;
mod place;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

pub use expect::{
    Expect, ExpectedLine, ExpectedToolCall, Mismatch, Order, Seen, SeenLine, SeenToolCall, Span, Within,
};
pub use matcher::{Matcher, Misfit};
pub use phrase::Forbidden;
pub use place::Position;

use super::backend::Reply;
use super::fault::ProviderFaults;
use super::script::{Script, Step};
use super::twilio::{CallerSetup, CarrierFaults, Human, MESSAGE};
use place::Places;

/// The longest call a scenario may ask for, in seconds.
const TIME_LIMIT_S_MAX: u64 = 4 * 3600;

/// One scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A short name, like the file's.
    pub name: String,
    /// What it shows, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Decides everything random.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Simulated seconds per real second; none: as the command likes.
    pub speed: Option<f64>,
    /// The longest the call may last, in simulated seconds.
    #[serde(default = "default_time_limit_s")]
    pub time_limit_s: u64,
    /// Who calls.
    pub caller: Caller,
    /// What caller and model do once the call is up, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Whoever answers when the gateway dials a telephone.
    #[serde(default)]
    pub human: Human,
    /// Trouble the provider makes.
    #[serde(default)]
    pub provider_faults: ProviderFaults,
    /// Trouble the carrier makes.
    #[serde(default)]
    pub carrier_faults: CarrierFaults,
    /// What the business behind the tools answers, at `${BACKEND_URL}` of the configuration.
    #[serde(default)]
    pub backend: Vec<Reply>,
    /// The path that calls take first, over the configuration's own: `sip` (the default) or `media-streams`.
    #[serde(default)]
    pub path: FirstPath,
    /// The configuration it is played against, relative to the scenario's own folder; by default that of
    /// the command line.
    pub config: Option<String>,
    /// Variables of the environment in which that configuration is read. `${BACKEND_URL}` in them is where the business
    /// behind the tools answers.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expect,
    /// Where its keys stand.
    #[serde(skip)]
    places: Places,
}

fn default_seed() -> u64 {
    1
}

fn default_time_limit_s() -> u64 {
    120
}

/// Who calls whom.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The caller's number in E.164, or `anonymous`.
    pub from: String,
    /// The number dialled, in E.164.
    pub to: String,
    /// The language spoken (BCP 47), for whoever reads the scenario.
    pub language: Option<String>,
    /// Puts the phone down this long after dialling, whatever happens, in simulated milliseconds.
    pub hangs_up_after_ms: Option<u64>,
}

/// The path that a scenario's call takes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstPath {
    /// The carrier sends the audio to the provider.
    #[default]
    Sip,
    /// The gateway bridges the carrier's media stream.
    MediaStreams,
}

/// A scenario cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario `{path}`")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a scenario.
    #[error("{path}:{line}:{column}: {message}")]
    Malformed {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A value makes no sense.
    #[error("{path}:{line}:{column}: `{key}`: {message}")]
    Invalid {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// The key.
        key: &'static str,
        /// What is wrong, and what is expected.
        message: String,
    },
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// The file cannot be read, is not a scenario, or holds a value that makes no sense.
    pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Scenario::parse(&text, &name),
            Err(source) => Err(ScenarioError::Unreadable { path: name, source }),
        }
    }

    /// Reads a scenario; `path` is what errors call it.
    ///
    /// # Errors
    /// The text is not a scenario, or holds a value that makes no sense.
    pub fn parse(text: &str, path: &str) -> Result<Scenario, ScenarioError> {
        let mut scenario: Scenario = toml::from_str(text).map_err(|error| malformed(text, path, &error))?;
        scenario.places = Places::of(text);
        scenario.check().map_err(|(key, message)| {
            let (line, column) = scenario.places.find(key).unwrap_or((1, 1));
            ScenarioError::Invalid { path: path.to_owned(), line, column, key, message }
        })?;
        Ok(scenario)
    }

    /// Everything in which what was seen is not as expected, each with its place in the file.
    pub fn grade(&self, seen: &Seen) -> Vec<Mismatch> {
        let mut mismatches = self.expect.grade(seen);
        for mismatch in &mut mismatches {
            mismatch.at = self.places.find(&format!("expect.{}", mismatch.what));
        }
        mismatches
    }

    /// The call, as the carrier plays it.
    pub fn caller_setup(&self) -> CallerSetup {
        CallerSetup {
            from: self.caller.from.clone(),
            to: self.caller.to.clone(),
            script: Script { steps: self.steps.clone() },
            hangs_up_after: self.caller.hangs_up_after_ms.map(Duration::from_millis),
            time_limit: Duration::from_secs(self.time_limit_s),
            human: self.human.clone(),
            message: Some(MESSAGE),
            faults: self.carrier_faults.clone(),
        }
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.name.trim().is_empty() {
            return Err(("name", "must not be empty".to_owned()));
        }
        in_range("speed", self.speed.unwrap_or(1.0), 0.01, 10_000.0)?;
        in_range("time_limit_s", self.time_limit_s, 1, TIME_LIMIT_S_MAX)?;
        number("caller.to", &self.caller.to)?;
        if self.caller.from != "anonymous" {
            number("caller.from", &self.caller.from)?;
        }
        self.expect.check()
    }
}

fn in_range<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), (&'static str, String)> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err((key, format!("{value} is not between {least} and {most}")))
}

fn number(key: &'static str, text: &str) -> Result<(), (&'static str, String)> {
    match text.strip_prefix('+') {
        Some(digits) if digits.len() >= 7 && digits.bytes().all(|digit| digit.is_ascii_digit()) => Ok(()),
        _ => Err((key, format!("`{text}` is not a number in E.164, such as `+819012345678`"))),
    }
}

fn malformed(text: &str, path: &str, error: &toml::de::Error) -> ScenarioError {
    let (line, column) = place::position(text, error.span().map_or(0, |span| span.start));
    ScenarioError::Malformed { path: path.to_owned(), line, column, message: error.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "name = 'x'\ndescription = 'y'\n[caller]\nfrom = '+819012345678'\nto = '+815012345678'\n";

    fn parse(tail: &str) -> Result<Scenario, String> {
        Scenario::parse(&format!("{HEAD}{tail}"), "x.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_scenario_is_read() {
        let scenario = parse(
            r#"hangs_up_after_ms = 1500
[[steps]]
caller = { says = "もしもし", for_ms = 900 }
[[steps]]
model = { calls = [{ name = "lookup_customer", arguments = { phone = "{caller}" } }] }
[[steps]]
pause_ms = 800
[[steps]]
hang_up = "gateway"
[human]
reaction = "busy"
[carrier_faults]
doubled = ["voice", "leg_answered"]
shuffled = true
[expect]
ended = "caller_hangup"
tool_calls = [{ name = "lookup_customer", outcome = "ok", output_contains = "found" }]
lines = [{ speaker = "caller", contains = "もしもし" }]
caller_hears = ["ringing"]
accepts = 1
"#,
        )
        .unwrap();
        assert_eq!((scenario.seed, scenario.speed, scenario.time_limit_s), (1, None, 120));
        let setup = scenario.caller_setup();
        assert_eq!(setup.script.steps.len(), 4);
        assert_eq!(setup.hangs_up_after, Some(Duration::from_millis(1_500)));
        assert!(setup.faults.shuffled);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (tail, expected) in [
            ("nam = 1\n", "x.toml:6:1: unknown field `nam`"),
            ("[[steps]]\ncaller = { say = 'a' }\n", "x.toml:7:12: unknown field `say`"),
            ("[[steps]]\nsays = 'a'\n", "x.toml:7:1: unknown variant `says`"),
            ("[[steps]]\npause_ms = 1\nhang_up = 'caller'\n", "x.toml:6:1: wanted exactly 1 element"),
            ("[carrier_faults]\ndoubled = ['voices']\n", "x.toml:7:12: unknown variant `voices`"),
            ("[expect.within]\nreply = '2'\n", "x.toml:7:9: `2` is no span of time"),
            (
                "[[expect.tool_calls]]\nname = 'a'\narguments = { n = { min = 'x' } }\n",
                "x.toml:8:19: `min` must be a number",
            ),
            ("[expect]\nnever_says = { model = ['x'] }\n", "x.toml:7:16: unknown field `model`"),
            ("[expect]\nendd = 'x'\n", "x.toml:7:1: unknown field `endd`"),
            ("[[expect.lines]]\nspeaker = 'caller'\n", "x.toml:6:1: missing field `contains`"),
            ("[x\n", "x.toml:6:3: "),
        ] {
            let error = parse(tail).expect_err(tail);
            assert!(error.starts_with(expected), "{tail}: {error}");
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused() {
        for (from, to, expected) in [
            ("name = 'x'", "name = ' '", "1:1: `name`: must not be empty"),
            ("name = 'x'", "name = 'x'\nspeed = 0.0", "2:1: `speed`: 0 is not between 0.01 and 10000"),
            ("name = 'x'", "name = 'x'\nspeed = nan", "2:1: `speed`: NaN is not between"),
            (
                "name = 'x'",
                "name = 'x'\ntime_limit_s = 0",
                "2:1: `time_limit_s`: 0 is not between 1 and 14400",
            ),
            (
                "+819012345678",
                "090-1234-5678",
                "4:1: `caller.from`: `090-1234-5678` is not a number in E.164",
            ),
            ("+815012345678", "anonymous", "5:1: `caller.to`: `anonymous` is not a number in E.164"),
        ] {
            let error = Scenario::parse(&HEAD.replace(from, to), "x.toml").expect_err(to).to_string();
            assert!(error.starts_with(&format!("x.toml:{expected}")), "{error}");
        }
        assert!(Scenario::parse(&HEAD.replace("+819012345678", "anonymous"), "x.toml").is_ok());
    }
}
