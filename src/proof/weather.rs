//! How bad a day is: how often what goes wrong, in parts of a thousand where nothing else is said.

use super::chance::Chance;

/// The faults of one day.
#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    pub name: &'static str,
    /// Vendors, disk and clock are as they should be; only the gateway dies.
    pub is_fair: bool,
    /// Of a million deeds, so many are the process' last.
    pub crash: u32,
    /// How often a day the gateway is asked to stop, and started again.
    pub drains: u32,
    /// How often a day it makes place for the next program.
    pub handovers: u32,
    pub webhook_lost: u32,
    pub webhook_doubled: u32,
    pub webhook_late: u32,
    pub callback_lost: u32,
    pub callback_doubled: u32,
    pub callback_late: u32,
    /// The gateway answered a request, and nobody got the answer.
    pub answer_lost: u32,
    pub accept_refused: u32,
    pub accept_slow: u32,
    pub attach_refused: u32,
    pub not_confirmed: u32,
    /// Of the things that a session says, so many are followed by the loss of its socket.
    pub flap: u32,
    pub provider_drops: u32,
    pub hang_up_lost: u32,
    pub refer_refused: u32,
    pub refer_ignored: u32,
    pub strange_event: u32,
    pub turn_fails: u32,
    pub tool_fails: u32,
    pub tool_slow: u32,
    pub tool_hangs: u32,
    pub invite_fails: u32,
    /// The carrier's REST API is away.
    pub rest_fails: u32,
    pub sound_late: u32,
    pub sound_never: u32,
    pub sound_breaks: u32,
    pub disk_rots: u32,
    pub disk_slow: u32,
    /// How often a day the disk is full for some minutes.
    pub disk_full: u32,
    /// How often a day a write fails: the store is poisoned, and somebody kills the process some time later.
    pub disk_fails: u32,
    /// How often a day the gateway's clock jumps, forth or back.
    pub clock_jumps: u32,
    /// How far the provider's clock is off, in seconds, either way.
    pub skew_s: u32,
}

impl Weather {
    /// One of the days that there are.
    pub fn of_day(chance: &mut Chance) -> Weather {
        match chance.below(10) {
            0..=2 => Weather::fair(),
            3..=6 => Weather::rain(),
            7..=8 => Weather::storm(),
            _ => Weather { name: "storm with jumping clocks", clock_jumps: 12, ..Weather::storm() },
        }
    }

    fn fair() -> Weather {
        Weather {
            name: "fair, but for crashes",
            is_fair: true,
            crash: 700,
            drains: 3,
            handovers: 6,
            ..Weather::default()
        }
    }

    fn rain() -> Weather {
        Weather {
            name: "rain",
            crash: 400,
            drains: 2,
            handovers: 3,
            webhook_lost: 20,
            webhook_doubled: 80,
            webhook_late: 40,
            callback_lost: 50,
            callback_doubled: 100,
            callback_late: 200,
            answer_lost: 10,
            accept_refused: 10,
            accept_slow: 20,
            attach_refused: 30,
            not_confirmed: 5,
            flap: 3,
            provider_drops: 10,
            hang_up_lost: 20,
            refer_refused: 100,
            refer_ignored: 100,
            strange_event: 10,
            turn_fails: 20,
            tool_fails: 30,
            tool_slow: 100,
            tool_hangs: 10,
            invite_fails: 20,
            rest_fails: 30,
            sound_late: 30,
            sound_never: 10,
            sound_breaks: 30,
            disk_rots: 10,
            disk_slow: 5,
            skew_s: 2,
            ..Weather::default()
        }
    }

    fn storm() -> Weather {
        Weather {
            name: "storm",
            crash: 1_500,
            drains: 5,
            handovers: 6,
            webhook_lost: 150,
            webhook_doubled: 300,
            webhook_late: 200,
            callback_lost: 250,
            callback_doubled: 300,
            callback_late: 400,
            answer_lost: 80,
            accept_refused: 100,
            accept_slow: 100,
            attach_refused: 200,
            not_confirmed: 50,
            flap: 20,
            provider_drops: 50,
            hang_up_lost: 150,
            refer_refused: 300,
            refer_ignored: 300,
            strange_event: 50,
            turn_fails: 80,
            tool_fails: 100,
            tool_slow: 250,
            tool_hangs: 60,
            invite_fails: 80,
            rest_fails: 150,
            sound_late: 100,
            sound_never: 30,
            sound_breaks: 100,
            disk_rots: 30,
            disk_slow: 40,
            disk_full: 2,
            disk_fails: 2,
            skew_s: 20,
            ..Weather::default()
        }
    }
}
