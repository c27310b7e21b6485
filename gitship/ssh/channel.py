"""Standard streams of an SSH channel."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from paramiko import Channel, SSHException


class ChannelInput:
    """Bytes from the client, as soon and as many as there are. ``waiting`` is True while somebody is in ``read``."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.waiting = False

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; b"" at the end of the input, and when the client has gone.

        Then the session's ``closed`` is set first: what came is not the whole, and must not be taken for it.
        """
        self.waiting = True
        try:
            while True:
                with contextlib.suppress(TimeoutError):  # the channel's limit is for sending; a client may be silent
                    data = self._channel.recv(size)
                    if not data and not self._channel.eof_received:
                        self._channel.status_event.set()
                    return data
        except (SSHException, EOFError):  # what was read could not be acknowledged
            self._channel.status_event.set()
            self._channel.get_transport().close()
            return b""
        finally:
            self.waiting = False


class ChannelOutput:
    """Bytes to the client on one of its two streams.

    ``lock`` is shared by both, so that what one ``write`` is given arrives in one piece. A terminal at the other end is
    in raw mode, and nothing here turns a line feed into what it needs.
    """

    def __init__(self, channel: Channel, send: Callable[[bytes], int], lock: threading.Lock) -> None:
        self._channel = channel
        self._send = send
        self._lock = lock

    def write(self, data: bytes, /) -> int:
        """Sends all of ``data``. Raises OSError when the client has gone or takes nothing for the time-out."""
        with self._lock:
            rest = memoryview(data)
            while rest:
                try:
                    sent = self._send(rest)  # type: ignore[arg-type]  # Paramiko only slices and copies it
                except TimeoutError:
                    self._channel.get_transport().close()
                    raise BrokenPipeError("the client no longer reads") from None
                except (SSHException, EOFError):
                    raise BrokenPipeError("the connection has ended") from None
                if sent == 0:
                    raise BrokenPipeError("the client has closed the channel")
                rest = rest[sent:]
        # Paramiko drops messages for a dead connection without a word.
        if not self._channel.get_transport().is_active():
            raise BrokenPipeError("the connection has ended")
        return len(data)

    def flush(self) -> None:
        """Nothing to do: ``write`` keeps nothing back."""
