//! How many of the callers go over SIP: all, none, or a share of them that always holds the same ones.

use std::fmt;
use std::str::FromStr;

use super::drawn_percent;

/// Keeps the draw of this feature apart from those of routes with `percent`.
const FEATURE: &str = "openai_sip";

/// The share of callers that a feature is on for, in percent.
///
/// Who belongs to it follows from the caller's number alone, see [`Rollout::takes`]: as long as the share
/// only grows, whoever was in stays in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollout(f64);

/// A text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write true, false, or a share such as \"25%\"")]
pub struct BadRollout;

impl Rollout {
    /// Everybody.
    pub const ALL: Rollout = Rollout(100.0);
    /// Nobody.
    pub const NONE: Rollout = Rollout(0.0);

    /// Claims that it is on for nobody.
    pub fn is_none(self) -> bool {
        self.0 <= 0.0
    }

    /// Claims that it is on for this caller: for whoever is drawn below the share. The number is drawn by
    /// SHA-256 over `openai_sip`, a zero byte and the caller, so that it is the same on every machine, after
    /// every restart and on every route. A caller who withholds the number is drawn anew with every call:
    /// give the call's own id then.
    pub fn takes(self, caller: &str) -> bool {
        drawn_percent(FEATURE, caller) < self.0
    }
}

impl From<bool> for Rollout {
    fn from(is_on: bool) -> Rollout {
        if is_on { Rollout::ALL } else { Rollout::NONE }
    }
}

impl FromStr for Rollout {
    type Err = BadRollout;

    fn from_str(text: &str) -> Result<Rollout, BadRollout> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Rollout::ALL),
            "false" | "0" | "no" | "off" => Ok(Rollout::NONE),
            share => {
                let number = share.strip_suffix('%').ok_or(BadRollout)?.trim();
                let percent: f64 = number.parse().map_err(|_| BadRollout)?;
                (0.0..=100.0).contains(&percent).then_some(Rollout(percent)).ok_or(BadRollout)
            }
        }
    }
}

impl fmt::Display for Rollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            percent if percent >= 100.0 => f.write_str("true"),
            percent if percent <= 0.0 => f.write_str("false"),
            percent => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(text: &str) -> Rollout {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn a_share_is_written_in_few_ways() {
        for (text, shown) in [
            ("true", "true"),
            ("OFF", "false"),
            ("25%", "25%"),
            (" 2.5 % ", "2.5%"),
            ("100%", "true"),
            ("0%", "false"),
        ] {
            assert_eq!(share(text).to_string(), shown, "{text}");
        }
        for text in ["", "25", "%", "-1%", "101%", "NaN%", "half", "0x10%"] {
            assert_eq!(text.parse::<Rollout>(), Err(BadRollout), "{text}");
        }
    }

    #[test]
    fn a_share_that_grows_keeps_whom_it_had() {
        let callers: Vec<String> = (0..2_000).map(|n| format!("+8190{n:08}")).collect();
        let taken = |share: Rollout| callers.iter().filter(|caller| share.takes(caller)).collect::<Vec<_>>();
        let mut before = Vec::new();
        for percent in [0, 1, 10, 25, 50, 99, 100] {
            let now = taken(share(&format!("{percent}%")));
            assert!(before.iter().all(|caller| now.contains(caller)), "{percent} % lost somebody");
            let expected = 20 * percent;
            assert!(now.len().abs_diff(expected) < 100, "{percent} % are {} of 2000", now.len());
            before = now;
        }
        assert_eq!((taken(Rollout::NONE).len(), taken(Rollout::ALL).len()), (0, 2_000));
    }

    #[test]
    fn the_draw_never_changes() {
        // Written down: another draw would move callers from one path to the other with an update.
        for (caller, percent) in [("+819012345678", 60.732), ("+818099990000", 39.687)] {
            let drawn = drawn_percent(FEATURE, caller);
            assert!((drawn - percent).abs() < 0.001, "{caller}: {drawn}");
        }
    }
}
