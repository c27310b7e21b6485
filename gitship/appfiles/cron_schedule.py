"""Cron schedules: five fields as in crontab(5), or a name such as @daily, in a time zone. Pure.

The calendar is CronSim's, which does as Debian's cron does. What names its hours runs once on the day that the clocks
change: an hour that is skipped is made up for when it is over, one that comes twice counts once. What runs in every
hour (a `*` in the minute or hour field) goes by the time that passes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from gitship.schema import zone

MOST_CHARS = 200
WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31",
    "month": "1 to 12 or jan to dec",
    "day-of-week": "0 to 7 or sun to sat",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {name: str(n) for first, names in ((1, _MONTHS), (0, _DAYS)) for n, name in enumerate(names, start=first)}
_RANGE_WITH_STEP = re.compile(r"(\w+)-(\w+)/[0-9]*[1-9][0-9]*\b")
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def parse(text: str) -> str:
    """The schedule with single blanks. Raises ValueError, which says what is wrong in which field."""
    text = " ".join(text.split())
    fields = _fields(text)
    try:
        next(CronSim(fields, _SOME_DAY))
    except (CronSimError, ValueError) as error:
        raise ValueError(_wrong(fields.split(), str(error))) from None
    except StopIteration:
        raise ValueError("names a day that does not exist") from None
    return text


def following(text: str, zone_name: str, after: float) -> float | None:
    """When it is due next, later than ``after`` (epoch seconds); None when that is never."""
    local = datetime.fromtimestamp(after, UTC).astimezone(zone(zone_name))
    for due in CronSim(_fields(text), local):
        # from within an hour that comes twice, CronSim begins with its first time round
        if due.timestamp() > after:
            return due.timestamp()
    return None


def latest(text: str, zone_name: str, after: float, until: float) -> float | None:
    """When it was due last within (``after``, ``until``], however often that was."""
    found = None
    due = following(text, zone_name, after)
    while due is not None and due <= until:
        found, due = due, following(text, zone_name, due)
    return found


def _fields(text: str) -> str:
    if len(text) > MOST_CHARS:
        raise ValueError(f"is longer than {MOST_CHARS} characters")
    if text.startswith("@"):
        if text.lower() not in WORDS:
            raise ValueError(f"must be one of {', '.join(WORDS)}, or five fields")
        return WORDS[text.lower()]
    fields = text.split()
    if len(fields) != len(FIELDS):
        found = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        raise ValueError(f"must have five fields ({', '.join(FIELDS)}), not {found}")
    return _RANGE_WITH_STEP.sub(_unless_it_is_one, text)


def _unless_it_is_one(match: re.Match[str]) -> str:
    """``5`` for ``5-5/2``, which CronSim takes for ``5/2``: from 5 to the end."""
    begin, end = (_NAMES.get(word.lower(), word).lstrip("0") for word in match.groups())
    return match[1] if begin == end else match[0]


def _wrong(fields: list[str], error: str) -> str:
    """CronSim says "Bad hour"."""
    names = list(FIELDS)
    name = error.removeprefix("Bad ")
    if name not in FIELDS:
        return "cannot be read"
    field = fields[names.index(name)]
    if name == "day-of-month" and fields[3] != "*" and _wrong_in_every_month(field) is None:
        return "names a day that does not exist"
    return f"has an invalid {name} '{field[:40]}': {FIELDS[name]}, with `,` `-` `/` and `*`"


def _wrong_in_every_month(day: str) -> str | None:
    try:
        CronSim(f"0 0 {day} * *", _SOME_DAY)
    except (CronSimError, ValueError) as error:
        return str(error)
    return None
