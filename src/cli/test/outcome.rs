//! What came of tests, and how it is told.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::record::CallDetail;
use crate::cli::view;
use crate::sim::scenario::Mismatch;

/// All tests that were to be run.
#[derive(Default)]
pub(super) struct Outcome {
    /// In the order in which they were found.
    pub cases: Vec<Case>,
    pub took: Duration,
}

/// One test.
pub(super) struct Case {
    pub name: String,
    pub file: PathBuf,
    pub came: Came,
    pub took: Duration,
    /// The call as it is kept, where there was one.
    pub kept: Option<Box<CallDetail>>,
    /// What whoever reads the result should know.
    pub notes: Vec<String>,
}

/// What came of one.
pub(super) enum Came {
    Passed,
    /// The call did not go as expected.
    Failed(Vec<Mismatch>),
    /// There was no call to be judged; why.
    Broken(String),
    /// An earlier one failed, and that was enough.
    NotRun,
}

impl Case {
    /// One that was not run.
    pub fn not_run(name: String, file: &Path) -> Case {
        let (file, notes) = (file.to_owned(), Vec::new());
        Case { name, file, came: Came::NotRun, took: Duration::ZERO, kept: None, notes }
    }

    /// Claims that it is a reason to be unhappy.
    pub fn is_bad(&self) -> bool {
        matches!(self.came, Came::Failed(_) | Came::Broken(_))
    }

    /// What is wrong, a line each.
    pub fn problems(&self) -> Vec<String> {
        match &self.came {
            Came::Passed | Came::NotRun => Vec::new(),
            Came::Broken(why) => vec![why.clone()],
            Came::Failed(mismatches) => mismatches.iter().map(|one| self.placed(one)).collect(),
        }
    }

    fn placed(&self, mismatch: &Mismatch) -> String {
        let file = self.file.display();
        match mismatch.at {
            Some((line, column)) => format!("{file}:{line}:{column}: expect.{mismatch}"),
            None => format!("{file}: expect.{mismatch}"),
        }
    }

    /// What was said and done.
    pub fn transcript(&self) -> Option<String> {
        self.kept.as_ref().map(|kept| view::in_short(kept))
    }

    /// The one line of it.
    pub fn line(&self) -> String {
        let took = span(self.took);
        match self.came {
            Came::Passed => format!("ok    {} ({took})\n", self.name),
            Came::Failed(_) | Came::Broken(_) => format!("FAIL  {} ({took})\n", self.name),
            Came::NotRun => String::new(),
        }
    }

    fn json(&self) -> Value {
        let outcome = match &self.came {
            Came::Passed => "passed",
            Came::Failed(_) => "failed",
            Came::Broken(_) => "error",
            Came::NotRun => "not_run",
        };
        let mismatch = |one: &Mismatch| {
            json!({ "key": format!("expect.{}", one.what), "line": one.at.map(|at| at.0),
                "column": one.at.map(|at| at.1), "expected": one.expected, "seen": one.seen })
        };
        let mismatches: Vec<Value> = match &self.came {
            Came::Failed(mismatches) => mismatches.iter().map(mismatch).collect(),
            _ => Vec::new(),
        };
        let error = if let Came::Broken(why) = &self.came { Some(why) } else { None };
        let cost = self.kept.as_ref().and_then(|kept| kept.call.cost_usd);
        json!({ "name": self.name, "file": self.file, "outcome": outcome, "seconds": self.took.as_secs_f64(),
            "mismatches": mismatches, "error": error, "notes": self.notes, "cost_usd": cost,
            "call": self.kept.as_ref().filter(|_| self.is_bad()) })
    }
}

impl Outcome {
    /// Claims that nothing is wrong.
    pub fn is_good(&self) -> bool {
        !self.cases.iter().any(Case::is_bad)
    }

    /// Everything that is wrong, in detail, and then how many passed.
    pub fn told(&self, is_live: bool) -> String {
        let mut text = String::new();
        for case in self.cases.iter().filter(|case| case.is_bad()) {
            let _ = writeln!(text, "\n── {} ({})", case.name, case.file.display());
            for line in case.problems().iter().flat_map(|problem| problem.lines()) {
                let _ = writeln!(text, "   {line}");
            }
            for line in case.transcript().iter().flat_map(|transcript| transcript.lines()) {
                let _ = writeln!(text, "   {line}");
            }
        }
        text.push('\n');
        text + &self.summary(is_live)
    }

    fn summary(&self, is_live: bool) -> String {
        let count = |is_so: fn(&Case) -> bool| self.cases.iter().filter(|case| is_so(case)).count();
        let passed = count(|case| matches!(case.came, Came::Passed));
        let not_run = match count(|case| matches!(case.came, Came::NotRun)) {
            0 => String::new(),
            not_run => format!(", {not_run} not run"),
        };
        let cost = match self.cost_usd() {
            Some(cost) if is_live => format!(", ${cost:.4}"),
            None if is_live => ", cost unknown".to_owned(),
            _ => String::new(),
        };
        format!("{passed} passed, {} failed{not_run} ({}{cost})\n", count(Case::is_bad), span(self.took))
    }

    /// What all calls cost together; none where that of one is not known.
    fn cost_usd(&self) -> Option<f64> {
        let costs = self.cases.iter().filter_map(|case| case.kept.as_ref()).map(|kept| kept.call.cost_usd);
        costs.sum()
    }

    pub fn json(&self) -> Value {
        let count = |is_so: fn(&Case) -> bool| self.cases.iter().filter(|case| is_so(case)).count();
        json!({ "passed": count(|case| matches!(case.came, Came::Passed)), "failed": count(Case::is_bad),
            "not_run": count(|case| matches!(case.came, Came::NotRun)), "seconds": self.took.as_secs_f64(),
            "cost_usd": self.cost_usd(), "tests": self.cases.iter().map(Case::json).collect::<Vec<_>>() })
    }
}

fn span(span: Duration) -> String {
    match span.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        _ => format!("{:.1} s", span.as_secs_f64()),
    }
}
