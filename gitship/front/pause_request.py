"""Request on which the visitors of a paused app wait, and its end (see ``pause_vcl``)."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front import unix_socket
from gitship.front.pause_vcl import Pause

TIMEOUT_S = 5.0


class PauseRequest:
    """The page that everybody waits for, asked for at one end and kept open at the other, both here.

    It is never answered: hanging up lets everybody go, as it does when gitship is killed.
    """

    def __init__(self, pause: Pause, group: int | None) -> None:
        """Varnish, in ``group`` (None: as this user), may connect. Raises FrontError."""
        self._pause = pause
        self._asking: socket.socket | None = None
        self._answering: socket.socket | None = None
        self._listener = unix_socket.listen(pause.path, group)

    def establish(self, varnish: Address, host: str) -> None:
        """From now on visitors of ``host`` wait. Raises FrontError when Varnish does not come within seconds."""
        try:
            self._asking = socket.create_connection((varnish.host, varnish.port), TIMEOUT_S)
            request = (
                f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Gitship-Hold: {self._pause.ticket}\r\nConnection: close\r\n\r\n"
            )
            self._asking.sendall(request.encode())
            # A worker that has just died may still have its manager take connections, and then drop them: who only
            # waited to be called would leave visitors through for all that time.
            came, _, _ = select.select([self._listener, self._asking], [], [], TIMEOUT_S)
            if self._listener not in came:
                raise ConnectionError("it closed the connection") if came else TimeoutError("timed out")
            self._answering, _ = self._listener.accept()
        except OSError as error:
            raise FrontError(f"Varnish does not hold requests: {error}", "see the server's log") from None

    @property
    def lost(self) -> bool:
        """True when Varnish has hung up: its worker has died, or the limit has passed."""
        if self._asking is None:
            return True
        self._asking.setblocking(False)
        try:
            return self._asking.recv(1, socket.MSG_PEEK) is not None
        except BlockingIOError:
            return False
        except OSError:
            return True

    def end(self) -> None:
        """Lets everybody go."""
        for end in (self._answering, self._listener):
            if end is not None:
                end.close()
        if self._asking is not None:
            with suppress(OSError):
                self._asking.settimeout(TIMEOUT_S)
                self._asking.recv(1)
            self._asking.close()
        self._pause.path.unlink(missing_ok=True)
