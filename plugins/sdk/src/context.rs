//! What a plugin knows of the call, with what one asks of it most.

use std::time::Duration;

use crate::{Context, clock};

impl Context {
    /// The variable of this name: the session's, the route's, or one that was set during the call.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// How long this may still run; zero when the time is over.
    pub fn time_left(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.saturating_sub(clock::now_ms()))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Context, Direction, clock};

    fn context() -> Context {
        Context {
            call_id: "call_1".to_owned(),
            direction: Direction::Inbound,
            caller: None,
            callee: None,
            language: None,
            route: None,
            session: None,
            deadline_ms: 0,
            variables: vec![("tier".to_owned(), "gold".to_owned())],
        }
    }

    #[test]
    fn variables_are_found_by_name() {
        assert_eq!(context().variable("tier"), Some("gold"));
        assert_eq!(context().variable("shop"), None);
    }

    #[test]
    fn a_deadline_that_is_over_leaves_nothing() {
        assert!(context().time_left().is_zero());
        let later = Context { deadline_ms: clock::now_ms() + 60_000, ..context() };
        assert!(later.time_left().as_secs() > 50);
    }
}
