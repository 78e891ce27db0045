//! How far what was seen of a call is from what was expected.
//!
//! Grading compares plain text, so that it does not lean on how calls are stored: whoever played the
//! scenario fills in [`Seen`].

use std::time::Duration;

use serde_json::Value;

use super::expect::{
    Expect, ExpectedLine, ExpectedToolCall, Mismatch, Order, Seen, SeenLine, SeenToolCall, Span,
};
use super::matcher::{Matcher, Misfit};
use super::phrase;

impl Expect {
    /// Everything in which `seen` differs; nothing when the call went as the scenario says.
    pub fn grade(&self, seen: &Seen) -> Vec<Mismatch> {
        let mut grader = Grader::default();
        grader.same("ended", self.ended.as_deref(), seen.ended.as_deref());
        grader.same("route", self.route.as_deref(), seen.route.as_deref());
        grader.same("session", self.session.as_deref(), seen.session.as_deref());
        grader.same("path", self.path.as_deref(), seen.path.as_deref());
        if let Some(expected) = &self.tool_calls {
            grader.tool_calls(self, expected, &seen.tool_calls);
        }
        grader.never_calls(&self.never_calls, &seen.tool_calls);
        grader.lines(&self.lines, &seen.lines);
        grader.never_says(self, &seen.lines);
        grader.instructions(&self.instructions_contain, seen.instructions.as_deref());
        grader.within(self, seen);
        for (name, matcher) in &self.vars {
            let value = seen.vars.get(name).map(|value| Value::from(value.as_str()));
            grader.fits(matcher, &format!("vars.{name}"), value.as_ref());
        }
        if let Some(matcher) = &self.transferred_to {
            let to = seen.transferred_to.as_deref().map(Value::from);
            grader.fits(matcher, "transferred_to", to.as_ref());
        }
        grader.in_order("events", &self.events, &seen.events, |seen, wanted| seen == wanted);
        grader.in_order("caller_hears", &self.caller_hears, &seen.caller_hears, |seen, wanted| {
            seen.contains(wanted)
        });
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
        let (what, expected, seen) = (what.into(), expected.into(), seen.into());
        self.mismatches.push(Mismatch { what, expected, seen, at: None });
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

    fn fits(&mut self, matcher: &Matcher, what: &str, seen: Option<&Value>) {
        for Misfit { place, expected, seen } in matcher.misfits(what, seen) {
            self.wrong(place, expected, seen);
        }
    }

    /// The same for JSON text; what is none says so.
    fn fits_text(&mut self, matcher: Option<&Matcher>, what: &str, seen: Option<&str>) {
        let Some(matcher) = matcher else { return };
        match seen.map(serde_json::from_str::<Value>) {
            None => self.fits(matcher, what, None),
            Some(Ok(value)) => self.fits(matcher, what, Some(&value)),
            Some(Err(_)) => self.wrong(what, "JSON", seen.map(quoted).unwrap_or_default()),
        }
    }

    fn tool_calls(&mut self, expect: &Expect, expected: &[ExpectedToolCall], seen: &[SeenToolCall]) {
        let all = list(&seen.iter().map(|call| call.name.as_str()).collect::<Vec<_>>());
        if !expect.other_tool_calls && expected.len() != seen.len() {
            let expected: Vec<_> = expected.iter().map(|call| call.name.as_str()).collect();
            return self.wrong("tool_calls", list(&expected), all);
        }
        let pairs = match (expect.tool_calls_order, expect.other_tool_calls) {
            (Order::Written, false) => (0..expected.len()).map(Some).collect(),
            (Order::Written, true) => pairs_in_order(expected, seen),
            (Order::Any, _) => pairs_in_any_order(expected, seen),
        };
        for (index, (expected, pair)) in expected.iter().zip(pairs).enumerate() {
            match pair.and_then(|pair| seen.get(pair)) {
                Some(seen) => self.tool_call(index, expected, seen),
                None => {
                    let expected = format!("a call of {}", quoted(&expected.name));
                    self.wrong(format!("tool_calls[{index}]"), expected, all.clone());
                }
            }
        }
    }

    fn tool_call(&mut self, index: usize, expected: &ExpectedToolCall, seen: &SeenToolCall) {
        let what = |key: &str| format!("tool_calls[{index}].{key}");
        if expected.name != seen.name {
            return self.same(&what("name"), Some(&expected.name), Some(&seen.name));
        }
        self.fits_text(expected.arguments.as_ref(), &what("arguments"), Some(&seen.arguments));
        self.same(&what("outcome"), expected.outcome.as_deref(), seen.outcome.as_deref());
        self.fits_text(expected.output.as_ref(), &what("output"), seen.output.as_deref());
        let contains = expected.output_contains.as_deref();
        self.contains(&what("output_contains"), contains, seen.output.as_deref());
    }

    fn never_calls(&mut self, never: &[String], seen: &[SeenToolCall]) {
        for (at, name) in never.iter().enumerate() {
            if let Some(call) = seen.iter().find(|call| call.name == *name) {
                let expected = format!("no call of {}", quoted(name));
                self.wrong(
                    format!("never_calls[{at}]"),
                    expected,
                    format!("{name} {}", quoted(&call.arguments)),
                );
            }
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

    fn never_says(&mut self, expect: &Expect, seen: &[SeenLine]) {
        for line in seen {
            for (key, words) in expect.never_says.of(&line.speaker) {
                if phrase::is_said(words, &line.text) {
                    let expected = format!("the {} never to say {}", line.speaker, quoted(words));
                    self.wrong(key, expected, quoted(&line.text));
                }
            }
        }
    }

    fn instructions(&mut self, expected: &[String], seen: Option<&str>) {
        for (at, words) in expected.iter().enumerate() {
            self.contains(&format!("instructions_contain[{at}]"), Some(words), seen);
        }
    }

    fn within(&mut self, expect: &Expect, seen: &Seen) {
        let within = &expect.within;
        let nothing = |what: &str| format!("no {what} at all");
        match (within.first_word, seen.first_word) {
            (Some(_), None) => self.wrong("within.first_word", "a first word", nothing("word")),
            (Some(bound), Some(took)) => self.in_time("within.first_word", "the first word", bound, took),
            (None, _) => {}
        }
        if let Some(bound) = within.reply {
            for line in seen.lines.iter().filter(|line| line.reply_after.is_some_and(|took| took > bound.0)) {
                let what = format!("the reply {}", quoted(&line.text));
                self.in_time("within.reply", &what, bound, line.reply_after.unwrap_or_default());
            }
        }
        if let Some(bound) = within.tool {
            for call in &seen.tool_calls {
                match call.took {
                    Some(took) => self.in_time("within.tool", &quoted(&call.name), bound, took),
                    None => self.wrong("within.tool", format!("an answer of {}", quoted(&call.name)), "none"),
                }
            }
        }
        match (within.call, seen.call) {
            (Some(_), None) => self.wrong("within.call", "a call that ends", "none"),
            (Some(bound), Some(took)) => self.in_time("within.call", "the whole call", bound, took),
            (None, _) => {}
        }
    }

    fn in_time(&mut self, key: &str, what: &str, bound: Span, took: Duration) {
        if took > bound.0 {
            self.wrong(key, format!("{what} within {bound}"), Span(took).to_string());
        }
    }

    fn in_order(
        &mut self,
        key: &str,
        expected: &[String],
        seen: &[String],
        is_meant: impl Fn(&str, &str) -> bool,
    ) {
        let mut rest = seen.iter();
        for (index, text) in expected.iter().enumerate() {
            if !rest.any(|seen| is_meant(seen, text)) {
                let expected = format!("{} there", quoted(text));
                return self.wrong(format!("{key}[{index}]"), expected, list(seen));
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

/// Claims that nothing about the call is otherwise than expected.
fn is_as_expected(expected: &ExpectedToolCall, seen: &SeenToolCall) -> bool {
    let mut grader = Grader::default();
    grader.tool_call(0, expected, seen);
    grader.mismatches.is_empty()
}

/// For each expected call the next one that is as expected; else the next one of that name, so that it is told what is
/// wrong with it.
fn pairs_in_order(expected: &[ExpectedToolCall], seen: &[SeenToolCall]) -> Vec<Option<usize>> {
    let mut from = 0;
    let pair = |expected: &ExpectedToolCall| {
        let mut rest = (from..seen.len()).filter(|at| seen[*at].name == expected.name);
        let first = rest.clone().next();
        let pair = rest.find(|at| is_as_expected(expected, &seen[*at])).or(first);
        from = pair.map_or(from, |pair| pair + 1);
        pair
    };
    expected.iter().map(pair).collect()
}

/// As many expected calls as possible each get one that is as expected, the others one of their name that is left.
fn pairs_in_any_order(expected: &[ExpectedToolCall], seen: &[SeenToolCall]) -> Vec<Option<usize>> {
    let mut taken: Vec<Option<usize>> = vec![None; seen.len()];
    for index in 0..expected.len() {
        make_place(index, expected, seen, &mut taken, &mut vec![false; seen.len()]);
    }
    for (index, expected) in
        expected.iter().enumerate().filter(|(index, _)| !taken.contains(&Some(*index))).collect::<Vec<_>>()
    {
        let left = (0..seen.len()).find(|at| taken[*at].is_none() && seen[*at].name == expected.name);
        if let Some(left) = left {
            taken[left] = Some(index);
        }
    }
    (0..expected.len()).map(|index| taken.iter().position(|taken| *taken == Some(index))).collect()
}

/// Kuhn's step: an expected call takes a fitting one, whose owner looks for another. Claims that it has one.
fn make_place(
    index: usize,
    expected: &[ExpectedToolCall],
    seen: &[SeenToolCall],
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for at in 0..seen.len() {
        if tried[at] || !is_as_expected(&expected[index], &seen[at]) {
            continue;
        }
        tried[at] = true;
        let is_free = match taken[at] {
            None => true,
            Some(owner) => make_place(owner, expected, seen, taken, tried),
        };
        if is_free {
            taken[at] = Some(index);
            return true;
        }
    }
    false
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
            reply_after: (speaker == "assistant").then_some(Duration::from_millis(1_500)),
        };
        let call = |name: &str, arguments: &str, output: &str| SeenToolCall {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            outcome: Some("ok".to_owned()),
            output: Some(output.to_owned()),
            took: Some(Duration::from_millis(300)),
        };
        Seen {
            ended: Some("assistant_hangup".to_owned()),
            route: Some("shop".to_owned()),
            session: None,
            path: Some("sip".to_owned()),
            tool_calls: vec![call("lookup_customer", r#"{"phone":"+819012345678"}"#, r#"{"found":true}"#)],
            lines: vec![
                line("assistant", "はい、山田商店です。", "interrupted"),
                line("caller", "もしもし。", "final"),
            ],
            caller_hears: vec!["ringing".to_owned(), "connected to sip:x@y".to_owned()],
            accepts: 1,
            instructions: Some("You are the shop. The caller is +819012345678.".to_owned()),
            first_word: Some(Duration::from_millis(900)),
            call: Some(Duration::from_secs(30)),
            vars: [("tier".to_owned(), "gold".to_owned())].into(),
            transferred_to: Some("tel:+81312345678".to_owned()),
            events: vec!["a".to_owned(), "b".to_owned()],
            ..Seen::default()
        }
    }

    /// What was called, against what must have been.
    fn grade_calls(seen: &[(&str, &str)], expect: &str) -> Vec<String> {
        let call = |(name, arguments): &(&str, &str)| SeenToolCall {
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
            ..SeenToolCall::default()
        };
        let seen = Seen { tool_calls: seen.iter().map(call).collect(), ..Seen::default() };
        let expect: Expect = toml::from_str(expect).unwrap();
        expect.grade(&seen).iter().map(Mismatch::to_string).collect()
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
            instructions_contain = ["The caller is +819012345678"]
            never_calls = ["transfer"]
            never_says = ["guarantee"]
            within = { first_word = "1s", reply = "1.5s", tool = "300ms", call = "0.5m" }
            vars = { tier = { one_of = ["gold", "silver"] }, name = { absent = true } }
            transferred_to = { matches = "81312345678$" }
            events = ["b"]
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
                r#"tool_calls[0].output_contains: expected something with `false`, saw `{"found":true}`"#,
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
            (
                r#"instructions_contain = ["a bank"]"#,
                "instructions_contain[0]: expected something with `a bank`, saw `You are the shop. The caller is +819012345678.`",
            ),
            (
                r#"tool_calls = [{ name = "lookup_customer", arguments = { phone = "+81" } }]"#,
                r#"tool_calls[0].arguments.phone: expected `"+81"`, saw `"+819012345678"`"#,
            ),
            (
                r#"tool_calls = [{ name = "lookup_customer", output = { found = false } }]"#,
                "tool_calls[0].output.found: expected `false`, saw `true`",
            ),
            (
                r#"never_calls = ["transfer", "lookup_customer"]"#,
                r#"never_calls[1]: expected no call of `lookup_customer`, saw lookup_customer `{"phone":"+819012345678"}`"#,
            ),
            (
                r#"never_says = ["ﾊｲ", "はい、山田商店"]"#,
                "never_says[1]: expected the assistant never to say `はい、山田商店`, saw `はい、山田商店です。`",
            ),
            (
                r#"never_says = { caller = ["もしもし"] }"#,
                "never_says.caller[0]: expected the caller never to say `もしもし`, saw `もしもし。`",
            ),
            (
                r#"within = { first_word = "800ms" }"#,
                "within.first_word: expected the first word within 800 ms, saw 900 ms",
            ),
            (
                r#"within = { reply = "1.4s" }"#,
                "within.reply: expected the reply `はい、山田商店です。` within 1.4 s, saw 1.5 s",
            ),
            (
                r#"within = { tool = "200ms" }"#,
                "within.tool: expected `lookup_customer` within 200 ms, saw 300 ms",
            ),
            (
                r#"within = { call = "29s" }"#,
                "within.call: expected the whole call within 29.0 s, saw 30.0 s",
            ),
            (r#"vars = { tier = "silver" }"#, r#"vars.tier: expected `"silver"`, saw `"gold"`"#),
            (r#"vars = { name = { any = true } }"#, "vars.name: expected anything, saw nothing"),
            (
                r#"transferred_to = "tel:+1""#,
                r#"transferred_to: expected `"tel:+1"`, saw `"tel:+81312345678"`"#,
            ),
            (r#"events = ["b", "a"]"#, "events[1]: expected `a` there, saw `a`, `b`"),
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

    #[test]
    fn tool_calls_come_in_order_or_in_any() {
        let seen = [("a", r#"{"n":1}"#), ("b", "{}"), ("a", r#"{"n":2}"#)];
        let calls = "tool_calls = [{ name = 'a', arguments = { n = 2 } }, { name = 'a' }, { name = 'b' }]\n";
        assert_eq!(grade_calls(&seen, &format!("{calls}tool_calls_order = 'any'")), Vec::<String>::new());
        let wrong = [
            "tool_calls[0].arguments.n: expected `2`, saw `1`",
            "tool_calls[1].name: expected `a`, saw `b`",
            "tool_calls[2].name: expected `b`, saw `a`",
        ];
        assert_eq!(grade_calls(&seen, calls), wrong);
        let one = "tool_calls = [{ name = 'a', arguments = { n = 2 } }]\nother_tool_calls = true\n";
        for order in ["", "tool_calls_order = 'any'"] {
            assert_eq!(grade_calls(&seen, &format!("{one}{order}")), Vec::<String>::new(), "{order}");
        }
        let late = "tool_calls = [{ name = 'b' }, { name = 'b' }]\nother_tool_calls = true\n";
        for order in ["", "tool_calls_order = 'any'"] {
            let wrong = ["tool_calls[1]: expected a call of `b`, saw `a`, `b`, `a`"];
            assert_eq!(grade_calls(&seen, &format!("{late}{order}")), wrong, "{order}");
        }
        let none = "tool_calls = [{ name = 'a', arguments = { n = 3 } }]\nother_tool_calls = true\n";
        assert_eq!(grade_calls(&seen, none), ["tool_calls[0].arguments.n: expected `3`, saw `1`"]);
        let none = "tool_calls = [{ name = 'a', arguments = { n = 3 } }]";
        assert_eq!(grade_calls(&seen, none), ["tool_calls: expected `a`, saw `a`, `b`, `a`"]);
        let raw = grade_calls(&[("a", "{")], "tool_calls = [{ name = 'a', arguments = { n = 3 } }]");
        assert_eq!(raw, ["tool_calls[0].arguments: expected JSON, saw `{`"]);
    }

    #[test]
    fn what_did_not_happen_was_not_in_time() {
        let within = "within = { first_word = '1s', tool = '1s', call = '1s' }";
        let wrong = [
            "within.first_word: expected a first word, saw no word at all",
            "within.tool: expected an answer of `a`, saw none",
            "within.call: expected a call that ends, saw none",
        ];
        assert_eq!(grade_calls(&[("a", "{}")], within), wrong);
        for text in ["1", "1 h", "s", "-1s", "x1s", "nan s"] {
            let read: Result<Expect, _> = toml::from_str(&format!("within = {{ call = '{text}' }}"));
            let error = read.expect_err(text);
            assert!(error.message().contains("is no span of time"), "{error}");
        }
    }
}
