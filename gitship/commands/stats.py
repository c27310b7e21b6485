"""stats: an app's traffic, cache hits, errors and response times."""

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
    Parameter(name="--since", help="how far back; beyond 1h in full hours"),
]
DETAILS = (
    "Counted from Varnish's log for all host names, without gitship's own checks. Times run from the request's "
    "arrival to the first byte of the response, to within 26 %. Websockets count when they end. If gitship is "
    "killed, at most a minute is lost, plus the time until it is back."
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
    Column("requests", "number of requests"),
    Column("requests_per_s", "average over the period"),
    Column("hit_ratio", "share of the app's requests answered from the cache, null if none", _percent),
    Column("error_ratio", "share of 5xx responses, null without requests", _percent),
    Column("p50_ms", "median response time, null if none", _milliseconds),
    Column("p95_ms", "95th percentile", _milliseconds),
    Column("p99_ms", "99th percentile", _milliseconds),
    Column("sent_bytes", "bytes sent to visitors, headers and bodies", size),
)


@command(
    "stats:list",
    Role.VIEWER,
    "show the traffic of all apps: requests, cache hits, errors, response times",
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
    "show the traffic of one app in detail",
    one=True,
    columns=(
        *FIGURES,
        Column("hits", "answered from the cache"),
        Column("stale", "answered with an expired page while the app was asked or failed"),
        Column("misses", "answered by the app, cacheable"),
        Column("passes", "answered by the app, not cacheable"),
        Column("pipes", "websockets that have ended"),
        Column("own", "answered by gitship: redirects, sign-in, maintenance, not running"),
        Column("failed", "no container answered"),
        Column("app_errors", "5xx responses of the app"),
        Column("front_errors", "5xx responses of gitship: failed, maintenance, stopped"),
        Column("history", "the same figures per minute or hour, without idle ones", json_only=True),
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
