"""A channel's three streams as a command sees them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from paramiko import Channel, SSHException

# A lone line feed: on a terminal in raw mode it would move down without going back to the first column.
_LONE_LINE_FEED = re.compile(rb"(?<!\r)\n")


class ChannelInput:
    """Bytes from the client, as soon and as many as there are. ``used`` is True once somebody has read."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.used = False

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; b"" at the end of the input, and when the client has gone."""
        self.used = True
        while True:
            try:
                return self._channel.recv(size)
            except TimeoutError:
                continue  # the channel's limit is meant for sending; a client may be silent
            except (SSHException, EOFError):  # what was read could not be acknowledged
                self._channel.get_transport().close()
                return b""


class ChannelOutput:
    """Bytes to the client on one of its two streams.

    ``lock`` is shared by both, so that what one ``write`` is given arrives in one piece. With ``terminal``, line feeds
    become what a terminal in raw mode needs.
    """

    def __init__(
        self, channel: Channel, send: Callable[[bytes], int], lock: threading.Lock, *, terminal: bool = False
    ) -> None:
        self._channel = channel
        self._send = send
        self._lock = lock
        self._terminal = terminal
        self._after_return = False

    def write(self, data: bytes, /) -> int:
        """Sends all of ``data``. Raises OSError when the client has gone or takes nothing for the time-out."""
        length = len(data)
        with self._lock:
            rest = memoryview(self._for_terminal(data) if self._terminal else data)
            while rest:
                try:
                    sent = self._send(rest)  # type: ignore[arg-type]  # Paramiko only slices and copies it
                except TimeoutError:
                    self._channel.get_transport().close()
                    raise BrokenPipeError("the client takes nothing any more") from None
                except (SSHException, EOFError):
                    raise BrokenPipeError("the connection has ended") from None
                if sent == 0:
                    raise BrokenPipeError("the client has closed the channel")
                rest = rest[sent:]
        # Paramiko drops messages for a dead connection without a word.
        if not self._channel.get_transport().is_active():
            raise BrokenPipeError("the connection has ended")
        return length

    def flush(self) -> None:
        """Nothing to do: ``write`` keeps nothing back."""

    def _for_terminal(self, data: bytes) -> bytes:
        if not data:
            return data
        begins_in_return = self._after_return and data[:1] == b"\n"
        self._after_return = data[-1:] == b"\r"
        if begins_in_return:
            return b"\n" + _LONE_LINE_FEED.sub(b"\r\n", data[1:])
        return _LONE_LINE_FEED.sub(b"\r\n", data)
