"""stats: what visitors ask of apps, and how fast and how well that is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.listing import NOTHING, Format, iso, moment, show, show_one, size
from gitship.model import Role
from gitship.model.traffic import Traffic

SPANS = {"1m": 60, "10m": 600, "1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
POINT_S = 60  # in the history of an hour

Since = Annotated[
    Literal["1m", "10m", "1h", "24h", "7d", "30d"],
    Parameter(name="--since", help="how far back; beyond an hour it is counted by full hours"),
]
DETAILS = (
    "Requests to an app are counted from Varnish's own log, whatever host name they came by; gitship's own checks are "
    "not. Times are from a request's arrival to the first byte of its answer, to within 26 %. Websockets are counted "
    "when they end. A kill of gitship loses a minute at most, and the seconds until it is back."
)


def in_words(found: dict[str, Any]) -> str:
    """What ``figures`` has made, in a line."""
    words = [f"{found['requests_per_s']:g} requests/s", f"{_percent(found['hit_ratio'])} from the cache"]
    words.append(f"{_percent(found['error_ratio'])} with 5xx")
    words += [f"p{share} {_milliseconds(found[f'p{share}_ms'])}" for share in (50, 95, 99)]
    return ", ".join([*words, f"{size(found['sent_bytes'])} sent"]) if found["requests"] else "no visitors"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f} %"


def _milliseconds(milliseconds: float | None) -> str:
    if milliseconds is None:
        return NOTHING
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


FIGURES = (
    Column("requests", "how many there were"),
    Column("requests_per_s", "on average over the time asked for"),
    Column("hit_ratio", "share that the cache answered of what is for the app, null for none", _percent),
    Column("error_ratio", "share of answers with a status from 500 on, null without requests", _percent),
    Column("p50_ms", "half of the answers began within this time, null without any", _milliseconds),
    Column("p95_ms", "19 of 20 answers began within this time", _milliseconds),
    Column("p99_ms", "99 of 100 answers began within this time", _milliseconds),
    Column("sent_bytes", "headers and bodies, to visitors", size),
)


@command(
    "stats:list",
    Role.VIEWER,
    "traffic of all apps: requests, cache hits, errors, times",
    columns=(Column("app", "the app's name"), *FIGURES),
    examples=("stats:list", "stats:list --since 24h --format json"),
    details=DETAILS,
)
def list_stats(*, context: Ctx, since: Since = "1h", format: Format = "table") -> None:
    traffic = context.operations.stats.all_traffic(SPANS[since])
    rows = [{"app": app.name, **figures(traffic.get(app.id, Traffic()), SPANS[since])} for app in context.apps()]
    show(context, rows, format, empty="no apps yet")


@command(
    "stats:show",
    Role.VIEWER,
    "traffic of one app in detail",
    one=True,
    columns=(
        *FIGURES,
        Column("hits", "answered from the cache"),
        Column("stale", "answered from the cache though too old, while the app was asked or failed"),
        Column("misses", "answered by the app, for the cache"),
        Column("passes", "answered by the app, not for the cache"),
        Column("pipes", "websockets that have ended"),
        Column("own", "answered by gitship alone: redirects, sign-in, maintenance, a page that says nothing runs"),
        Column("failed", "no container answered"),
        Column("app_errors", "answers of the app with a status from 500 on"),
        Column("front_errors", "answers of gitship with such a status: what failed, maintenance, stopped"),
        Column("history", "the same figures by the minute, or the hour; idle ones are left out", json_only=True),
    ),
    examples=("stats:show shop", "stats:show shop --since 30d --format json"),
    aliases=("stats",),
    details=DETAILS,
)
def show_stats(app: AppName, /, *, context: Ctx, since: Since = "1h", format: Format = "table") -> None:
    found = context.app(app)
    spans = context.operations.stats.history(found, SPANS[since])
    whole = Traffic()
    points: dict[float, tuple[float, Traffic]] = {}
    for span in spans:
        whole.add(span.traffic)
        length = max(span.seconds, POINT_S)
        points.setdefault(span.start // length * length, (length, Traffic()))[1].add(span.traffic)
    history = [
        {"at": iso(at), "seconds": length, **figures(traffic, length), **_counts(traffic)}
        for start, (length, traffic) in points.items()
        if (at := moment(start))
    ]
    show_one(context, {**figures(whole, SPANS[since]), **_counts(whole), "history": history}, format)


def figures(traffic: Traffic, seconds: float) -> dict[str, Any]:
    """FIGURES of the traffic of that many seconds."""

    def milliseconds(share: float) -> float | None:
        found = traffic.percentile(share)
        return None if found is None else round(1000 * found, 3)

    return {
        "requests": traffic.requests,
        "requests_per_s": round(traffic.requests / seconds, 3),
        "hit_ratio": _rounded(traffic.hit_ratio),
        "error_ratio": _rounded(traffic.error_ratio),
        "p50_ms": milliseconds(0.5),
        "p95_ms": milliseconds(0.95),
        "p99_ms": milliseconds(0.99),
        "sent_bytes": traffic.sent_bytes,
    }


def _counts(traffic: Traffic) -> dict[str, int]:
    names = ("hits", "stale", "misses", "passes", "pipes", "own", "failed", "app_errors", "front_errors")
    return {name: getattr(traffic, name) for name in names}


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 5)
