"""Generates the VCL of a pause: new requests wait in Varnish for a limited time.

Varnish makes requests wait for a page that it is fetching already. So gitship itself asks for such a page, is also who
gets the question, and hangs up when the pause is over. A waiting request costs a connection, but no thread; its body,
of any size, is not touched, and goes to the app once. Every way out is open: when gitship is killed, Varnish loses the
connection to it and lets everybody go, and after the limit it does so by itself.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from gitship.front.templates import fill, template

MOST_S = 30.0  # of a pause
CONNECT_S = 2
REMEMBERED_S = 120  # that it is over; longer than any pause

_TICKET = re.compile(r"[0-9a-f]{16,64}")
SOCKET_PATH = re.compile(r"/[\x20\x21\x23-\x7e]{1,106}")  # 108 bytes with the end, by unix(7)


@dataclass(frozen=True, slots=True)
class Pause:
    """``until`` is epoch seconds; gitship listens on ``path`` and shows Varnish the ``ticket``."""

    path: Path
    ticket: str
    until: float

    def __post_init__(self) -> None:
        if not _TICKET.fullmatch(self.ticket) or not SOCKET_PATH.fullmatch(str(self.path)):
            raise ValueError(f"cannot be put into VCL: {self.ticket!r}, {str(self.path)!r}")

    @property
    def left_s(self) -> float:
        return min(max(0.0, self.until - time.time()), REMEMBERED_S)  # a clock set back must not make it longer


def declarations(pause: Pause | None, token: str) -> str:
    """What makes requests wait, but for those with the verify ``token``."""
    if pause is None:
        return ""
    text = fill(
        template("pause.vcl"),
        socket=str(pause.path),
        ticket=pause.ticket,
        until=f"{pause.until:.3f}",
        token=token,
        connect_s=str(CONNECT_S),
        remembered_s=str(REMEMBERED_S),
    )
    return text.rstrip("\n")
