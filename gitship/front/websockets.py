"""Websocket proxy: a separate haproxy that always runs (6 MB).

It lets one request through on each connection, so that nobody gets past Varnish's checks on one that an app has
declined and kept. Its configuration says nothing of apps: no deploy and no change of HTTPS touches it.
"""

from __future__ import annotations

import grp
import logging
import os
import socket
import threading
from pathlib import Path

from gitship.errors import FrontError
from gitship.front.atomic_file import write_atomically
from gitship.front.haproxy import Haproxy, program, proxy_user
from gitship.front.tls import haproxy_config
from gitship.front.websocket_config import websocket_config
from gitship.front.websocket_vcl import ASKED

MOST = 12_000  # Varnish has a thread for each, and at most 10,000 threads
ASK_TIMEOUT_S = 5.0
LONGEST_PATH = 90  # haproxy makes its socket under a longer name first, and 107 are possible

log = logging.getLogger("gitship.front")


class Websockets:
    """haproxy with its files in ``directory``; Varnish, in ``group`` (None: as this user), may connect to ``path``.

    Safe from any thread. ``path`` is None when there can be no socket of such a name.
    """

    def __init__(self, directory: Path, group: int | None) -> None:
        path = directory / "in.sock"
        fits = len(os.fsencode(path)) <= LONGEST_PATH and not any(
            letter.isspace() or letter == '"' for letter in str(path)
        )
        self.path = path if fits else None
        self._directory = directory
        self._group = group
        self._haproxy = Haproxy(directory)
        self._lock = threading.Lock()
        self._said = ""

    def bring(self) -> bool:
        """Starts it, or takes over the one that runs; one with another configuration is replaced, and goes on with the
        websockets it has until they are closed.

        True when none was there. What is wrong is logged, once: it keeps nothing else from running.
        """
        with self._lock:
            there = self.alive()
            try:
                self._ensure_running(there)
            except FrontError as error:
                if error.message != self._said:
                    log.error("websockets are answered 503: %s (%s)", error.message, error.hint)
                self._said = error.message
                return False
            self._said = ""
            return not there

    def stop(self) -> None:
        """Ends it, and all websockets."""
        with self._lock:
            self._haproxy.stop()

    def alive(self) -> bool:
        """True when it answers as it answers Varnish (0.2 ms)."""
        if self.path is None or self._haproxy.pid() is None:
            return False
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(ASK_TIMEOUT_S)
                connection.connect(str(self.path))
                connection.sendall(f"GET / HTTP/1.1\r\nHost: gitship\r\n{ASKED}: asked\r\n\r\n".encode())
                return connection.recv(4096).startswith(b"HTTP/1.1 204")
        except OSError:
            return False

    # -- under the lock

    def _ensure_running(self, there: bool) -> None:
        """Raises FrontError."""
        program()
        if self.path is None:
            raise FrontError(
                f"haproxy takes no socket below {self._directory}", "choose a shorter data_dir without spaces"
            )
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o711)  # varnishd's user has to get through
        text = self._config(self.path)
        same = self._haproxy.config.exists() and self._haproxy.config.read_text(encoding="utf-8") == text
        if same and there:
            return
        if not same:
            write_atomically(self._haproxy.config, text)
        if there:
            self._haproxy.replace(MOST)
            log.info("a new haproxy takes websockets; the one before ends with its last")
        else:
            self._haproxy.start(most=MOST)

    def _config(self, path: Path) -> str:
        group = grp.getgrgid(self._group).gr_name if self._group is not None else None
        threads = haproxy_config.threads(len(os.sched_getaffinity(0)))
        return websocket_config(path, self._haproxy.admin, proxy_user(), group, threads)
