"""Client side of a session: copies input to the channel, with a raw terminal."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import termios
import threading
import time
import tty
from collections.abc import Iterator
from types import FrameType
from typing import Any, BinaryIO

from paramiko import Channel, SSHException

CHUNK_BYTES = 32 << 10
CTRL_C = b"\x03"
# Ctrl-C goes to the server, whose command ends itself. A second one within this time, and the client just leaves.
SECOND_INTERRUPT_S = 3.0
LAST_READ_S = 1.0
DEFAULT_SIZE = (80, 24)
# Commands whose program gets every Ctrl-C: two in a row are nothing unusual in a shell.
PROGRAM_COMMANDS = frozenset({"run", "enter", "ps:exec", "services:connect"})


def window_size(stdin: BinaryIO) -> tuple[int, int]:
    """Columns and rows of the terminal itself: a shell that exports COLUMNS would be believed for ever otherwise."""
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stdin.fileno())
    return DEFAULT_SIZE


class Typing:
    """A thread that sends what is typed or piped in, and the window's size whenever it changes.

    ``left`` is True once the user has pressed Ctrl-C twice and the channel is closed for it; never with ``program``.
    """

    def __init__(self, channel: Channel, stdin: BinaryIO, pty: bool, program: bool = False) -> None:
        self._program = program
        self._channel = channel
        self._stdin = stdin
        self._pty = pty
        self._wake_read, self._wake_write = os.pipe()
        self._interrupted_at = 0.0
        self._old_handler: Any = None
        self._thread = threading.Thread(target=self._copy, name="gitship-client-stdin", daemon=True)
        self.left = False

    def start(self) -> None:
        """Begins to read stdin: once the command has begun, for which the input is meant."""
        self._thread.start()

    def __enter__(self) -> Typing:
        if self._pty and threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGWINCH, self._window_changed)
        return self

    def __exit__(self, *error: object) -> None:
        if self._old_handler is not None:
            signal.signal(signal.SIGWINCH, self._old_handler)
        os.write(self._wake_write, b"q")
        if self._thread.ident is not None:
            self._thread.join(LAST_READ_S)  # a read that hangs cannot be ended; it dies with the process
        if not self._thread.is_alive():
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _window_changed(self, number: int, frame: FrameType | None) -> None:
        os.write(self._wake_write, b"w")  # only this is safe in a signal handler: the main thread may hold any lock

    def _copy(self) -> None:
        with contextlib.suppress(OSError, SSHException, EOFError), selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            piped = self._register(selector)
            while True:
                ready = [key.fd for key, _ in selector.select(0 if piped else None)]
                if self._wake_read in ready:
                    if os.read(self._wake_read, 1) == b"q":
                        return
                    self._channel.resize_pty(*window_size(self._stdin))
                elif ready or piped:
                    data = self._read()
                    if not data:
                        self._channel.shutdown_write()
                        if not piped:
                            selector.unregister(self._stdin.fileno())
                        piped = False
                    elif not self._leaving(data):
                        self._channel.sendall(data)

    def _register(self, selector: selectors.BaseSelector) -> bool:
        """Watches stdin; True for one that cannot be watched (a file, a buffer) and is just read."""
        try:
            selector.register(self._stdin.fileno(), selectors.EVENT_READ)
        except (OSError, ValueError):
            return True
        return False

    def _read(self) -> bytes:
        try:
            number = self._stdin.fileno()
        except OSError:
            return self._stdin.read(CHUNK_BYTES)
        return os.read(number, CHUNK_BYTES)

    def _leaving(self, data: bytes) -> bool:
        """True at the second Ctrl-C in a row, after which the channel is closed."""
        if not self._pty or self._program or data != CTRL_C:
            return False
        now = time.monotonic()
        if now - self._interrupted_at < SECOND_INTERRUPT_S:
            self.left = True
            self._channel.close()
            return True
        self._interrupted_at = now
        return False


@contextlib.contextmanager
def raw(stdin: BinaryIO, pty: bool) -> Iterator[None]:
    """The terminal passes every key on as it is; afterwards it is as it was."""
    number = -1
    with contextlib.suppress(OSError, ValueError):
        number = stdin.fileno()
    if not pty or number < 0 or not os.isatty(number):
        yield
        return
    before = termios.tcgetattr(number)
    try:
        tty.setraw(number)
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
