//! A result as text for a person, as JSON, and as CSV.

use std::fmt::Write as _;

use super::figures::{Latency, Metric, Summary};

/// A time with a unit in which it is easily read.
pub(super) fn millis(millis: f64) -> String {
    match millis {
        millis if millis < 10.0 => format!("{millis:.2} ms"),
        millis if millis < 100.0 => format!("{millis:.1} ms"),
        millis if millis < 1_000.0 => format!("{millis:.0} ms"),
        millis => format!("{:.2} s", millis / 1_000.0),
    }
}

/// Memory with a unit in which it is easily read.
pub(super) fn memory(kib: u64) -> String {
    match kib {
        0..10_240 => format!("{kib} KiB"),
        _ => format!("{:.0} MiB", kib as f64 / 1_024.0),
    }
}

/// For a person.
pub(super) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = write_text(&mut text, summary);
    text
}

fn write_text(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let calls = &summary.calls;
    let kinds: Vec<String> = summary.failures.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    writeln!(out, "run        {}", summary.command)?;
    writeln!(
        out,
        "calls      {} started · {} completed · {} failed{kinds}",
        calls.started, calls.completed, calls.failed
    )?;
    writeln!(
        out,
        "           {:.1} calls/s, {:.1} s, at most {} at once",
        calls.per_second, summary.seconds, calls.peak
    )?;
    if !summary.latency_ms.is_empty() {
        let heads = ["p50", "p90", "p99", "p99.9", "max"];
        write!(out, "{:<17}", "")?;
        heads.iter().try_for_each(|head| write!(out, "{head:>10}"))?;
        writeln!(out)?;
    }
    for metric in Metric::ALL {
        if let Some(latency) = summary.latency_ms.get(metric.name()) {
            write_latency(out, metric.name(), latency, metric.meaning())?;
        }
    }
    write_audio(out, summary)?;
    if let Some(target) = &summary.target {
        writeln!(
            out,
            "target     {:.2} CPU-s: {:.2} cores, {:.2} CPU-s for 1,000 calls; memory {}, at most {}",
            target.cpu_seconds,
            target.cores,
            target.cpu_seconds_per_1000_calls,
            memory(target.rss_kib_after),
            memory(target.rss_kib_peak)
        )?;
    }
    if let Some(held) = &summary.held {
        let each = held.rss_kib_per_call.map_or("unknown".to_owned(), |kib| format!("{kib:.1} KiB"));
        writeln!(
            out,
            "held       {} calls for {:.0} s, up after {:.1} s: {each} of memory for each, {:.2} cores in all",
            held.calls,
            held.seconds,
            held.ramp_seconds,
            held.cores.unwrap_or_default()
        )?;
    }
    let generator = &summary.generator;
    if let (Some(cpu), Some(cores)) = (generator.cpu_seconds, generator.cores) {
        let lag = generator.lag_ms.map_or(String::new(), |lag| {
            format!(
                "; late by {} (p50), {} (p99), {} (max)",
                millis(lag.p50),
                millis(lag.p99),
                millis(lag.max)
            )
        });
        writeln!(out, "generator  {cpu:.2} CPU-s: {cores:.2} cores{lag}")?;
    }
    for judged in &summary.thresholds {
        let mark = if judged.is_met { '✓' } else { '✗' };
        let seen = judged.seen.as_deref().unwrap_or("nothing was seen of it");
        writeln!(out, "{mark} {} ({seen})", judged.threshold)?;
    }
    for warning in &generator.warnings {
        writeln!(out, "! {warning}: these figures tell of the generator, not of the gateway")?;
    }
    Ok(())
}

fn write_latency(out: &mut String, name: &str, latency: &Latency, meaning: &str) -> std::fmt::Result {
    write!(out, "{name:<17}")?;
    for value in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max] {
        write!(out, "{:>10}", millis(value))?;
    }
    writeln!(out, "   {meaning}")
}

fn write_audio(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let Some(audio) = &summary.audio else { return Ok(()) };
    for way in &audio.ways {
        writeln!(
            out,
            "{:<11}{} frames sent, {} lost, {} disordered, {} later than 20 ms",
            way.metric, way.sent, way.lost, way.disordered, way.late
        )?;
    }
    writeln!(
        out,
        "each call  {:.3} % of a core, {:.1} KiB",
        audio.core_percent_per_call.unwrap_or_default(),
        audio.rss_kib_per_call.unwrap_or_default()
    )
}

/// For a program.
pub(super) fn json(summary: &Summary) -> String {
    let mut text = serde_json::to_string_pretty(summary).unwrap_or_default();
    text.push('\n');
    text
}

/// For a spreadsheet: a figure a line, with the names that thresholds have.
pub(super) fn csv(summary: &Summary) -> String {
    let mut lines = vec!["figure,value,unit".to_owned()];
    let mut add = |figure: String, value: f64, unit: &str| lines.push(format!("{figure},{value},{unit}"));
    let calls = &summary.calls;
    for (figure, count) in
        [("started", calls.started), ("completed", calls.completed), ("failed_calls", calls.failed)]
    {
        add(figure.to_owned(), count as f64, "calls");
    }
    add("failed".to_owned(), calls.failed_percent, "%");
    add("rate".to_owned(), calls.per_second, "1/s");
    add("peak".to_owned(), f64::from(calls.peak), "calls");
    add("took".to_owned(), summary.seconds, "s");
    for (kind, count) in &summary.failures {
        add(format!("failed_{kind}"), *count as f64, "calls");
    }
    let lag = summary.generator.lag_ms.map(|lag| ("lag", lag));
    for (name, latency) in summary.latency_ms.iter().map(|(name, latency)| (*name, *latency)).chain(lag) {
        add(format!("{name}_count"), latency.count as f64, "");
        for (statistic, value) in [
            ("mean", latency.mean),
            ("p50", latency.p50),
            ("p90", latency.p90),
            ("p95", latency.p95),
            ("p99", latency.p99),
            ("p999", latency.p999),
            ("max", latency.max),
        ] {
            add(format!("{name}_{statistic}"), value, "ms");
        }
    }
    if let Some(target) = &summary.target {
        add("target_cpu".to_owned(), target.cpu_seconds, "s");
        add("target_cpu_per_1000_calls".to_owned(), target.cpu_seconds_per_1000_calls, "s");
        add("target_rss_peak".to_owned(), target.rss_kib_peak as f64, "KiB");
    }
    if let Some(kib) = summary.held.as_ref().and_then(|held| held.rss_kib_per_call) {
        add("held_rss_per_call".to_owned(), kib, "KiB");
    }
    for way in summary.audio.iter().flat_map(|audio| &audio.ways) {
        for (figure, count) in
            [("sent", way.sent), ("lost", way.lost), ("disordered", way.disordered), ("late", way.late)]
        {
            add(format!("{}_{figure}", way.metric), count as f64, "frames");
        }
    }
    if let Some(cpu) = summary.generator.cpu_seconds {
        add("generator_cpu".to_owned(), cpu, "s");
    }
    add("generator_is_limit".to_owned(), f64::from(u8::from(summary.generator.is_limit)), "");
    lines.join("\n") + "\n"
}
