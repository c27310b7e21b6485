"""Runs one hook as a child process: without a shell, with a clean environment and a timeout."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.errors import DeployCanceled, DeployError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MOST_LINES = 500  # what a hook prints beyond is read, so that it never waits, and dropped
LINE_BYTES = 2000
LOOK_S = 0.02  # how often a silent hook's end, limit and cancel are looked at


@dataclass(frozen=True, slots=True)
class HookResult:
    """``code`` is negative for a signal; ``last_line`` what it printed last."""

    code: int
    last_line: str


def run(
    path: Path,
    environment: Mapping[str, str],
    document: bytes,
    on_line: Callable[[str], None],
    cancel: threading.Event,
    timeout_s: float,
) -> HookResult:
    """Runs it with ``document`` on its standard input, handing over each line as it comes.

    What it leaves running in its process group is killed with it. Raises DeployError when it cannot be started or
    outlives ``timeout_s``, DeployCanceled when ``cancel`` is set.
    """
    deadline = time.monotonic() + timeout_s
    try:
        process = subprocess.Popen(
            [str(path)], cwd="/", env={"PATH": PATH, "LANG": "C.UTF-8", **environment}, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise DeployError(f"cannot be started: {error.strerror}") from None
    lines = _Lines(on_line)
    try:
        _attend(process, document, lines, cancel, deadline, timeout_s)
    finally:
        _end(process)
    return HookResult(process.returncode, lines.last)


def _attend(
    process: subprocess.Popen[bytes], document: bytes, lines: _Lines, cancel: threading.Event, deadline: float,
    timeout_s: float,
) -> None:  # fmt: skip
    """Until it has exited: its exit is the end, not that of its output, which a child of its own may hold open."""
    assert process.stdin is not None and process.stdout is not None
    with selectors.DefaultSelector() as selector:
        for stream, events in ((process.stdin, selectors.EVENT_WRITE), (process.stdout, selectors.EVENT_READ)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, events)
        while not _exited(process):
            if cancel.is_set():
                raise DeployCanceled("canceled during a hook")
            if time.monotonic() > deadline:
                raise DeployError(f"took longer than {timeout_s:g} s and was killed", "see `hooks.timeout`")
            if not selector.get_map():
                cancel.wait(LOOK_S)
            for key, _ in selector.select(LOOK_S):
                if key.fileobj is process.stdin:
                    document = _send(process, document, selector)
                elif not lines.read(process.stdout.fileno()):
                    selector.unregister(process.stdout)
        while lines.read(process.stdout.fileno()) and time.monotonic() < deadline:
            pass
        lines.flush()


def _send(process: subprocess.Popen[bytes], document: bytes, selector: selectors.BaseSelector) -> bytes:
    """What is left to send; its standard input is closed after the last byte, or when it does not want any."""
    assert process.stdin is not None
    with suppress(BlockingIOError):
        try:
            document = document[os.write(process.stdin.fileno(), document) :]
        except BrokenPipeError:
            document = b""
    if not document:
        selector.unregister(process.stdin)
        process.stdin.close()
    return document


class _Lines:
    """Whole lines out of what arrives, only so many and only so long."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self._count = 0
        self.last = ""

    def read(self, descriptor: int) -> bool:
        """Takes what is there; False when nothing is, or ever will be."""
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return False
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LINE_BYTES]
        for line in whole:
            self._line(line)
        return bool(data)

    def flush(self) -> None:
        if self._rest:
            self._line(self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> None:
        text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip()
        self._count += 1
        if self._count <= MOST_LINES:
            self._on_line(text)
        elif self._count == MOST_LINES + 1:
            self._on_line("... (further output is not kept)")
        self.last = text or self.last


def _exited(process: subprocess.Popen[bytes]) -> bool:
    """Without taking its exit code: until then its number, and so its group's, cannot become another's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of it and its children, and closes this side of its pipes."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
