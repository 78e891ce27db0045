//! How the gateway is set up, drawn anew for each day.

use std::time::Duration;

use super::chance::Chance;

/// What stands in the configuration of a day.
#[derive(Clone, Debug, Default)]
pub(super) struct House {
    /// The carrier's copy of a recording is deleted once ours is on disk.
    pub delete_at_carrier: bool,
    /// Recordings of calls that began longer ago are deleted; none: they are kept.
    pub recordings_kept: Option<Duration>,
}

impl House {
    pub fn of_day(chance: &mut Chance) -> House {
        House {
            delete_at_carrier: chance.permille(700),
            recordings_kept: chance.permille(500).then(|| Duration::from_secs(chance.between(1, 6) * 3_600)),
        }
    }
}
