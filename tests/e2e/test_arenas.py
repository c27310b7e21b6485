"""gitship's memory is not spread over an arena of malloc for every thread there ever was."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitship.process import ARENAS
from tests.e2e.harness import Server

pytestmark = pytest.mark.e2e

HEAP_BYTES = 64 << 20  # where each of an arena's heaps begins, and what it may grow to
MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ 0 *$", re.M)


def heaps(pid: int) -> int:
    """Of arenas beside the first one, which has the program's own heap; the rest of its 64 MB is what each may take."""
    found = {
        (int(a, 16), int(b, 16)): rights for a, b, rights in MAPPING.findall(Path(f"/proc/{pid}/maps").read_text())
    }
    ends = {begin: end for (begin, end), rights in found.items() if rights == "---p"}
    return sum(
        rights == "rw-p" and begin % HEAP_BYTES == 0 and ends.get(end) == begin + HEAP_BYTES
        for (begin, end), rights in found.items()
    )


def test_many_threads_share_few(server: Server) -> None:
    assert server.process is not None
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: server.ssh("apps:list"), range(16)))
    assert [one.returncode for one in done] == [0] * 16
    assert heaps(server.process.pid) <= ARENAS - 1
