//! Whether both sides of a bridged call are heard: a line that is dead one way sounds like a patient caller.

use std::time::Duration;

use tokio::time::Instant;

/// When both sides should have been heard, from when the way between them is open.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Who was heard so far, and when to say who was not.
#[derive(Default)]
pub(super) struct Check {
    until: Option<Instant>,
    pub caller: bool,
    pub assistant: bool,
}

impl Check {
    /// From `now` on either side can be heard.
    pub fn begin(&mut self, now: Instant) {
        self.until = Some(now + HEARD_WITHIN);
    }

    /// When the time is up.
    pub fn wake_at(&self) -> Option<Instant> {
        self.until
    }

    /// Claims that the time is up; once.
    pub fn is_up(&mut self, now: Instant) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_up_after_ten_seconds_and_not_before() {
        let began = Instant::now();
        let mut check = Check::default();
        assert!(!check.is_up(began + Duration::from_secs(3_600)), "the way is not open");
        check.begin(began);
        let ten_seconds = began + Duration::from_secs(10);
        assert_eq!(check.wake_at(), Some(ten_seconds));
        assert!(!check.is_up(ten_seconds - Duration::from_nanos(1)));
        assert!(check.is_up(ten_seconds));
        assert!(!check.is_up(ten_seconds) && check.wake_at().is_none(), "told once");
    }
}
