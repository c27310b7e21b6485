"""Generates Varnish's health probes of containers."""

from __future__ import annotations

import re
from dataclasses import dataclass

INTERVAL_S = 2
MOST_TIMEOUT_S = 2  # an app's own check may take 5 s, and a container that hangs would be there for 15 s
# Of so many answers so many must be right: one lost answer does no harm, two take a container out.
WINDOW = 3
THRESHOLD = 2

_LINE = re.compile(r"[\x20\x21\x23-\x7e]{1,1000}")  # printable, no quote
_PATH = re.compile(r"/[\x21\x23-\x7e]{0,1000}")


@dataclass(frozen=True, slots=True)
class Probe:
    """GET ``path`` with these ``headers`` (lines as they are sent) must be answered with 200 within ``timeout_s``."""

    path: str
    headers: tuple[str, ...] = ()
    timeout_s: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError for anything that could end a VCL string."""
        if not _PATH.fullmatch(self.path) or not all(_LINE.fullmatch(h) for h in self.headers):
            raise ValueError(f"cannot be put into VCL: {self!r}")


def probe_text(probe: Probe) -> str:
    """The VCL of the probe ``ready``."""
    lines = (f"GET {probe.path} HTTP/1.1", *probe.headers, "User-Agent: gitship-probe", "Connection: close")
    request = "\n".join(f'        "{line}"' for line in lines)
    # .initial = threshold: with the default (one less) a new VCL answered 503 for the first second (measured).
    return f"""\
probe ready {{
    .request =
{request};
    .interval = {INTERVAL_S}s;
    .timeout = {min(max(probe.timeout_s, 0.1), MOST_TIMEOUT_S):g}s;
    .window = {WINDOW};
    .threshold = {THRESHOLD};
    .initial = {THRESHOLD};
}}"""
