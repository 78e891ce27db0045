//! When what the caller says is the model's turn: not during a protected greeting, and not while a tool
//! runs that is not to be spoken over.
//!
//! During the greeting turn detection is off, as it was accepted. While a tool runs it stays on, but
//! starts no turn and stops none: what the caller says is still heard and written down, and the turn
//! that follows the tool's answer knows of it. Off, it would be lost.

use serde_json::value::RawValue;

use super::terms::TurnDetection;

/// How the provider notices that it is the model's turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// It does not.
    Off,
    /// It does, and nothing follows from it.
    Deferring,
    /// As the session says.
    #[default]
    Usual,
}

/// What the provider was told about turn detection, as far as it is known.
#[derive(Debug, Default)]
pub struct Listening {
    set: Mode,
    /// How many changes the provider has not confirmed.
    unconfirmed: u8,
    /// It may not have what was set last: the sideband was lost meanwhile.
    is_doubtful: bool,
}

impl Listening {
    /// What is accepted with the call.
    pub fn begun(terms: Option<&TurnDetection>) -> Listening {
        let is_off = terms.is_some_and(|terms| terms.is_off_at_first);
        Listening { set: if is_off { Mode::Off } else { Mode::Usual }, ..Listening::default() }
    }

    /// An earlier process may have told the provider anything.
    pub fn unknown() -> Listening {
        Listening { is_doubtful: true, ..Listening::default() }
    }

    /// Claims that turn detection waits for the greeting's end.
    pub fn is_off(&self) -> bool {
        self.set == Mode::Off
    }

    /// The provider confirmed a change.
    pub fn confirmed(&mut self) {
        self.unconfirmed = self.unconfirmed.saturating_sub(1);
    }

    /// The sideband is back: a change that was not confirmed may never have arrived.
    pub fn found_again(&mut self) {
        self.is_doubtful = std::mem::take(&mut self.unconfirmed) > 0;
    }

    /// The greeting is over: turn detection is turned on in whatever way is right now.
    pub fn greeting_over(&mut self, terms: &TurnDetection, defers: bool) -> Option<Box<RawValue>> {
        if self.is_off() { self.change(terms, defers) } else { None }
    }

    /// What to tell the provider so that turns are deferred or not; none when it knows.
    pub fn adjust(&mut self, terms: &TurnDetection, defers: bool) -> Option<Box<RawValue>> {
        if self.is_off() { None } else { self.change(terms, defers) }
    }

    fn change(&mut self, terms: &TurnDetection, defers: bool) -> Option<Box<RawValue>> {
        let wanted = if defers { Mode::Deferring } else { Mode::Usual };
        let is_doubtful = std::mem::take(&mut self.is_doubtful);
        if self.set == wanted && !is_doubtful {
            return None;
        }
        self.set = wanted;
        self.unconfirmed = self.unconfirmed.saturating_add(1);
        Some(if defers { terms.deferring.clone() } else { terms.usual.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(is_off_at_first: bool) -> TurnDetection {
        let json = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        TurnDetection { usual: json("1"), deferring: json("0"), is_off_at_first }
    }

    fn told(change: Option<Box<RawValue>>) -> Option<String> {
        change.map(|json| json.get().to_owned())
    }

    #[test]
    fn turns_are_deferred_and_taken_again_once_each() {
        let (mut listening, terms) = (Listening::begun(None), terms(false));
        assert_eq!(told(listening.adjust(&terms, false)), None);
        assert_eq!(told(listening.adjust(&terms, true)).as_deref(), Some("0"));
        assert_eq!(told(listening.adjust(&terms, true)), None);
        assert_eq!(told(listening.adjust(&terms, false)).as_deref(), Some("1"));
    }

    #[test]
    fn a_protected_greeting_is_over_once() {
        let terms = terms(true);
        let mut listening = Listening::begun(Some(&terms));
        assert_eq!(told(listening.adjust(&terms, true)), None, "still off");
        assert_eq!(told(listening.greeting_over(&terms, true)).as_deref(), Some("0"), "a tool runs");
        assert_eq!(told(listening.greeting_over(&terms, false)), None);
        assert_eq!(told(listening.adjust(&terms, false)).as_deref(), Some("1"));
    }

    #[test]
    fn what_was_not_confirmed_is_told_again_after_a_loss() {
        let (mut listening, terms) = (Listening::begun(None), terms(false));
        listening.adjust(&terms, true);
        listening.adjust(&terms, false);
        listening.confirmed();
        listening.found_again();
        assert_eq!(told(listening.adjust(&terms, false)).as_deref(), Some("1"));
        listening.confirmed();
        listening.found_again();
        assert_eq!(told(listening.adjust(&terms, false)), None);
    }
}
