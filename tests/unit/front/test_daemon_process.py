"""Real processes: whose they are is seen by their command line and PID namespace."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitship.front.daemon_process import Daemonized
from tests.waiting import wait_until

pytestmark = pytest.mark.clients


def words(directory: Path) -> list[bytes]:
    return [os.fsencode(directory)]


@contextmanager
def sleeping(directory: Path, *before: str) -> Iterator[None]:
    """A process that looks like the program; ``before`` is put in front of its command line."""
    command = [*before, "bash", str(directory)]
    child = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def found(directory: Path) -> set[int]:
    """Every process of that command line, wherever it runs."""
    return {
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and str(directory).encode() in read(process / "cmdline").split(b"\0")[1:2]
    }


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program"
    file.write_text("sleep 30; :\n")
    return file


def test_a_process_of_that_command_line_is_found(program: Path) -> None:
    daemon = Daemonized("bash", program.parent / "pid", words(program))
    with sleeping(program):
        wait_until(lambda: daemon.processes(), 10, "it is found")
        assert daemon.processes() & found(program)  # beside it the shell's child, until that is another program
    assert daemon.gone(10)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a PID namespace")
def test_one_in_a_container_of_this_machine_is_anothers(program: Path) -> None:
    daemon = Daemonized("bash", program.parent / "pid", words(program))
    with sleeping(program, "unshare", "--pid", "--fork", "--kill-child"):
        pid = min(wait_until(lambda: found(program), 10, "it runs"))
        (program.parent / "pid").write_text(str(pid))
        assert daemon.processes() == set()
        assert daemon.pid() is None
