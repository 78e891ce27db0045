//! `GET /api/v1/cost`: what calls cost, by day, route and model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calls::moment;
use super::{Answered, Ask, Problem};
use crate::call::spending::{By, Key, Spending, Spent};
use crate::http::answer;
use crate::store::{CallQuery, PAGE_MAX};

/// How many calls are summed up at most: some seconds of reading. The newest count.
const CALLS_MAX: usize = 50_000;

/// What calls cost.
#[derive(Serialize, JsonSchema)]
pub(super) struct Cost {
    rows: Vec<Row>,
    /// The day of the oldest price that the gateway goes by.
    priced_as_of: Option<String>,
    /// There were more calls than are summed up: ask for a shorter time.
    is_cut: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    key: Key,
    #[serde(flatten)]
    spent: Spent,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Question {
    since: Option<String>,
    until: Option<String>,
    by: Option<String>,
}

/// `GET /api/v1/cost`.
pub(super) async fn show(ask: Ask) -> Answered {
    let Question { since, until, by } = ask.params()?;
    let by = by_of(by.as_deref().unwrap_or("day"))?;
    let query =
        CallQuery { since: moment("since", since)?, until: moment("until", until)?, ..CallQuery::default() };
    let (mut spending, mut count, mut after) = (Spending::default(), 0, None);
    let is_cut = loop {
        let page = ask.doors.control.store().calls(query.clone(), after, PAGE_MAX).await?;
        count += page.items.len();
        page.items.iter().for_each(|call| spending.add(by, call));
        after = page.next;
        if after.is_none() || count >= CALLS_MAX {
            break after.is_some();
        }
    };
    let rows = spending.rows().map(|(key, spent)| Row { key, spent }).collect();
    let priced_as_of = ask.doors.settings.priced_as_of.clone();
    Ok(answer::json(&Cost { rows, priced_as_of, is_cut }))
}

fn by_of(text: &str) -> Result<By, Problem> {
    let mut by = By::default();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part {
            "day" => by.day = true,
            "route" => by.route = true,
            "model" => by.model = true,
            _ => return Err(Problem::bad("`by` has `day`, `route` and `model`, with commas between them")),
        }
    }
    Ok(by)
}
