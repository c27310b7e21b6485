"""Traffic charts of an app: requests, errors and response times. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gitship.model.traffic import Span, Traffic, together
from gitship.web import humanize

HIGH = 100  # units of a drawing, which is stretched to its place; a step is one unit wide
SHORTEST_S = 60.0  # of a step that is not over, for its rate to mean anything
LABEL_SHARE = 4.0  # percent of the width between two labels of marks


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a plot goes, ``steps`` of ``step_s``; with ``running`` the last step is not over."""

    name: str
    about: str
    step_s: int
    steps: int
    running: bool

    @property
    def seconds(self) -> int:
        return self.step_s * self.steps

    @property
    def asked_s(self) -> int:
        """Of what is kept: an hour by the minute, else also the step in which it begins."""
        return 3600 if self is HOUR else self.seconds + self.step_s

    def begin(self, now: float) -> float:
        return now // self.step_s * self.step_s - (self.steps - self.running) * self.step_s


HOUR = Reach("hour", "hour", 60, 59, running=False)  # minutes that are whole: others would look like a fall
DAY = Reach("day", "day", 3600, 24, running=True)
MONTH = Reach("month", "30 days", 4 * 3600, 180, running=True)
Layer = tuple[str, str, str]
REACHES = {reach.name: reach for reach in (HOUR, DAY, MONTH)}


@dataclass(frozen=True, slots=True)
class ChartStep:
    """``seconds`` is how much of it is over."""

    start: float
    seconds: float
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True, slots=True)
class Mark:
    """A release that went live, ``x`` percent from the left; ``label`` is "" where it would lie on another."""

    x: float
    name: str
    label: str
    at: float
    deploy_id: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing. ``layers`` are class, name and path; ``told`` is said of each step, ``alt`` of the whole."""

    title: str
    most: str
    layers: tuple[Layer, ...]
    told: tuple[str, ...]
    alt: str


@dataclass(frozen=True, slots=True)
class Plot:
    """``wide`` is how many steps there are until now; ``ticks`` say what time it is at each quarter of it.

    ``whole`` is the traffic of all steps together.
    """

    reach: Reach
    wide: float
    panels: tuple[Panel, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[str, ...]
    whole: Traffic


def plot(reach: Reach, found: list[ChartStep], live: Sequence[tuple[float, str, int]], now: float) -> Plot:
    """Of ``steps``; ``live`` says when a release went live, its name and the deploy's id, in any order."""
    begin = found[0].start
    seconds = min(reach.seconds, now - begin)
    return Plot(
        reach=reach,
        wide=round(seconds / reach.step_s, 3),
        panels=(_requests(reach, found), _errors(reach, found), _times(reach, found)),
        marks=_marks(live, begin, seconds),
        ticks=tuple(_clock(reach, begin + n * seconds / 4) for n in range(4)),
        whole=together(step.traffic for step in found),
    )


def steps(reach: Reach, spans: Iterable[Span], now: float) -> list[ChartStep]:
    """All steps of the reach, also those without visitors, oldest first."""
    begin = reach.begin(now)
    starts = [begin + n * reach.step_s for n in range(reach.steps)]
    found = [ChartStep(start, max(SHORTEST_S, min(reach.step_s, now - start))) for start in starts]
    for span in spans:
        if 0 <= (number := int((span.start - begin) // reach.step_s)) < reach.steps:
            found[number].traffic.add(span.traffic)
    return found


def _requests(reach: Reach, found: list[ChartStep]) -> Panel:
    rates = [s.traffic.requests / s.seconds for s in found]
    top = max(rates)
    cached = [(s.traffic.hits + s.traffic.stale) / s.seconds for s in found]
    stale = [s.traffic.stale / s.seconds for s in found]

    def told(step: ChartStep) -> str:
        ratio = step.traffic.hit_ratio
        more = "" if ratio is None else f", {100 * ratio:.0f} % from the cache"
        old = f", {step.traffic.stale} of them expired" if step.traffic.stale else ""
        sent = f", {humanize.size(step.traffic.sent_bytes)} sent" if step.traffic.sent_bytes else ""
        return f"{humanize.rate(step.traffic.requests / step.seconds)}{more}{old}{sent}"

    layers = [("all", "by the app", area(rates, top)), ("cached", "from the cache", area(cached, top))]
    if any(stale):
        layers.append(("stale", "old, from the cache", area(stale, top)))
    return _panel(reach, "Requests", humanize.rate(top) if top else "", layers, found, told)


def _errors(reach: Reach, found: list[ChartStep]) -> Panel:
    rates = [s.traffic.errors / s.seconds for s in found]
    top = max(rates)

    def told(step: ChartStep) -> str:
        return f"{step.traffic.errors} answers with 5xx, {100 * (step.traffic.error_ratio or 0):.1f} %"

    return _panel(
        reach, "5xx answers", humanize.rate(top) if top else "", [("errors", "", area(rates, top))], found, told
    )


def _times(reach: Reach, found: list[ChartStep]) -> Panel:
    p50 = [s.traffic.percentile(0.5) for s in found]
    p95 = [s.traffic.percentile(0.95) for s in found]
    top = max((v for v in p95 if v is not None), default=0.0)

    def told(step: ChartStep) -> str:
        return humanize.times(step.traffic) or "no requests"

    layers = [("p50", "half of them", line(p50, top)), ("p95", "95 of 100", line(p95, top))]
    return _panel(reach, "Time to first byte", humanize.quick(top) if top else "", layers, found, told)


def _panel(
    reach: Reach,
    title: str,
    most: str,
    layers: list[tuple[str, str, str]],
    found: list[ChartStep],
    told: Callable[[ChartStep], str],
) -> Panel:
    return Panel(
        title=title,
        most=most,
        layers=tuple(layers),
        told=tuple(f"{_clock(reach, step.start)}: {told(step)}" for step in found),
        alt=f"over the last {reach.about}; at the end {told(found[-1])}",
    )


def _marks(live: Sequence[tuple[float, str, int]], begin: float, seconds: float) -> tuple[Mark, ...]:
    marks: list[Mark] = []
    labelled = -LABEL_SHARE
    for at, name, deploy_id in sorted(live):
        if at < begin:
            continue
        x = min(100.0, round(100 * (at - begin) / seconds, 2))  # the minute that is not over is drawn at the edge
        room = x - labelled >= LABEL_SHARE
        labelled = x if room else labelled
        marks.append(Mark(x, name, name if room else "", at, deploy_id))
    return tuple(marks)


def area(values: Sequence[float], top: float) -> str:
    """The path of a filled area of steps; "" when there is nothing to see."""
    if not any(values):
        return ""
    path, before = f"M0 {HIGH}", HIGH
    for x, y in enumerate(_heights(values, top)):
        if y is not None and y != before:
            path, before = f"{path}H{x}V{y}", y
    return f"{path}H{len(values)}V{HIGH}Z"


def line(values: Sequence[float | None], top: float) -> str:
    """The path of a line of steps, with gaps where there is no value."""
    path, before = "", None
    for x, y in enumerate(_heights(values, top)):
        if y is not None:
            path += f"M{x} {y}H{x + 1}" if before is None else f"V{y}H{x + 1}"
        before = y
    return path


def _heights(values: Sequence[float | None], top: float) -> list[int | None]:
    return [None if v is None else math.floor(HIGH - HIGH * v / top) if top else HIGH for v in values]


def _clock(reach: Reach, at: float) -> str:
    """Time of day, or the day of a month's plot; UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%-d %b %H:%M" if reach is MONTH else "%H:%M")
