//! Plots as SVG, written by us: lines over an axis of time or of percentiles, in colours that the page's style sets.

use std::fmt::Write as _;

/// The drawing, in units of its own.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
/// About so many lines across, and so many moments.
const TICKS: f64 = 5.0;
const MOMENTS: f64 = 8.0;

/// One plot.
pub(super) struct Plot<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What is to the right.
    pub x: X,
    /// What is upwards, with its unit.
    pub y: &'a str,
    /// Upwards by powers of ten.
    pub is_logarithmic: bool,
    /// What is drawn.
    pub lines: Vec<Line>,
}

/// The axis to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum X {
    /// Seconds.
    Time,
    /// Percentiles; each nine has the same room.
    Percentile,
}

/// One line of it.
pub(super) struct Line {
    /// Its name.
    pub name: String,
    /// Which colour.
    pub colour: usize,
    /// Not as important as the others.
    pub is_faint: bool,
    /// Where it goes.
    pub points: Vec<(f64, f64)>,
}

/// From what is plotted to the drawing.
struct Scale {
    from: f64,
    to: f64,
    is_logarithmic: bool,
}

impl Scale {
    /// From 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let (from, to, value) = match self.is_logarithmic {
            true => (self.from.log10(), self.to.log10(), value.max(self.from).log10()),
            false => (self.from, self.to, value),
        };
        ((value - from) / (to - from).max(f64::EPSILON)).clamp(0.0, 1.0)
    }

    fn ticks(&self, about: f64) -> Vec<f64> {
        if self.is_logarithmic {
            let decades = self.from.log10().round() as i32..=self.to.log10().round() as i32;
            return decades.map(|decade| 10f64.powi(decade)).collect();
        }
        let step = step((self.to - self.from) / about);
        let count = ((self.to - self.from) / step + 1e-9).floor() as usize;
        (0..=count).map(|tick| self.from + tick as f64 * step).collect()
    }
}

/// A round step that is not smaller: 1, 2 or 5 times a power of ten.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= least * 0.999)
        .unwrap_or(power)
}

/// Each nine of a percentile is as wide as the one before.
fn nines(percentile: f64) -> f64 {
    -(1.0 - (percentile / 100.0).min(0.999_999)).log10()
}

impl Plot<'_> {
    /// The drawing; nothing where there is nothing to draw.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let placed = |x: f64| if self.x == X::Percentile { nines(x) } else { x };
        let right = points().map(|(x, _)| placed(*x)).fold(0.0, f64::max);
        let most = points().map(|(_, y)| *y).fold(0.0, f64::max);
        if right <= 0.0 || most <= 0.0 {
            return String::new();
        }
        let least = points().map(|(_, y)| *y).filter(|y| *y > 0.0).fold(most, f64::min);
        let x = Scale { from: 0.0, to: right, is_logarithmic: false };
        let y = match self.is_logarithmic {
            true => Scale {
                from: 10f64.powf(least.log10().floor()),
                to: 10f64.powf(most.log10().ceil().max(least.log10().floor() + 1.0)),
                is_logarithmic: true,
            },
            false => Scale {
                from: 0.0,
                to: step(most / TICKS) * (most / step(most / TICKS)).ceil(),
                is_logarithmic: false,
            },
        };
        let mut out = String::new();
        let _ = self.write(&mut out, &x, &y, placed);
        out
    }

    fn write(&self, out: &mut String, x: &Scale, y: &Scale, placed: impl Fn(f64) -> f64) -> std::fmt::Result {
        let across = |value: f64| LEFT + x.at(value) * (WIDTH - LEFT - RIGHT);
        let up = |value: f64| HEIGHT - BOTTOM - y.at(value) * (HEIGHT - TOP - BOTTOM);
        let title = escape(self.title);
        write!(out, r#"<figure><figcaption>{title}</figcaption><div class="legend">"#)?;
        for line in &self.lines {
            let faint = if line.is_faint { " faint" } else { "" };
            write!(out, r#"<span class="key c{}{faint}">{}</span>"#, line.colour, escape(&line.name))?;
        }
        write!(out, r#"</div><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">"#)?;
        for value in y.ticks(TICKS) {
            let at = up(value);
            write!(
                out,
                r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{at:.1}" y2="{at:.1}"/><text class="tick" x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(value)
            )?;
        }
        let below = HEIGHT - BOTTOM + 16.0;
        for (value, label) in self.across(x) {
            write!(
                out,
                r#"<text class="tick" x="{:.1}" y="{below}" text-anchor="middle">{label}</text>"#,
                across(value)
            )?;
        }
        let unit = if self.x == X::Time { "seconds" } else { "percentile" };
        write!(
            out,
            r#"<text class="tick" x="{}" y="{}" text-anchor="middle">{unit}</text><text class="tick" x="{}" y="{}" text-anchor="middle" transform="rotate(-90)">{}</text>"#,
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
            HEIGHT - 6.0,
            -(TOP + (HEIGHT - TOP - BOTTOM) / 2.0),
            14,
            escape(self.y)
        )?;
        for line in &self.lines {
            let faint = if line.is_faint { " faint" } else { "" };
            write!(out, r#"<polyline class="line c{}{faint}" points=""#, line.colour)?;
            for (at, value) in &line.points {
                write!(out, "{:.1},{:.1} ", across(placed(*at)), up(*value))?;
            }
            write!(out, r#""><title>{}</title></polyline>"#, escape(&line.name))?;
        }
        out.push_str("</svg></figure>");
        Ok(())
    }

    fn across(&self, x: &Scale) -> Vec<(f64, String)> {
        match self.x {
            X::Time => x.ticks(MOMENTS).into_iter().map(|value| (value, number(value))).collect(),
            X::Percentile => ["0", "50", "90", "99", "99.9", "99.99", "99.999"]
                .into_iter()
                .map(|label| (nines(label.parse().unwrap_or_default()), label.to_owned()))
                .filter(|(value, _)| *value <= x.to + 1e-6)
                .collect(),
        }
    }
}

fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{}", (value * 1_000.0).round() / 1_000.0),
    }
}

/// As it may stand in HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_not_smaller() {
        for (least, expected) in
            [(0.9, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (0.03, 0.05), (240.0, 500.0)]
        {
            assert!((step(least) - expected).abs() < 1e-9, "{least}: {}", step(least));
        }
    }

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let line = Line {
            name: "a<b".to_owned(),
            colour: 1,
            is_faint: false,
            points: vec![(0.0, 0.0), (10.0, 5.0)],
        };
        let plot = Plot { title: "t", x: X::Time, y: "ms", is_logarithmic: false, lines: vec![line] };
        let svg = plot.svg();
        assert!(svg.contains(r#"points="60.0,210.0 544.0,14.0 ""#), "{svg}");
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"), "{svg}");
        let empty = Plot { title: "t", x: X::Time, y: "ms", is_logarithmic: false, lines: Vec::new() };
        assert_eq!(empty.svg(), "");
    }

    #[test]
    fn nines_have_the_same_room() {
        assert!((nines(99.0) - 2.0 * nines(90.0)).abs() < 1e-9);
        assert!((nines(99.9) - 3.0 * nines(90.0)).abs() < 1e-9);
    }
}
