"""Generates the VCL of a canary: sends a share of visitors to a second VCL, by a cookie.

Each side has a VCL of its own, whole and unmixed: its own containers, cache keys and rules. A visitor's first answer
has a cookie with the side's name; visitors without one are led by chance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

COOKIE = "gitship_canary"
CANARY_PREFIX = "C_"  # of the label that leads to the canary's VCL; the app's own label leads to the other side

_MARK = re.compile(r"[0-9]{1,12}")
_VMOD_DIRECTORIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


@dataclass(frozen=True, slots=True)
class CanaryShare:
    """``percent`` of the visitors that are on no side yet get the canary; ``mark`` is what no other canary has."""

    mark: str
    percent: float

    def __post_init__(self) -> None:
        if not _MARK.fullmatch(self.mark) or not 0 < self.percent < 100:
            raise ValueError(f"not a canary's share: {self}")

    @property
    def canary(self) -> str:
        """The cookie's value for visitors who have the new release."""
        return f"{self.mark}-new"

    @property
    def rest(self) -> str:
        """The cookie's value for all others."""
        return f"{self.mark}-old"


@dataclass(frozen=True, slots=True)
class CanarySide:
    """Which side a VCL is: its visitors get ``cookie`` as the cookie's value, which lasts for ``seconds``.

    ``other_key`` is the cache key of the other side, whose pages what is sent to this one throws out, too.
    """

    cookie: str
    seconds: int
    other_key: str

    def __post_init__(self) -> None:
        cookie = re.fullmatch(rf"{_MARK.pattern}-(new|old)", self.cookie)
        if not cookie or self.seconds <= 0 or not re.fullmatch(r"[A-Za-z0-9_.:/+-]{1,200}", self.other_key):
            raise ValueError(f"not a canary's side: {self}")


def canary_label(slug: str) -> str:
    return f"{CANARY_PREFIX}{slug}"


def leading(slug: str, share: CanaryShare) -> list[str]:
    """The sub of the table of hosts that a host of the app calls before it leads to the app's own label."""
    return [
        f"sub {_sub(slug)} {{",
        f'    if (req.http.cookie ~ "{_has(share.canary)}"',
        f'        || (req.http.cookie !~ "{_has(share.rest)}" && std.random(0, 100) < {share.percent:.3f})) {{',
        f"        return (vcl({canary_label(slug)}));",
        "    }",
        "}",
    ]


def call(slug: str) -> str:
    return f"call {_sub(slug)}; "


def telling(side: CanarySide | None, *, beside_others: bool) -> str:
    """What the VCL of a side has beside the app's usual one.

    Without ``beside_others`` (the VMOD header) an answer that sets a cookie already cannot set another one: such a
    visitor is told with the next answer.
    """
    if side is None:
        return ""
    cookie = f"{COOKIE}={side.cookie}; Path=/; Max-Age={side.seconds}; HttpOnly; SameSite=Lax"
    tell = [
        f'        header.append(resp.http.set-cookie, "{cookie}");',
    ]
    if not beside_others:
        tell = [
            "        if (!resp.http.set-cookie) {",
            f'            set resp.http.set-cookie = "{cookie}";',
            "        }",
        ]
    return "\n".join(
        [
            "# One side of a canary: a visitor who is not known to be on it is told so.",
            "sub vcl_recv {",
            "    if (req.restarts == 0) {",
            "        unset req.http.x-gitship-tell;",
            f'        if (req.http.cookie !~ "{_has(side.cookie)}") {{',
            '            set req.http.x-gitship-tell = "side";',
            "        }",
            "    }",
            "}",
            "",
            "sub vcl_backend_fetch {",
            "    unset bereq.http.x-gitship-tell;",
            "}",
            "",
            "sub vcl_pipe {",
            "    unset bereq.http.x-gitship-tell;",
            "}",
            "",
            "sub vcl_deliver {",
            "    if (req.http.x-gitship-tell && !req.http.x-gitship-verify) {",
            *tell,
            "    }",
            "}",
            "",
        ]
    )


def vmod_header_is_there() -> bool:
    """Whether varnishd can load the VMOD header (of varnish-modules)."""
    return any(
        next(Path(directory).glob(pattern), None) is not None
        for directory in _VMOD_DIRECTORIES
        for pattern in ("varnish/vmods/libvmod_header.so", "*/varnish/vmods/libvmod_header.so")
    )


def _sub(slug: str) -> str:
    return f"canary_{slug}"


def _has(value: str) -> str:
    return f"(^|; *){COOKIE}={value}(;|$)"
