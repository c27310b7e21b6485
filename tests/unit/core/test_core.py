"""Parts start in order and stop in reverse, whatever one of them says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gitship.core import started
from gitship.errors import GitshipError


@dataclass
class Recorded:
    name: str
    said: list[str]
    fails: str = ""

    def start(self) -> None:
        self._do("start")

    def stop(self) -> None:
        self._do("stop")

    def _do(self, what: str) -> None:
        self.said.append(f"{what} {self.name}")
        if self.fails == what:
            raise GitshipError(f"{self.name} does not {what}")


def test_parts_start_in_order_and_stop_in_reverse() -> None:
    said: list[str] = []
    running = started([Recorded("store", said), Recorded("ssh", said)])
    assert said == ["start store", "start ssh"]
    running.close()
    assert said[2:] == ["stop ssh", "stop store"]


def test_a_start_that_fails_stops_what_was_started_and_raises() -> None:
    """The one that failed, too: it may have started by half. None after it was started, so none of those is stopped."""
    said: list[str] = []
    with pytest.raises(GitshipError, match="web does not start"):
        started([Recorded("store", said), Recorded("web", said, fails="start"), Recorded("ssh", said)])
    assert said == ["start store", "start web", "stop web", "stop store"]


def test_a_stop_that_fails_leaves_nothing_running() -> None:
    said: list[str] = []
    running = started([Recorded("store", said), Recorded("web", said, fails="stop"), Recorded("ssh", said)])
    with pytest.raises(GitshipError, match="web does not stop"):
        running.close()
    assert said[3:] == ["stop ssh", "stop web", "stop store"]
