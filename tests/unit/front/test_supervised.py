"""A program that a unit's process starts when gitship orders it, and again when it ends by itself."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gitship.errors import FrontError
from gitship.front import supervised
from gitship.front.supervised import StartOrder, Supervised
from tests.waiting import wait_until

pytestmark = pytest.mark.clients

BECOMES_A_DAEMON = 'sleep 60 >/dev/null 2>&1 & echo $! > "$0"'


class _EndedError(Exception):
    """Nobody attends any more."""


class Attended(Supervised):
    ended = False

    def _read(self) -> StartOrder | None:
        if self.ended:
            raise _EndedError
        return super()._read()


class Unit:
    """The process of a service unit: attends, and is begun anew when that ends, as systemd does."""

    def __init__(self, directory: Path) -> None:
        self.pid_file = directory / "pid"
        self.attended = Attended("sleep", directory)
        self.begun = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(_EndedError):
            while True:
                self.begun += 1
                assert self.attended.attend(self.pid) == 1

    def pid(self) -> int | None:
        return int(self.pid_file.read_text())

    def end(self) -> None:
        self.attended.ended = True
        if self.pid_file.exists():
            end(self.pid())
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unit]:
    monkeypatch.setenv(supervised.UNITS, "1")
    made = Unit(tmp_path)
    yield made
    made.end()


def end(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def order(unit: Unit, script: str) -> tuple[int, str]:
    return unit.attended.start(["sh", "-c", script, str(unit.pid_file)], 30, 0o022, "")


def test_the_unit_starts_what_is_ordered(unit: Unit) -> None:
    assert order(unit, BECOMES_A_DAEMON) == (0, "")
    assert Path(f"/proc/{unit.pid()}").exists()


def test_what_ends_by_itself_is_started_again(unit: Unit) -> None:
    order(unit, BECOMES_A_DAEMON)
    first = unit.pid()
    end(first)
    wait_until(lambda: unit.begun == 2 and unit.pid_file.read_text().strip() not in ("", str(first)))


def test_it_is_started_again_as_was_said_for_that(unit: Unit) -> None:
    mark = unit.pid_file.with_name("again")
    first, later = (["sh", "-c", f"{more} {BECOMES_A_DAEMON}", str(unit.pid_file)] for more in ("", f"touch {mark};"))
    assert unit.attended.start(first, 30, 0o022, "", again=later) == (0, "")
    assert not mark.exists()
    before = unit.pid()
    end(before)
    wait_until(lambda: unit.pid_file.read_text().strip() not in ("", str(before)))
    assert mark.exists()


def test_what_cannot_start_again_at_once_is_tried_until_it_does(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port of one that was killed is not free at once."""
    monkeypatch.setattr(supervised, "AGAIN_S", 0.01)
    tries = unit.pid_file.with_name("tries")
    not_the_second = f"echo >> {tries}; [ $(wc -l < {tries}) != 2 ] || exit 1; {BECOMES_A_DAEMON}"
    assert order(unit, not_the_second) == (0, "")
    first = unit.pid()
    end(first)
    wait_until(lambda: unit.pid_file.read_text().strip() not in ("", str(first)))
    assert tries.read_text().count("\n") == 3


def test_what_gitship_ends_stays_ended_until_the_next_order(unit: Unit) -> None:
    order(unit, BECOMES_A_DAEMON)
    first = unit.pid()
    unit.attended.withdraw()
    end(first)
    assert order(unit, BECOMES_A_DAEMON) == (0, "")
    assert unit.begun == 1
    assert unit.pid() != first


def test_why_it_does_not_start_is_told_and_it_is_not_tried_again(unit: Unit) -> None:
    assert order(unit, "echo no; exit 3") == (3, "no\n")
    assert order(unit, BECOMES_A_DAEMON) == (0, "")
    assert unit.begun == 1


def test_without_a_unit_that_waits_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(supervised.UNITS, "1")
    monkeypatch.setattr(supervised, "UNIT_S", 0.1)
    with pytest.raises(FrontError, match="no unit waits"):
        Supervised("sleep", tmp_path).start(["true"], 1, 0o022, "")


def test_on_a_machine_without_units_gitship_starts_it_itself(tmp_path: Path) -> None:
    assert Supervised("sleep", tmp_path).start(["true"], 10, 0o022, "") == (0, "")


def test_another_order_is_carried_out_while_the_program_before_runs_on(unit: Unit) -> None:
    """It is to take over, and to end that one when it likes."""
    assert order(unit, BECOMES_A_DAEMON) == (0, "")
    first = unit.pid()
    assert order(unit, BECOMES_A_DAEMON) == (0, "")
    second = unit.pid()
    assert first != second and Path(f"/proc/{first}").exists()
    end(first)
    assert unit.begun == 1, "the end of the one before is nobody's loss"
    end(second)
    wait_until(lambda: unit.begun == 2 and unit.pid_file.read_text().strip() not in ("", str(second)))
