"""What each module of tests costs: told at the end of a run of many, so that time goes where the proof is.

On two processors their time is the floor of a whole run, however many workers wait. Counted is a module's own and that
of its children; not the Docker engine's, its containers' nor Varnish's, which are nobody's children: the last line has
the whole machine's. GITSHIP_TEST_COSTS=40 shows so many modules instead of 20.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

MODULES_AT_LEAST = 5  # of fewer nobody asks
SHOWN = int(os.environ.get("GITSHIP_TEST_COSTS", "20"))
PROPERTY = "processor_s"
_TICKS = os.sysconf("SC_CLK_TCK")
_read = Path.read_text  # as it is before a test puts another one in its place


@dataclass(slots=True)
class Cost:
    """Seconds that passed, and seconds of a processor."""

    wall: float = 0.0
    processor: float = 0.0
    tests: int = 0


def _own(pid: int | None = None) -> float:
    """Of a process and all its children, those that have ended and those that go on."""
    total = 0.0
    with suppress(OSError):  # it has just ended
        own = Path(f"/proc/{pid or os.getpid()}")
        total = sum(map(int, _read(own / "stat").rpartition(")")[2].split()[11:15])) / _TICKS
        for task in (own / "task").iterdir():
            total += sum(_own(int(child)) for child in _read(task / "children").split())
    return total


def _machine() -> float:
    """Of all processors and processes, since the machine's start; 0 where nothing tells."""
    try:
        first = _read(Path("/proc/stat")).splitlines()[0].split()
    except OSError:
        return 0.0
    user, nice, system, _idle, _io, irq, softirq = map(int, first[1:8])
    return (user + nice + system + irq + softirq) / _TICKS


class Costs:
    """A plugin: measures where tests run, adds up where their reports arrive."""

    def __init__(self) -> None:
        self._counted = _own()
        self._began, self._machine = time.monotonic(), _machine()
        self._modules: dict[str, Cost] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "teardown":  # once for a test: a look at all threads is not free
            now = _own()
            report.user_properties.append((PROPERTY, now - self._counted))
            self._counted = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cost = self._modules.setdefault(report.nodeid.partition("::")[0], Cost())
        cost.wall += report.duration
        cost.processor += sum(float(str(value)) for name, value in report.user_properties if name == PROPERTY)
        cost.tests += report.when == "call"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if len(self._modules) < MODULES_AT_LEAST:
            return
        terminalreporter.section("longest modules")
        terminalreporter.line(f"{'s':>8} {'s of a processor':>17} {'tests':>6}")
        ordered = sorted(self._modules.items(), key=lambda pair: -pair[1].wall)
        for name, cost in ordered[:SHOWN]:
            terminalreporter.line(f"{cost.wall:8.1f} {cost.processor:17.1f} {cost.tests:6}  {name}")
        whole = Cost(
            time.monotonic() - self._began,
            sum(cost.processor for cost in self._modules.values()),
            sum(cost.tests for cost in self._modules.values()),
        )
        terminalreporter.line(f"{whole.wall:8.1f} {whole.processor:17.1f} {whole.tests:6}  all {len(ordered)}")
        terminalreporter.line(f"{'':8} {_machine() - self._machine:17.1f} {'':6}  the whole machine")
