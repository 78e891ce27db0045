//! Simulated time against the clock on the wall.

use std::time::Duration;

/// How many simulated seconds pass in a real one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace(f64);

impl Pace {
    /// `speed` outside of what can be waited for is taken to the nearest bound.
    pub fn new(speed: f64) -> Pace {
        Pace(if speed.is_nan() { 1.0 } else { speed.clamp(0.01, 10_000.0) })
    }

    /// How long to wait for `simulated` to pass.
    pub fn real(self, simulated: Duration) -> Duration {
        simulated.div_f64(self.0)
    }

    /// What has passed in the simulation while `real` passed.
    pub fn simulated(self, real: Duration) -> Duration {
        real.mul_f64(self.0)
    }
}
