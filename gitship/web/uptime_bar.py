"""Uptime bar of an app: 90 days. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gitship.model import UptimeDay
from gitship.model.uptime import DAY_S, share
from gitship.store.uptime import KEPT_DAYS
from gitship.web import humanize

LONG_S = 3600.0  # a day with more of it down is a bad one
NOTHING = "unknown"


@dataclass(frozen=True, slots=True)
class BadDay:
    """``x`` is its place in the drawing, which is KEPT_DAYS wide; ``look`` is partly or down."""

    x: int
    look: str
    told: str


@dataclass(frozen=True, slots=True)
class Bar:
    """``share`` None: nothing is known. ``runs`` are SVG paths of days that look alike, by their look."""

    share: float | None
    runs: Mapping[str, str]
    bad: tuple[BadDay, ...]

    @property
    def told(self) -> str:
        return "not known yet" if self.share is None else humanize.percent(self.share)

    @property
    def alt(self) -> str:
        worst = "; ".join(day.told for day in self.bad[-10:])
        return f"Up in {KEPT_DAYS} days: {self.told}{'; ' if worst else ''}{worst}"


def bar(days: Iterable[UptimeDay], today: int) -> Bar:
    """Of one app; ``today`` is the last day that is drawn."""
    found = {d.day: d for d in days if today - KEPT_DAYS < d.day <= today}
    runs: dict[str, str] = {}
    bad: list[BadDay] = []
    before, begin = "", 0
    first = today - KEPT_DAYS + 1
    for x in range(KEPT_DAYS + 1):
        look = _look(found.get(first + x)) if x < KEPT_DAYS else ""
        if look != before:
            if before in ("up", "off", NOTHING):
                runs[before] = f"{runs.get(before, '')}M{begin} 5h{x - begin}"
            before, begin = look, x
        if look in ("partly", "down"):
            bad.append(BadDay(x, look, _told(found[first + x])))
    return Bar(share(list(found.values())), runs, tuple(bad))


def _look(day: UptimeDay | None) -> str:
    if day is None or not (day.up_s or day.down_s or day.off_s):
        return NOTHING
    if day.down_s:
        return "down" if day.down_s > LONG_S or not day.up_s else "partly"
    return "up" if day.up_s else "off"


def _told(day: UptimeDay) -> str:
    date = datetime.fromtimestamp(day.day * DAY_S, UTC).strftime("%-d %b")
    return f"{date}: down for {humanize.duration(day.down_s)}"
