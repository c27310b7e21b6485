"""Rate and body size limits of an app, as data and as VCL.

Counted where a request arrives, before it waits in a pause, and before the cache is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from gitship.front.templates import page

BY_ADDRESS, BY_APP = "ip", "all"
MOST_REQUESTS = 1_000_000
MOST_PER_S = 86_400
MOST_BYTES = 1 << 49
# A body that comes without its length is counted by keeping it in memory; more than this is not kept, and all that
# Varnish can do then is hang up.
COUNTED_BYTES = 1 << 20
MODULE_CHECK = "vcl 4.1;\nimport vsthrottle;\nbackend default none;\n"

_TOO_MANY, _TOO_LARGE = 1429, 1413
_MOST = 10**15 - 1  # the largest number that VCL takes; what is no number is as large


@dataclass(frozen=True, slots=True)
class Rate:
    """``requests`` in ``per_s`` seconds, of each address (``BY_ADDRESS``) or of all together (``BY_APP``)."""

    requests: int
    per_s: int
    by: str = BY_ADDRESS

    def __post_init__(self) -> None:
        if not (1 <= self.requests <= MOST_REQUESTS and 1 <= self.per_s <= MOST_PER_S):
            raise ValueError(f"not a rate: {self.requests} in {self.per_s} s")
        if self.by not in (BY_ADDRESS, BY_APP):
            raise ValueError(f"not counted so: {self.by!r}")


@dataclass(frozen=True, slots=True)
class VisitorLimits:
    """None: no limit."""

    rate: Rate | None = None
    body_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.body_bytes is not None and not 0 <= self.body_bytes < MOST_BYTES:
            raise ValueError(f"not a size: {self.body_bytes}")


UNLIMITED = VisitorLimits()


def declarations(limits: VisitorLimits, app: str, passes: str) -> str:
    """What counts and measures each request but gitship's own: those for which ``passes`` is true."""
    if limits == UNLIMITED:
        return ""
    checks = [*_rate(limits.rate, app), *_body(limits.body_bytes)]
    lines = ["import vsthrottle;", ""] if limits.rate else []
    lines += ["sub vcl_recv {", f"    if (req.restarts == 0 && !({passes})) {{", *checks, "    }", "}", ""]
    lines += ["sub vcl_synth {"]
    if limits.rate:
        lines += _answer(_TOO_MANY, page("too-many", app=app), f'set resp.http.retry-after = "{limits.rate.per_s}";')
    if limits.body_bytes is not None:
        # "close": else Varnish reads the rest of the body first.
        lines += _answer(_TOO_LARGE, page("too-large", app=app), 'set resp.http.connection = "close";')
    return "\n".join([*lines, "}"])


def _rate(rate: Rate | None, app: str) -> list[str]:
    if rate is None:
        return []
    key = f'"{app} " + client.ip' if rate.by == BY_ADDRESS else f'"{app}"'
    return [
        f"        if (vsthrottle.is_denied({key}, {rate.requests}, {rate.per_s}s)) {{",
        f"            return (synth({_TOO_MANY}));",
        "        }",
    ]


def _body(most: int | None) -> list[str]:
    if most is None:
        return []
    return [
        "        if (req.http.content-length) {",
        f"            if (std.integer(req.http.content-length, {_MOST}) > {most}) {{",
        f"                return (synth({_TOO_LARGE}));",
        "            }",
        f"        }} elsif (!std.cache_req_body({min(most, COUNTED_BYTES)}B)) {{",
        f"            return (synth({_TOO_LARGE}));",
        "        }",
    ]


def _answer(status: int, text: str, more: str) -> list[str]:
    return [
        f"    if (resp.status == {status}) {{",
        "        unset resp.http.x-varnish;",
        f"        set resp.status = {status - 1000};",
        '        set resp.http.content-type = "text/html; charset=utf-8";',
        '        set resp.http.cache-control = "no-store";',
        f"        {more}",
        f"        synthetic({text});",
        "        return (deliver);",
        "    }",
    ]
