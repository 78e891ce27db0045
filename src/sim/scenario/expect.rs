//! What must come of a scenario, and how far what was seen is from it.
//!
//! Grading compares plain text, so that it does not lean on how calls are stored: whoever played the
//! scenario fills in [`Seen`].

use std::fmt;

use serde::Deserialize;

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
    /// Lines of the transcript, in this order; others may stand between them.
    pub lines: Vec<ExpectedLine>,
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
}

/// One expected tool call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedToolCall {
    /// The tool's name.
    pub name: String,
    /// What came of it, such as `ok`.
    pub outcome: Option<String>,
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
#[derive(Clone, Debug)]
pub struct SeenToolCall {
    /// The tool's name.
    pub name: String,
    /// What came of it; none while it runs.
    pub outcome: Option<String>,
    /// What was sent to the model.
    pub output: Option<String>,
}

/// One line of the kept transcript.
#[derive(Clone, Debug)]
pub struct SeenLine {
    /// Who spoke.
    pub speaker: String,
    /// The words.
    pub text: String,
    /// How far they can be trusted to be whole.
    pub status: String,
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
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, saw {}", self.what, self.expected, self.seen)
    }
}

impl Expect {
    /// Everything in which `seen` differs; nothing when the call went as the scenario says.
    pub fn grade(&self, seen: &Seen) -> Vec<Mismatch> {
        let mut grader = Grader::default();
        grader.same("ended", self.ended.as_deref(), seen.ended.as_deref());
        grader.same("route", self.route.as_deref(), seen.route.as_deref());
        grader.same("session", self.session.as_deref(), seen.session.as_deref());
        grader.same("path", self.path.as_deref(), seen.path.as_deref());
        if let Some(expected) = &self.tool_calls {
            grader.tool_calls(expected, &seen.tool_calls);
        }
        grader.lines(&self.lines, &seen.lines);
        grader.caller_hears(&self.caller_hears, &seen.caller_hears);
        let counts =
            [("accepts", self.accepts, seen.accepts), ("recordings", self.recordings, seen.recordings)];
        for (what, expected, seen) in counts {
            if let Some(expected) = expected.filter(|expected| *expected != seen) {
                grader.wrong(what, expected.to_string(), seen.to_string());
            }
        }
        grader.problems(&self.problems, &seen.problems);
        grader.mismatches
    }
}

#[derive(Default)]
struct Grader {
    mismatches: Vec<Mismatch>,
}

impl Grader {
    fn wrong(&mut self, what: impl Into<String>, expected: impl Into<String>, seen: impl Into<String>) {
        self.mismatches.push(Mismatch { what: what.into(), expected: expected.into(), seen: seen.into() });
    }

    fn same(&mut self, what: &str, expected: Option<&str>, seen: Option<&str>) {
        if let Some(expected) = expected
            && seen != Some(expected)
        {
            self.wrong(what, quoted(expected), seen.map_or_else(|| "nothing".to_owned(), quoted));
        }
    }

    fn contains(&mut self, what: &str, expected: Option<&str>, seen: Option<&str>) {
        if let Some(expected) = expected
            && !seen.is_some_and(|seen| seen.contains(expected))
        {
            let seen = seen.map_or_else(|| "nothing".to_owned(), quoted);
            self.wrong(what, format!("something with {}", quoted(expected)), seen);
        }
    }

    fn tool_calls(&mut self, expected: &[ExpectedToolCall], seen: &[SeenToolCall]) {
        if expected.len() != seen.len() {
            let names: Vec<_> = seen.iter().map(|call| call.name.as_str()).collect();
            let expected: Vec<_> = expected.iter().map(|call| call.name.as_str()).collect();
            return self.wrong("tool_calls", list(&expected), list(&names));
        }
        for (index, (expected, seen)) in expected.iter().zip(seen).enumerate() {
            let what = |key: &str| format!("tool_calls[{index}].{key}");
            self.same(&what("name"), Some(&expected.name), Some(&seen.name));
            self.same(&what("outcome"), expected.outcome.as_deref(), seen.outcome.as_deref());
            self.contains(&what("output"), expected.output_contains.as_deref(), seen.output.as_deref());
        }
    }

    fn lines(&mut self, expected: &[ExpectedLine], seen: &[SeenLine]) {
        let mut rest = seen.iter();
        for (index, line) in expected.iter().enumerate() {
            let is_meant =
                |seen: &&SeenLine| seen.speaker == line.speaker && seen.text.contains(&line.contains);
            let Some(found) = rest.find(is_meant) else {
                let all: Vec<_> =
                    seen.iter().map(|line| format!("{}: {}", line.speaker, line.text)).collect();
                let expected = format!("{} saying {} there", line.speaker, quoted(&line.contains));
                return self.wrong(format!("lines[{index}]"), expected, list(&all));
            };
            let what = format!("lines[{index}].status");
            self.same(&what, line.status.as_deref(), Some(&found.status));
        }
    }

    fn caller_hears(&mut self, expected: &[String], seen: &[String]) {
        let mut rest = seen.iter();
        for (index, text) in expected.iter().enumerate() {
            if !rest.any(|seen| seen.contains(text)) {
                let expected = format!("{} there", quoted(text));
                return self.wrong(format!("caller_hears[{index}]"), expected, list(seen));
            }
        }
    }

    fn problems(&mut self, expected: &[String], seen: &[String]) {
        for text in expected {
            if !seen.iter().any(|seen| seen.contains(text)) {
                self.wrong("problems", quoted(text), list(seen));
            }
        }
        for problem in seen {
            if !expected.iter().any(|text| problem.contains(text)) {
                self.wrong("problems", "no complaint", quoted(problem));
            }
        }
    }
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

fn list(texts: &[impl AsRef<str>]) -> String {
    if texts.is_empty() {
        return "nothing".to_owned();
    }
    texts.iter().map(|text| quoted(text.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        let line = |speaker: &str, text: &str, status: &str| SeenLine {
            speaker: speaker.to_owned(),
            text: text.to_owned(),
            status: status.to_owned(),
        };
        Seen {
            ended: Some("assistant_hangup".to_owned()),
            route: Some("shop".to_owned()),
            session: None,
            path: Some("sip".to_owned()),
            tool_calls: vec![SeenToolCall {
                name: "lookup_customer".to_owned(),
                outcome: Some("ok".to_owned()),
                output: Some(r#"{"found":true}"#.to_owned()),
            }],
            lines: vec![
                line("assistant", "はい、山田商店です。", "interrupted"),
                line("caller", "もしもし。", "final"),
            ],
            caller_hears: vec!["ringing".to_owned(), "connected to sip:x@y".to_owned()],
            accepts: 1,
            recordings: 0,
            problems: Vec::new(),
        }
    }

    fn grade(expect: &str) -> Vec<String> {
        let expect: Expect = toml::from_str(expect).unwrap();
        expect.grade(&seen()).iter().map(Mismatch::to_string).collect()
    }

    #[test]
    fn a_call_that_went_well_has_no_mismatch() {
        let expect = r#"
            ended = "assistant_hangup"
            route = "shop"
            path = "sip"
            tool_calls = [{ name = "lookup_customer", outcome = "ok", output_contains = "true" }]
            lines = [
                { speaker = "assistant", contains = "山田", status = "interrupted" },
                { speaker = "caller", contains = "もし" },
            ]
            caller_hears = ["connected"]
            accepts = 1
        "#;
        assert_eq!(grade(expect), Vec::<String>::new());
        assert_eq!(grade(""), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_told() {
        for (expect, expected) in [
            (r#"ended = "caller_hangup""#, "ended: expected `caller_hangup`, saw `assistant_hangup`"),
            (r#"session = "shop""#, "session: expected `shop`, saw nothing"),
            ("tool_calls = []", "tool_calls: expected nothing, saw `lookup_customer`"),
            (
                r#"tool_calls = [{ name = "hangup" }]"#,
                "tool_calls[0].name: expected `hangup`, saw `lookup_customer`",
            ),
            (
                r#"tool_calls = [{ name = "lookup_customer", outcome = "failed" }]"#,
                "tool_calls[0].outcome: expected `failed`, saw `ok`",
            ),
            (
                r#"tool_calls = [{ name = "lookup_customer", output_contains = "false" }]"#,
                r#"tool_calls[0].output: expected something with `false`, saw `{"found":true}`"#,
            ),
            (
                r#"lines = [{ speaker = "caller", contains = "もし" }, { speaker = "assistant", contains = "山田" }]"#,
                "lines[1]: expected assistant saying `山田` there, saw `assistant: はい、山田商店です。`, `caller: もしもし。`",
            ),
            (
                r#"lines = [{ speaker = "caller", contains = "", status = "partial" }]"#,
                "lines[0].status: expected `partial`, saw `final`",
            ),
            (
                r#"caller_hears = ["connected", "ringing"]"#,
                "caller_hears[1]: expected `ringing` there, saw `ringing`, `connected to sip:x@y`",
            ),
            ("accepts = 2", "accepts: expected 2, saw 1"),
            (r#"problems = ["12100"]"#, "problems: expected `12100`, saw nothing"),
        ] {
            assert_eq!(grade(expect), [expected]);
        }
    }

    #[test]
    fn an_unexpected_complaint_is_a_mismatch() {
        let seen = Seen { problems: vec!["11200: x".to_owned()], ..Seen::default() };
        let complaint = "problems: expected no complaint, saw `11200: x`";
        assert_eq!(Expect::default().grade(&seen)[0].to_string(), complaint);
        let expect = Expect { problems: vec!["11200".to_owned()], ..Expect::default() };
        assert_eq!(expect.grade(&seen), []);
    }
}
