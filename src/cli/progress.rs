//! How far long work is, on a terminal; in a pipe or a log nothing of it is written.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often what has no end that is known moves on.
const TICK: Duration = Duration::from_millis(120);

/// Counts up to `total` of something.
pub(super) fn counting(total: u64, what: &'static str) -> ProgressBar {
    styled(ProgressBar::new(total), "{bar:32} {pos}/{len} {msg}, {eta} left", what)
}

/// Counts up to so many bytes.
pub(super) fn bytes(total: u64, what: &'static str) -> ProgressBar {
    styled(ProgressBar::new(total), "{bar:32} {bytes}/{total_bytes} {msg}, {eta} left", what)
}

/// Shows that something goes on.
pub(super) fn working(what: &'static str) -> ProgressBar {
    let bar = styled(ProgressBar::new_spinner(), "{spinner} {msg}, {elapsed}", what);
    bar.enable_steady_tick(TICK);
    bar
}

fn styled(bar: ProgressBar, template: &str, what: &'static str) -> ProgressBar {
    // Without its style it is only less pretty.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_message(what)
}
