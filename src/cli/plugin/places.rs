//! Where in an author's TOML something is wrong.

use std::ops::Range;
use std::path::Path;

use anyhow::anyhow;

/// Something wrong at a place of a text.
pub(super) struct Misplaced {
    /// The bytes that are wrong.
    pub span: Range<usize>,
    /// What is wrong and what to do.
    pub words: String,
}

/// The error as people read it: `tests.toml:12:8: …`.
pub(super) fn error(path: &Path, text: &str, misplaced: Misplaced) -> anyhow::Error {
    let (line, column) = position(text, misplaced.span.start);
    anyhow!("{}:{line}:{column}: {}", path.display(), misplaced.words)
}

/// What is no TOML, or of a wrong type.
pub(super) fn of_toml(path: &Path, text: &str, found: &toml::de::Error) -> anyhow::Error {
    let span = found.span().unwrap_or(0..0);
    error(path, text, Misplaced { span, words: found.message().trim_end().replace('\n', "; ") })
}

/// Line and column, both from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
