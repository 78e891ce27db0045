//! What calls cost, summed up by day, route and model.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::record::{CallRecord, Usage};

/// What calls are summed up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// The day on which they began (UTC).
    pub day: bool,
    /// The route that took them.
    pub route: bool,
    /// The model that answered.
    pub model: bool,
}

/// What the calls of one row have in common; none where it is not summed up by that, or a call has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Key {
    /// The day, `2026-11-18`.
    pub day: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The model.
    pub model: Option<String>,
}

/// What the calls of one row cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Spent {
    /// How many there were.
    pub calls: u64,
    /// How long they were together, in minutes.
    pub minutes: f64,
    /// What those cost whose models have a price.
    pub cost_usd: f64,
    /// Calls that used a model without one.
    pub unpriced_calls: u64,
    /// What they used.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Rows in the order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Spending(BTreeMap<Key, Spent>);

impl Spending {
    /// Counts a call in.
    pub fn add(&mut self, by: By, call: &CallRecord) {
        let model = call.provider.as_ref().and_then(|provider| provider.model.clone());
        let key = Key {
            day: by.day.then(|| call.id.began().to_string().chars().take(10).collect()),
            route: call.route.clone().filter(|_| by.route),
            model: model.filter(|_| by.model),
        };
        let row = self.0.entry(key).or_default();
        row.calls += 1;
        let lasted = call.stages.ended.zip(call.stages.began()).map(|(ended, began)| ended.since(began));
        row.minutes += lasted.map_or(0.0, |lasted| lasted.as_secs_f64() / 60.0);
        row.cost_usd += call.cost_usd.unwrap_or(0.0);
        row.unpriced_calls += u64::from(call.cost_usd.is_none() && call.usage != Usage::default());
        row.usage += &call.usage;
    }

    /// The rows.
    pub fn rows(self) -> impl Iterator<Item = (Key, Spent)> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::record::Path;
    use crate::call::{Beginning, Call};
    use crate::clock::Timestamp;
    use crate::ids::CallId;

    fn call(day: u64, route: &str, cost_usd: Option<f64>, text_in: u64) -> CallRecord {
        let began = Timestamp::from_secs(1_795_000_000 + day * 86_400);
        let mut call = Call::begin(Beginning {
            id: CallId::new(began, [0; 10]),
            path: Path::Sip,
            caller: None,
            callee: None,
            route: Some(route.to_owned()),
            carrier: None,
            carrier_asked: Some(began),
            vars: BTreeMap::new(),
            other_path: None,
            avoided: None,
        });
        call.record.stages.ended = Some(began + std::time::Duration::from_secs(90));
        (call.record.cost_usd, call.record.usage.text_in) = (cost_usd, text_in);
        call.record
    }

    #[test]
    fn calls_are_summed_up_by_what_is_asked_for() {
        let calls = [
            call(0, "shop", Some(0.5), 10),
            call(0, "desk", Some(0.25), 5),
            call(1, "shop", None, 7),
            call(1, "shop", None, 0),
        ];
        let rows = |by| {
            let mut spending = Spending::default();
            calls.iter().for_each(|call| spending.add(by, call));
            spending.rows().collect::<Vec<_>>()
        };
        let by_day = rows(By { day: true, ..By::default() });
        let days: Vec<_> = by_day.iter().map(|(key, _)| key.day.as_deref().unwrap_or_default()).collect();
        assert_eq!(days, ["2026-11-18", "2026-11-19"]);
        assert_eq!((by_day[0].1.calls, by_day[0].1.cost_usd, by_day[0].1.usage.text_in), (2, 0.75, 15));
        assert_eq!((by_day[1].1.unpriced_calls, by_day[1].1.minutes), (1, 3.0), "nothing used costs nothing");
        let by_both = rows(By { day: true, route: true, model: true });
        assert_eq!(by_both.len(), 3);
        assert!(by_both.iter().all(|(key, _)| key.route.is_some() && key.model.is_none()));
        assert_eq!(rows(By::default())[0].1.calls, 4);
    }
}
