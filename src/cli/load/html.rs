//! A result as one HTML file: figures, and plots as inline SVG. Nothing of it is fetched from anywhere, and nothing
//! in it runs.

use std::fmt::Write as _;

use super::figures::{Metric, Sample, Summary};
use super::plot::{Line, Plot, X, escape};
use super::report::{memory, millis};

/// At most so many steps are drawn of a latency over time.
const STEPS: usize = 120;
/// The metrics whose course is drawn, in this order of colours.
const DRAWN: [Metric; 6] =
    [Metric::Accept, Metric::Tool, Metric::Reply, Metric::Call, Metric::ToModel, Metric::ToCaller];

const STYLE: &str = include_str!("report.css");

/// The page.
pub(super) fn page(summary: &Summary) -> String {
    let mut out = String::new();
    let _ = write_page(&mut out, summary);
    out
}

fn write_page(out: &mut String, summary: &Summary) -> std::fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>Switchboard: load</title><style>{STYLE}</style></head>\
         <body><main><h1>Load</h1><p class=\"about\">{}</p>",
        escape(&summary.command)
    )?;
    for warning in &summary.generator.warnings {
        write!(
            out,
            "<p class=\"warning\">{}: these figures tell of the generator, not of the gateway.</p>",
            escape(warning)
        )?;
    }
    write_tiles(out, summary)?;
    write_thresholds(out, summary)?;
    write_latencies(out, summary)?;
    write_failures(out, summary)?;
    out.push_str("<section class=\"plots\">");
    plots(summary).iter().for_each(|plot| out.push_str(plot));
    out.push_str("</section></main></body></html>\n");
    Ok(())
}

fn write_tiles(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let calls = &summary.calls;
    let mut tiles = vec![
        ("calls", calls.completed.to_string(), format!("of {} that began", calls.started)),
        ("failed", format!("{:.2} %", calls.failed_percent), format!("{} calls", calls.failed)),
        ("rate", format!("{:.1}/s", calls.per_second), format!("in {:.1} s", summary.seconds)),
        ("at once", calls.peak.to_string(), "at most".to_owned()),
    ];
    if let Some(target) = &summary.target {
        let each = format!("{:.2} CPU-s for 1,000 calls", target.cpu_seconds_per_1000_calls);
        tiles.push(("target's CPU", format!("{:.2} cores", target.cores), each));
        let before = format!("at most; {} before", memory(target.rss_kib_before));
        tiles.push(("target's memory", memory(target.rss_kib_peak), before));
    }
    if let Some((held, each)) = summary.held.as_ref().and_then(|held| Some((held, held.rss_kib_per_call?))) {
        tiles.push(("a held call", format!("{each:.1} KiB"), format!("{} held", held.calls)));
    }
    if let Some(audio) = &summary.audio {
        let lost: u64 = audio.ways.iter().map(|way| way.lost).sum();
        let late: u64 = audio.ways.iter().map(|way| way.late).sum();
        tiles.push(("frames lost", lost.to_string(), format!("{late} later than 20 ms")));
    }
    if let Some(cores) = summary.generator.cores {
        let late = summary
            .generator
            .lag_ms
            .map_or(String::new(), |lag| format!("late by {} (p99)", millis(lag.p99)));
        tiles.push(("generator", format!("{cores:.2} cores"), late));
    }
    out.push_str("<section class=\"tiles\">");
    for (name, value, more) in tiles {
        write!(
            out,
            "<div class=\"tile\"><span>{name}</span><b>{value}</b><span>{}</span></div>",
            escape(&more)
        )?;
    }
    out.push_str("</section>");
    Ok(())
}

fn write_thresholds(out: &mut String, summary: &Summary) -> std::fmt::Result {
    if summary.thresholds.is_empty() {
        return Ok(());
    }
    out.push_str("<h2>Thresholds</h2><ul class=\"thresholds\">");
    for judged in &summary.thresholds {
        let (class, mark) = if judged.is_met { ("met", "✓") } else { ("missed", "✗") };
        let seen = judged.seen.as_deref().unwrap_or("nothing was seen of it");
        write!(
            out,
            "<li class=\"{class}\">{mark} <code>{}</code> ({})</li>",
            escape(&judged.threshold),
            escape(seen)
        )?;
    }
    out.push_str("</ul>");
    Ok(())
}

fn write_latencies(out: &mut String, summary: &Summary) -> std::fmt::Result {
    if summary.latency_ms.is_empty() {
        return Ok(());
    }
    out.push_str(
        "<h2>Latencies</h2><div class=\"scroll\"><table><thead><tr><th>metric</th><th></th><th>count</th><th>p50</th>\
         <th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr></thead><tbody>",
    );
    for metric in Metric::ALL {
        let Some(latency) = summary.latency_ms.get(metric.name()) else { continue };
        let name = metric.name();
        write!(
            out,
            "<tr><th>{name}</th><td class=\"meaning\">{}</td><td>{}</td>",
            metric.meaning(),
            latency.count
        )?;
        for value in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
            write!(out, "<td>{}</td>", millis(value))?;
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    Ok(())
}

fn write_failures(out: &mut String, summary: &Summary) -> std::fmt::Result {
    if summary.failures.is_empty() {
        return Ok(());
    }
    out.push_str("<h2>What went wrong</h2><table><tbody>");
    for (kind, count) in &summary.failures {
        write!(out, "<tr><th>{}</th><td>{count}</td></tr>", escape(kind))?;
    }
    out.push_str("</tbody></table><ul>");
    for example in &summary.examples {
        write!(out, "<li><code>{}</code></li>", escape(example))?;
    }
    out.push_str("</ul>");
    Ok(())
}

fn plots(summary: &Summary) -> Vec<String> {
    let over_time = |name: &str, colour: usize, value: fn(&Sample) -> Option<f64>| Line {
        name: name.to_owned(),
        colour,
        is_faint: false,
        points: summary.series.iter().filter_map(|sample| Some((sample.second, value(sample)?))).collect(),
    };
    let time = |title, y, lines| Plot { title, x: X::Time, y, is_logarithmic: false, lines }.svg();
    let curves = drawn(summary).filter_map(|(colour, metric)| {
        let points = summary.curves.get(metric.name())?.clone();
        Some(Line { name: metric.name().to_owned(), colour, is_faint: false, points })
    });
    vec![
        time("Latency over time: p99, and p50 faintly", "ms", courses(summary)),
        Plot {
            title: "Latency by percentile",
            x: X::Percentile,
            y: "ms",
            is_logarithmic: true,
            lines: curves.collect(),
        }
        .svg(),
        time("Calls at once", "calls", vec![over_time("calls", 0, |sample| Some(f64::from(sample.calls)))]),
        time(
            "CPU",
            "cores",
            vec![
                over_time("target", 0, |sample| sample.cores),
                over_time("generator", 1, |sample| sample.generator_cores),
            ],
        ),
        time(
            "Memory of the target",
            "MiB",
            vec![over_time("target", 0, |sample| Some(sample.rss_kib? as f64 / 1_024.0))],
        ),
    ]
}

fn drawn(summary: &Summary) -> impl Iterator<Item = (usize, Metric)> {
    DRAWN.into_iter().filter(|metric| summary.curves.contains_key(metric.name())).enumerate()
}

/// Each metric in steps of time: the longest but one in a hundred of each, and the middle.
fn courses(summary: &Summary) -> Vec<Line> {
    let mut lines = Vec::new();
    for (colour, metric) in drawn(summary) {
        let Some(points) = summary.points.get(metric.name()).filter(|points| !points.is_empty()) else {
            continue;
        };
        // The whole call is as long as its parts together: it would flatten them.
        if metric == Metric::Call {
            continue;
        }
        for (share, is_faint) in [(0.99, false), (0.5, true)] {
            let name = format!("{} p{:.0}", metric.name(), share * 100.0);
            lines.push(Line { name, colour, is_faint, points: course(points, share) });
        }
    }
    lines
}

/// The share's time of each step.
fn course(points: &[(u32, u32)], share: f64) -> Vec<(f64, f64)> {
    let end = points.iter().map(|(at, _)| *at).max().unwrap_or_default();
    // No step shorter than half a second, or a percentile of it says little.
    let steps = (end as usize / 500).clamp(1, STEPS);
    let mut buckets = vec![Vec::new(); steps];
    for (at, micros) in points {
        let step = *at as usize * steps / (end as usize + 1);
        buckets[step].push(*micros);
    }
    let width = f64::from(end) / 1_000.0 / steps as f64;
    let buckets = buckets.into_iter().enumerate().filter(|(_, bucket)| !bucket.is_empty());
    buckets
        .map(|(step, mut bucket)| {
            bucket.sort_unstable();
            let index = ((bucket.len() as f64 * share).ceil() as usize).clamp(1, bucket.len()) - 1;
            ((step as f64 + 0.5) * width, f64::from(bucket[index]) / 1_000.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::figures::{Book, Generator, Judged, Seen, What, wrong};
    use super::*;

    #[test]
    fn a_page_holds_everything_and_leads_nowhere() {
        let book = Book::new();
        for number in 1..=100u64 {
            book.begins(Some(Duration::from_millis(20)));
            let mut seen = Seen::default();
            seen.add(Metric::Accept, Duration::from_millis(number));
            book.ends(&seen, if number == 1 { Err(wrong("no_reply", "<b>")) } else { Ok(()) });
        }
        for second in 0..3 {
            book.sample(Sample {
                second: f64::from(second),
                calls: 5,
                cores: Some(0.5),
                rss_kib: Some(50_000),
                generator_cores: Some(0.2),
            });
        }
        let mut summary = book.summary(What {
            command: "20/s & more".to_owned(),
            took: Duration::from_secs(5),
            target: None,
            generator: Generator::default(),
            held: None,
            audio: None,
        });
        summary.thresholds = vec![Judged { threshold: "reply_p99<1s".to_owned(), seen: None, is_met: false }];
        let page = page(&summary);
        for words in [
            "20/s &amp; more",
            "reply_p99&lt;1s",
            "no_reply",
            "&lt;b&gt;",
            "the generator was late",
            "Calls at once",
        ] {
            assert!(page.contains(words), "{words}");
        }
        // All calls were seen at one moment, so there is no course of their latency.
        assert_eq!(page.matches("<svg").count(), 4);
        for word in ["http", "<script", "src=", "href="] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn a_course_is_cut_into_steps_of_time() {
        let points: Vec<(u32, u32)> = (0..1_000).map(|at| (at * 10, 1_000 + at)).collect();
        let course = course(&points, 1.0);
        assert_eq!(course.len(), 19);
        assert!(course.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    }
}
