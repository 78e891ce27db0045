"""Opening hours: the week, its exceptions, and the zone it is lived in."""

from datetime import date, datetime, time, timedelta, timezone

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Further ahead nobody asks, and a business that is closed for good is not searched for ever.
DAYS_AHEAD = 60


class BadConfig(Exception):
    """What the operator wrote makes no sense; the words say where."""


class Zone:
    """An offset from UTC and, where the year has one, summer time.

    The sandbox has no database of time zones; the two rules that most of the world follows are known.
    """

    def __init__(self, offset: str, summer_time: str | None):
        try:
            sign = {"+": 1, "-": -1}[offset[0]]
            hour, minute = offset[1:].split(":")
            self.offset = sign * timedelta(hours=int(hour), minutes=int(minute))
        except (IndexError, KeyError, ValueError) as error:
            raise BadConfig(f"`utc_offset` is `{offset}`; write it as \"+09:00\"") from error
        if summer_time not in (None, "eu", "us"):
            raise BadConfig(f"`summer_time` is `{summer_time}`; there are \"eu\" and \"us\"")
        self.summer_time = summer_time

    def local(self, unix_ms: int) -> datetime:
        """The time on the wall."""
        utc = datetime.fromtimestamp(unix_ms / 1000, timezone.utc).replace(tzinfo=None)
        return utc + self.offset + (timedelta(hours=1) if self._is_summer(utc) else timedelta())

    def _is_summer(self, utc: datetime) -> bool:
        if self.summer_time == "eu":
            # From the last Sunday of March to that of October, at one o'clock UTC everywhere.
            one = timedelta(hours=1)
            return _sunday(utc.year, 4, 0) + one <= utc < _sunday(utc.year, 11, 0) + one
        if self.summer_time == "us":
            # From the second Sunday of March to the first of November, at two o'clock on the wall.
            begin = _sunday(utc.year, 3, 2) + timedelta(hours=2) - self.offset
            end = _sunday(utc.year, 11, 1) + timedelta(hours=1) - self.offset
            return begin <= utc < end
        return False


def _sunday(year: int, month: int, count: int) -> datetime:
    """The so-many-th Sunday of a month; the 0th is the last one before it."""
    first = datetime(year, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (count - 1))


class Week:
    """When a business is open: `hours` by weekday, `holidays` by date."""

    def __init__(self, hours: dict, holidays: list, zone: Zone):
        if unknown := set(hours) - set(DAYS):
            raise BadConfig(f"`hours` has `{sorted(unknown)[0]}`; days are {', '.join(DAYS)}")
        self.zone = zone
        self.days = [_spans(hours.get(day, []), f"hours.{day}") for day in DAYS]
        self.holidays = {}
        for holiday in holidays:
            try:
                day = date.fromisoformat(holiday["date"])
            except (KeyError, ValueError) as error:
                raise BadConfig("`holidays`: each needs a `date`, as \"2026-12-31\"") from error
            spans = _spans(holiday.get("hours", []), f"holidays {day}")
            self.holidays[day] = (holiday.get("name"), spans)

    def on(self, day: date) -> dict:
        """A whole day."""
        answer = {"date": day.isoformat(), "weekday": DAYS[day.weekday()], "hours": _told(self._of(day))}
        name, _ = self.holidays.get(day, (None, None))
        if name:
            answer["holiday"] = name
        if not answer["hours"]:
            answer["opens_next"] = self._next(datetime.combine(day, time.min))
        return answer

    def at(self, moment: datetime) -> dict:
        """One moment of a day."""
        minute = moment.hour * 60 + moment.minute
        span = next((span for span in self._of(moment.date()) if span[0] <= minute < span[1]), None)
        answer = {"at": moment.isoformat(timespec="minutes"), "open": span is not None} | self.on(moment.date())
        if span:
            answer["closes"] = _clock(span[1])
        else:
            answer["opens_next"] = self._next(moment)
        return answer

    def _of(self, day: date) -> list:
        return self.holidays[day][1] if day in self.holidays else self.days[day.weekday()]

    def _next(self, moment: datetime) -> str | None:
        for ahead in range(DAYS_AHEAD):
            day = moment.date() + timedelta(days=ahead)
            for begin, _ in self._of(day):
                opens = datetime.combine(day, time(begin // 60, begin % 60))
                if opens >= moment:
                    return opens.isoformat(timespec="minutes")
        return None


def _spans(texts: list, place: str) -> list:
    """Spans of a day in minutes, in order."""
    spans = []
    for text in texts:
        try:
            begin, end = (_minutes(part) for part in text.split("-"))
        except (AttributeError, ValueError) as error:
            raise BadConfig(f"`{place}`: `{text}` is no span; write it as \"09:00-17:30\"") from error
        if begin >= end:
            raise BadConfig(f"`{place}`: `{text}` ends before it begins; past midnight belongs to the next day")
        spans.append((begin, end))
    return sorted(spans)


def _minutes(text: str) -> int:
    hour, minute = (int(part) for part in text.strip().split(":"))
    if not (0 <= minute < 60 and 0 <= hour * 60 + minute <= 24 * 60):
        raise ValueError(text)
    return hour * 60 + minute


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _told(spans: list) -> list:
    return [f"{_clock(begin)}-{_clock(end)}" for begin, end in spans]
