//! Opening hours: days of the week and a span of the day, in a time zone.

use std::fmt;

use jiff::Zoned;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

/// Opening hours. A span that ends before it begins goes over midnight and belongs to the day on
/// which it began: `fri`, `22:00-04:00` holds early on Saturday.
#[derive(Clone, Debug)]
pub struct Hours {
    /// The days of the week.
    pub days: Days,
    /// The part of the day; none for all of it.
    pub span: Option<Span>,
    /// Whether the condition holds outside these hours instead of within them.
    pub outside: bool,
    /// Where the days and times are read.
    pub zone: TimeZone,
}

impl Hours {
    /// Claims that `now` is within these hours, or outside of them where that is asked.
    pub fn hold(&self, now: Timestamp) -> bool {
        self.contain(&local_time(now, &self.zone)) != self.outside
    }

    fn contain(&self, local: &Zoned) -> bool {
        let today = local.weekday();
        let Some(span) = self.span else { return self.days.contain(today) };
        let minute = minute_of(local);
        if span.from < span.until {
            return self.days.contain(today) && (span.from..span.until).contains(&minute);
        }
        let began_today = self.days.contain(today) && minute >= span.from;
        let began_yesterday = self.days.contain(today.previous()) && minute < span.until;
        began_today || began_yesterday
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outside {
            f.write_str("outside ")?;
        }
        write!(f, "{}", self.days)?;
        if let Some(Span { from, until }) = self.span {
            write!(f, " {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)?;
        }
        write!(f, " {}", self.zone.iana_name().unwrap_or("local time"))
    }
}

/// The moment as people in `zone` read it on their clocks.
pub fn local_time(now: Timestamp, zone: &TimeZone) -> Zoned {
    let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    moment.to_zoned(zone.clone())
}

fn minute_of(local: &Zoned) -> u16 {
    u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default()
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u8);

/// A part of the day, in minutes after midnight; it includes `from` and excludes `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    from: u16,
    until: u16,
}

/// Why a text is not a set of days or a span of the day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHours {
    /// There is no such day.
    #[error("`{0}` is not a day: write `mon` `tue` `wed` `thu` `fri` `sat` `sun`, as in `mon-fri,sun`")]
    Day(String),
    /// Not two times with a dash between them.
    #[error("`{0}` is not a span: write it like `09:00-18:00`")]
    Span(String),
    /// Not a time of day.
    #[error("`{0}` is not a time of day: write `00:00` to `24:00`")]
    Time(String),
    /// A span from a time to the same time.
    #[error("the span is empty: it ends when it begins")]
    Empty,
}

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl fmt::Display for Days {
    /// As it may be written: `mon-fri,sun`; `every day` for all of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Days::ALL {
            return f.write_str("every day");
        }
        let has = |day: usize| self.0 & (1 << day) != 0;
        let firsts = (0..DAY_NAMES.len()).filter(|day| has(*day) && (*day == 0 || !has(day - 1)));
        let parts = firsts.map(|first| {
            let last = (first..DAY_NAMES.len()).take_while(|day| has(*day)).last().unwrap_or(first);
            match first == last {
                true => DAY_NAMES[first].to_owned(),
                false => format!("{}-{}", DAY_NAMES[first], DAY_NAMES[last]),
            }
        });
        f.write_str(&parts.collect::<Vec<_>>().join(","))
    }
}

impl Days {
    /// Every day.
    pub const ALL: Days = Days(0b0111_1111);

    /// Reads `mon-fri`, `sat,sun`, `fri-mon` (over the weekend).
    ///
    /// # Errors
    ///
    /// [`BadHours::Day`] with the first word that is not a day.
    pub fn parse(text: &str) -> Result<Days, BadHours> {
        let mut days = Days(0);
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day_number(first)?, day_number(last)?);
            let length = (last + 7 - first) % 7;
            for day in first..=first + length {
                days.0 |= 1 << (day % 7);
            }
        }
        Ok(days)
    }

    fn contain(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }
}

fn day_number(word: &str) -> Result<usize, BadHours> {
    let word = word.trim();
    let position = DAY_NAMES.iter().position(|name| name.eq_ignore_ascii_case(word));
    position.ok_or_else(|| BadHours::Day(word.to_owned()))
}

impl Span {
    /// Reads `09:00-18:00`; `22:00-06:00` goes over midnight, `09:00-24:00` ends with the day.
    ///
    /// # Errors
    ///
    /// The other kinds of [`BadHours`].
    pub fn parse(text: &str) -> Result<Span, BadHours> {
        let (from, until) = text.split_once('-').ok_or_else(|| BadHours::Span(text.to_owned()))?;
        let span = Span { from: minutes(from)?, until: minutes(until)? };
        if span.from == span.until { Err(BadHours::Empty) } else { Ok(span) }
    }
}

fn minutes(text: &str) -> Result<u16, BadHours> {
    let refuse = || BadHours::Time(text.trim().to_owned());
    let (hour, minute) = text.trim().split_once(':').ok_or_else(refuse)?;
    let number = |digits: &str| -> Result<u16, BadHours> {
        let is_plain = matches!(digits.len(), 1 | 2) && digits.bytes().all(|c| c.is_ascii_digit());
        if is_plain { digits.parse().map_err(|_| refuse()) } else { Err(refuse()) }
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let total = hour * 60 + minute;
    if minute < 60 && total <= 24 * 60 { Ok(total) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(days: &str, span: &str, outside: bool, at: &str) -> bool {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        let span = (!span.is_empty()).then(|| Span::parse(span).unwrap());
        let hours = Hours { days: Days::parse(days).unwrap(), span, outside, zone };
        let moment: jiff::Timestamp = format!("{at}:00+09:00").parse().unwrap();
        hours.hold(Timestamp::from_secs(u64::try_from(moment.as_second()).unwrap()))
    }

    #[test]
    fn hours_are_read_in_their_zone() {
        // 24 November 2026 is a Tuesday.
        assert!(hold("mon-fri", "09:00-18:00", false, "2026-11-24T09:00"));
        assert!(hold("mon-fri", "09:00-18:00", false, "2026-11-24T17:59"));
        assert!(!hold("mon-fri", "09:00-18:00", false, "2026-11-24T18:00"));
        assert!(!hold("mon-fri", "09:00-18:00", false, "2026-11-28T12:00"));
        assert!(hold("sat,sun", "", false, "2026-11-28T12:00"));
        assert!(hold("fri-mon", "", false, "2026-11-30T12:00"));
        assert!(!hold("fri-mon", "", false, "2026-11-24T12:00"));
        assert!(hold("tue", "09:00-24:00", false, "2026-11-24T23:59"));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        assert!(hold("fri", "22:00-04:00", false, "2026-11-27T23:00"));
        assert!(hold("fri", "22:00-04:00", false, "2026-11-28T03:59"));
        assert!(!hold("fri", "22:00-04:00", false, "2026-11-28T04:00"));
        assert!(!hold("fri", "22:00-04:00", false, "2026-11-27T03:00"));
    }

    #[test]
    fn outside_is_the_opposite_on_every_day() {
        assert!(!hold("tue-sun", "10:00-23:00", true, "2026-11-24T12:00"));
        assert!(hold("tue-sun", "10:00-23:00", true, "2026-11-24T23:30"));
        assert!(hold("tue-sun", "10:00-23:00", true, "2026-11-30T12:00"));
    }

    #[test]
    fn what_is_not_hours_is_refused() {
        assert_eq!(Days::parse("mon-fry"), Err(BadHours::Day("fry".to_owned())));
        assert_eq!(Days::parse(""), Err(BadHours::Day(String::new())));
        assert_eq!(Span::parse("9-18"), Err(BadHours::Time("9".to_owned())));
        assert_eq!(Span::parse("09:00"), Err(BadHours::Span("09:00".to_owned())));
        assert_eq!(Span::parse("09:00-24:01"), Err(BadHours::Time("24:01".to_owned())));
        assert_eq!(Span::parse("09:60-10:00"), Err(BadHours::Time("09:60".to_owned())));
        assert_eq!(Span::parse("10:00-10:00"), Err(BadHours::Empty));
    }

    #[test]
    fn the_far_future_is_only_far() {
        local_time(Timestamp::from_micros(u64::MAX), &TimeZone::UTC);
    }
}
