"""Counts 1xx responses of apps, which Varnish cannot pass on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 10.0
_COUNTER = "MAIN.fetch_1xx"
_VCL = re.compile(rb"VCL_use +app_([a-z0-9_-]+)_v[0-9]+_[0-9]+\b")


@dataclass(frozen=True, slots=True)
class EarlyResponses:
    """``count`` since Varnish started; ``slugs`` are the apps that Varnish's log still knows of."""

    count: int
    slugs: tuple[str, ...] = ()


def interim_answers(workdir: Path) -> EarlyResponses:
    """Asks the Varnish in ``workdir`` (10 ms, and 0.3 s to look through its log); none when it can't be asked."""
    try:
        found = _run("varnishstat", "-n", str(workdir), "-t", "1", "-1", "-j", "-f", _COUNTER)
        count = int(json.loads(found)["counters"][_COUNTER]["value"])
        if not count:
            return EarlyResponses(0)
        log = _run("varnishlog", "-n", str(workdir), "-t", "1", "-d", "-g", "vxid", "-q", "BerespStatus < 200")
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return EarlyResponses(0)
    return EarlyResponses(count, tuple(sorted({slug.decode() for slug in _VCL.findall(log)})))


def _run(name: str, *words: str) -> bytes:
    program = shutil.which(name)
    if program is None:
        raise FileNotFoundError(name)
    return subprocess.run(
        [program, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=True
    ).stdout
