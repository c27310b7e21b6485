"""A client at a program: what becomes of its terminal's size."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gitship.console.session import Pty
from gitship.containers.attach_client import attend

pytestmark = pytest.mark.unit
SLOW = 40  # times that the terminal is asked for in vain: a busy machine takes seconds to start a program


class Stream:
    def read(self, size: int) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        return len(data)


@dataclass
class SlowProgram:
    """Its terminal is there only after a while, and it ends once that has a size."""

    asked: int = 0
    sized: threading.Event = field(default_factory=threading.Event)

    def output(self) -> Iterator[tuple[str, bytes]]:
        assert self.sized.wait(30), "the terminal never got its size"
        return iter(())

    def send(self, data: bytes) -> bool:
        return True

    def end_input(self) -> None:
        pass

    def resize(self, columns: int, rows: int) -> bool:
        self.asked += 1
        if self.asked > SLOW:
            self.sized.set()
        return self.asked > SLOW

    def exit_code(self) -> int:
        return 7

    def close(self) -> None:
        pass


@dataclass
class Client:
    pty: Pty
    stdin: Stream = field(default_factory=Stream)
    stdout: Stream = field(default_factory=Stream)
    stderr: Stream = field(default_factory=Stream)
    closed: threading.Event = field(default_factory=threading.Event)


def test_a_terminal_gets_its_size_however_late_its_program_starts() -> None:
    program = SlowProgram()
    assert attend(program, Client(Pty("xterm", 100, 30)), lambda: None) == 7
    assert program.asked > SLOW
