//! `switchboard calls replay`: a call that is over, played through the rules of this version once more and compared.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::anyhow;

use super::source::Source;
use super::view::{printable, short};
use super::{Failure, print};
use crate::call::replay::{Compared, Replay, replay};
use crate::config::Config;
use crate::gateway::prices;
use crate::ids::CallId;

pub(super) async fn run(config: &Config, id: CallId) -> Result<(), Failure> {
    let source = Source::open(config).await?;
    let detail = source.detail(id).await?.ok_or_else(|| anyhow!("no call `{id}`"))?;
    let replayed = replay(&detail, Arc::new(prices(&config.prices)));
    let replayed = replayed.map_err(|why| anyhow!("{id} cannot be replayed: {why}"))?;
    print(&told(&replayed, detail.call.cost_usd))?;
    if replayed.compared.iter().all(Compared::is_same) { Ok(()) } else { Err(Failure::Said) }
}

fn told(replay: &Replay, cost_kept: Option<f64>) -> String {
    let mut text = format!("{} events, made of what is kept, went through the rules again\n", replay.events);
    for compared in &replay.compared {
        let mark = if compared.is_same() { "✓" } else { "✗" };
        let _ = writeln!(text, "  {mark} {}", compared.what);
        if !compared.is_same() {
            difference(&mut text, compared);
        }
    }
    let cost = |cost: Option<f64>| cost.map_or("unknown".to_owned(), |cost| format!("${cost:.6}"));
    let _ = writeln!(
        text,
        "  · cost: {} as kept, {} at the prices of now",
        cost(cost_kept),
        cost(replay.cost_usd)
    );
    for left_out in &replay.left_out {
        let _ = writeln!(text, "  · not compared: {}", printable(left_out));
    }
    text
}

/// The first line in which they differ.
fn difference(text: &mut String, compared: &Compared) {
    let (mut kept, mut replayed) = (compared.kept.lines(), compared.replayed.lines());
    loop {
        match (kept.next(), replayed.next()) {
            (None, None) => return,
            (one, other) if one == other => {}
            (one, other) => {
                let shown = |line: Option<&str>| line.map_or("nothing".to_owned(), short);
                let _ = writeln!(text, "      kept      {}\n      replayed  {}", shown(one), shown(other));
                return;
            }
        }
    }
}
