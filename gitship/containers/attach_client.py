"""Attaches a client to a program: copies its input and output until either side closes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from gitship.engine.interface import Engine, Program
from gitship.engine.timeouts import TimeoutExpired, WaitInterrupted
from gitship.errors import EngineError

READ_BYTES = 32 << 10
RESIZE_S = 20.0  # a terminal is there only once the program has started, which takes seconds on a busy machine
RESIZE_EVERY_S = 0.05


class ClientLeft(Exception):
    """The client has gone before the program ended."""


class Terminal(Protocol):
    """The client's terminal, as ``console.session.Pty`` is one."""

    resized: Callable[[int, int], None] | None
    raw: bool

    @property
    def term(self) -> str: ...

    @property
    def columns(self) -> int: ...

    @property
    def rows(self) -> int: ...


class Input(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Output(Protocol):
    def write(self, data: bytes, /) -> int: ...


class AttachedClient(Protocol):
    """Who sits there, as ``console.session.Session`` does; ``closed`` is set when it has gone."""

    @property
    def stdin(self) -> Input: ...

    @property
    def stdout(self) -> Output: ...

    @property
    def stderr(self) -> Output: ...

    @property
    def pty(self) -> Terminal | None: ...

    @property
    def closed(self) -> threading.Event: ...


def attend(program: Program, client: AttachedClient, start: Callable[[], None]) -> int:
    """Connects the two, calls ``start``, and waits for the program's end; its exit code.

    Raises ClientLeft, TimeoutExpired when its time is up, and whatever ``start`` raises.
    """
    window = _Window(program, client.pty) if client.pty is not None else None
    try:
        start()
        if window is not None:
            window.open()
        # It ends with the program's streams or, since it waits for the client, with the client's session.
        threading.Thread(target=_feed, args=(program, client.stdin), name="one-off-input", daemon=True).start()
        try:
            for stream, data in program.output():
                (client.stderr if stream == "stderr" else client.stdout).write(data)
        except OSError as error:
            raise ClientLeft from error
        return program.exit_code()
    except WaitInterrupted:
        raise ClientLeft from None
    finally:
        if window is not None:
            window.close()


def execute(
    engine: Engine, container_id: str, command: tuple[str, ...], env: Mapping[str, str], client: AttachedClient
) -> int:
    """Runs a command in a running container for the client; its exit code. Raises ClientLeft, EngineError."""
    pty = client.pty
    try:
        program = engine.attach_exec(
            container_id, command, env={"TERM": pty.term, **env} if pty else env,
            terminal=(pty.columns, pty.rows) if pty else None, gone=client.closed,
        )  # fmt: skip
        try:
            return attend(program, client, lambda: None)
        finally:
            program.close()
    except WaitInterrupted:
        raise ClientLeft from None


def _feed(program: Program, stdin: Input) -> None:
    try:
        while data := stdin.read(READ_BYTES):
            if not program.send(data):
                return
        program.end_input()
    except (WaitInterrupted, TimeoutExpired, EngineError):
        return  # whoever reads the output meets the same, and tells it


class _Window:
    """Passes the terminal's size on, from a thread of its own: the caller of ``resized`` must not wait for Docker."""

    def __init__(self, program: Program, terminal: Terminal) -> None:
        self._program = program
        self._terminal = terminal
        self._before = terminal.resized
        self._closed = threading.Event()
        self._sizes: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._pass_on, name="one-off-window", daemon=True)

    def open(self) -> None:
        self._terminal.raw = True
        self._terminal.resized = lambda columns, rows: self._sizes.put((columns, rows))
        self._sizes.put((self._terminal.columns, self._terminal.rows))
        self._thread.start()

    def close(self) -> None:
        self._terminal.raw = False
        self._terminal.resized = self._before
        self._closed.set()
        self._sizes.put(None)

    def _pass_on(self) -> None:
        while (size := self._sizes.get()) is not None:
            try:
                deadline = time.monotonic() + RESIZE_S
                while not self._program.resize(*size) and time.monotonic() < deadline:
                    if self._closed.wait(RESIZE_EVERY_S):
                        return
            except (EngineError, TimeoutExpired):
                return  # the terminal keeps its size; the program's own stream tells what is wrong
