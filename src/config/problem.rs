//! What is wrong with a configuration: all of it at once, each with its place and a way out.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DEFAULT_TERM_WIDTH;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::codes::{self, Code, Severity};

/// More problems than this are counted, not kept: nobody reads them.
const PROBLEMS_MAX: usize = 100;

/// A text that was read, as it may be shown: secrets in it are masked.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in messages.
    pub name: String,
    /// What may be shown of it; none: nothing (a file of secrets).
    pub text: Option<String>,
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Bytes of a text.
    Text(Arc<Source>, Range<usize>),
    /// A line of a text that is not shown, from 1.
    Line(Arc<Source>, usize),
    /// A text as a whole.
    Whole(Arc<Source>),
    /// A variable of the environment.
    Variable(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: &'static Code,
    /// Where it is.
    pub location: Location,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to see at the place.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    pub(super) fn new(code: &'static Code, location: Location, message: impl Into<String>) -> Problem {
        Problem { code, location, message: message.into(), label: None, help: None }
    }

    pub(super) fn label(&mut self, label: impl Into<String>) -> &mut Problem {
        self.label = Some(label.into());
        self
    }

    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Problem {
        self.help = Some(help.into());
        self
    }

    /// Claims that it says no more than that one of the `[[tests]]` fails.
    pub fn is_failed_test(&self) -> bool {
        self.code.id == codes::TEST_FAILS.id
    }

    /// Line and column, both from 1, where the problem is in a text.
    pub fn position(&self) -> Option<(usize, usize)> {
        match &self.location {
            Location::Text(source, span) => {
                let before = source.text.as_deref()?.get(..span.start)?;
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                Some((before.matches('\n').count() + 1, before[line_start..].chars().count() + 1))
            }
            Location::Line(_, line) => Some((*line, 1)),
            Location::Whole(_) | Location::Variable(_) => None,
        }
    }

    /// The file, or `environment variable NAME`.
    pub fn file(&self) -> String {
        match &self.location {
            Location::Text(source, _) | Location::Line(source, _) | Location::Whole(source) => {
                source.name.clone()
            }
            Location::Variable(name) => format!("environment variable {name}"),
        }
    }

    fn report(&self) -> Group<'_> {
        let level = match self.code.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = self.place(level.primary_title(self.message.as_str()).id(self.code.id));
        // Without a snippet the label has no line to stand under.
        if let (Some(label), false) = (&self.label, self.has_snippet()) {
            group = group.element(Level::NOTE.message(label.as_str()));
        }
        match &self.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }

    fn has_snippet(&self) -> bool {
        matches!(&self.location, Location::Text(source, _) if source.text.is_some())
    }

    fn place<'a>(&'a self, title: annotate_snippets::Title<'a>) -> Group<'a> {
        match &self.location {
            Location::Text(source, span) => match &source.text {
                Some(text) => {
                    let mark = AnnotationKind::Primary.span(within(text, span)).label(self.label.as_deref());
                    title.element(Snippet::source(text.as_str()).path(source.name.as_str()).annotation(mark))
                }
                None => title.element(Origin::path(source.name.as_str())),
            },
            Location::Line(source, line) => title.element(Origin::path(source.name.as_str()).line(*line)),
            Location::Whole(_) | Location::Variable(_) => title.element(Origin::path(self.file())),
        }
    }
}

/// The span, moved to where it can be cut: inside the text and between characters.
fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    start..text.ceil_char_boundary(span.end).max(start)
}

/// All that is wrong with a configuration, in the order in which it stands there.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        let is_known = self.list.iter().any(|other| {
            other.code == problem.code && other.location == problem.location && {
                // One mistake seen from two sides: what a session inherits is wrong in both.
                matches!(problem.location, Location::Text(..)) && other.label == problem.label
            }
        });
        if is_known {
            return;
        }
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// Adds what else is wrong.
    pub(crate) fn extend(&mut self, others: Problems) {
        self.more += others.more;
        for problem in others.list {
            self.push(problem);
        }
    }

    /// Forgets the errors of a kind, if there are no others.
    pub(super) fn forget_alone(&mut self, code: &'static Code) {
        let is_other = |problem: &Problem| problem.code.severity == Severity::Error && problem.code != code;
        if !self.list.iter().any(is_other) {
            self.list.retain(|problem| problem.code != code);
        }
    }

    /// Puts them into the order of the file; what has no position goes first.
    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|problem| match &problem.location {
            Location::Text(source, span) => (1, source.name.clone(), span.start),
            Location::Line(source, line) => (0, source.name.clone(), *line),
            Location::Whole(source) => (0, source.name.clone(), 0),
            Location::Variable(name) => (0, name.clone(), 0),
        });
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Claims that there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Claims that something must be changed before the gateway can run.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.code.severity == Severity::Error)
    }

    /// The problems as text for people, with colours where `is_coloured`.
    pub fn render(&self, is_coloured: bool) -> String {
        let renderer = if is_coloured { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.term_width(DEFAULT_TERM_WIDTH.max(160));
        let mut text = String::new();
        for problem in &self.list {
            text.push_str(&renderer.render(&[problem.report()]));
            text.push_str("\n\n");
        }
        if self.more > 0 {
            text.push_str(&format!("and {} more\n\n", self.more));
        }
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Problems {}
