"""`unit` means that no child process is started: a unit test that starts one fails."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

# https://docs.python.org/3/library/audit_events.html
STARTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.spawn", "os.system"})


class NoChildren:
    """A plugin. What is started in a fixture counts for the test that made it run."""

    def __init__(self) -> None:
        self._watched = False
        self._started: list[str] = []

        def audit(event: str, args: tuple[Any, ...], starts: frozenset[str] = STARTS) -> None:
            if event in starts and self._watched:  # each file that is opened comes here: only the first is asked
                self._started.append(f"{event} {args[0] if args else ''}")

        sys.addaudithook(audit)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        self._started.clear()
        self._watched = item.get_closest_marker("unit") is not None
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None]:
        yield
        self._watched = False
        if self._started:
            pytest.fail(f"a unit test starts no child process (mark it `clients`): {self._started}", pytrace=False)
