"""SSH server: accepts, limits and closes connections."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gitship.config_values import Address
from gitship.console.session import Session
from gitship.errors import ConfigError
from gitship.ssh import host_key
from gitship.ssh.connection import LAST_WORDS_S, Authenticate, Run, SshConnection
from gitship.ssh.connection_limits import FULL, ConnectionLimiter, ConnectionLimits, network
from gitship.ssh.forward import ForwardTo, nowhere
from gitship.ssh.pending_connections import PendingConnections

log = logging.getLogger("gitship.ssh")

# A burst beyond it costs its clients a second each: their SYN is dropped and sent again.
BACKLOG = 512
REAPER_INTERVAL_S = 0.5
THREADS_END_S = 5.0
# The kernel finds out that a silent client's machine is gone, and address translators on the way do not forget it.
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 15
KEEPALIVE_PROBES = 4


class SshServer:
    """Answers SSH on ``listen``. Any user name, public keys only; ``run`` gets each command in a thread of its own.

    ``authenticate`` is called with (fingerprint, "type base64", peer address) at login and again before each command.
    ``run``'s value is the exit status; what it raises reaches the client as an error line.
    """

    def __init__(
        self,
        listen: Address,
        host_key_path: Path,
        authenticate: Authenticate,
        run: Run,
        limits: ConnectionLimits | None = None,
        forward_to: ForwardTo = nowhere,
    ) -> None:
        self._listen = listen
        self._limits = limits or ConnectionLimits()
        self._host_key_path = host_key_path
        self._host_key = host_key.ensure(host_key_path)
        self._authenticate = authenticate
        self._run = run
        self._forward_to = forward_to
        self._forward_places = threading.BoundedSemaphore(self._limits.forwards)
        self._entrance: ConnectionLimiter[SshConnection] = ConnectionLimiter(
            self._limits, silent=lambda connection: connection.silent
        )
        self._pending = PendingConnections(self._limits.lobby, self._limits.lobby_s, self._speaks, _turn_away)
        self._listener: socket.socket | None = None
        self._bound = listen
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[SshConnection] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Binds and begins to accept. Raises ConfigError when the address cannot be had."""
        # Paramiko logs a traceback for every port scanner; what matters is logged here, in one line each.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
        self._listener = _bind(self._listen)
        self._bound = Address(*self._listener.getsockname()[:2])
        self._pending.start()
        for name, target in (("gitship-ssh-accept", self._accept), ("gitship-ssh-reaper", self._reap)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        log.info("listening on %s", self.address)

    @property
    def address(self) -> Address:
        """Where the server really listens: with port 0, the one that it got."""
        return self._bound

    def recheck(self, still_may: Callable[[Session], bool]) -> None:
        """Ends at once what may not go on, now that keys, or what they may use, have changed. Never raises.

        ``still_may`` is asked of each command that runs.
        """
        for connection in self._snapshot():
            try:
                connection.recheck(still_may)
            except Exception:  # one connection's failure must not leave the others as they are
                log.exception("%s: cannot look again at what it runs", connection.address)
                connection.close()

    def stop(self, grace_s: float = 5.0) -> None:
        """Accepts nothing new, gives running commands ``grace_s`` seconds, then hangs up and ends every thread."""
        if self._listener is None:
            return
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        for thread in self._threads:
            thread.join(THREADS_END_S)
        self._pending.stop(THREADS_END_S)
        for connection in self._snapshot():
            connection.refuse_sessions()
        deadline = time.monotonic() + grace_s
        while (connections := self._snapshot()) and time.monotonic() < deadline:
            for connection in connections:
                if not connection.authenticated or connection.idle_s() > LAST_WORDS_S:
                    connection.close()
            time.sleep(0.02)  # until the deadline above
        leftover = self._snapshot()
        threads = [thread for connection in leftover for thread in connection.threads]
        for connection in leftover:
            connection.close()
        deadline = time.monotonic() + THREADS_END_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("%s does not end", thread.name)
        self._listener.close()

    def _snapshot(self) -> list[SshConnection]:
        with self._lock:
            return list(self._connections)

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._stopping.is_set():
            try:
                sock, peer = self._listener.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    log.warning("cannot accept: %s", error)
                    self._stopping.wait(0.1)  # out of file descriptors: some connection has to end first
                continue
            address = network(peer[0]) if "." in peer[0] else str(peer[0])
            try:
                self._welcome(sock, address)
            except Exception:  # one connection's failure is not the listener's
                log.exception("%s: cannot take the connection", address)
                sock.close()

    def _speaks(self, sock: socket.socket, address: str) -> None:
        self._welcome(sock, address, speaks=True)

    def _welcome(self, sock: socket.socket, address: str, *, speaks: bool = False) -> None:
        _keep_alive(sock)
        connection = SshConnection(
            sock,
            address,
            self._host_key,
            self._limits,
            self._entrance,
            self._authenticate,
            self._run,
            self._forget,
            self._forward_to,
            self._forward_places,
        )
        admission = self._entrance.admit(connection, address, speaks=speaks)
        if admission.evicted is not None:
            admission.evicted.close()
        if admission.refused == FULL and not speaks:
            self._pending.wait(sock, address, FULL)
            return
        if admission.refused:
            log.debug("%s: refused, %s", address, admission.refused)  # a flood must not fill the log
            _turn_away(sock, admission.refused)
            return
        with self._lock:
            self._connections.add(connection)
        try:
            connection.start()
        except RuntimeError:
            self._entrance.leave(connection)
            self._forget(connection)
            raise

    def _forget(self, connection: SshConnection) -> None:
        with self._lock:
            self._connections.discard(connection)

    def _reap(self) -> None:
        while not self._stopping.wait(REAPER_INTERVAL_S):
            for connection in self._entrance.overdue():
                connection.close()
            for connection in self._snapshot():
                if connection.idle_for_too_long:
                    log.info("%s: idle for too long", connection.address)
                    connection.close()


def _bind(listen: Address) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        return socket.create_server(
            (listen.host, listen.port), family=family, backlog=BACKLOG, dualstack_ipv6=listen.host == "::"
        )
    except OSError as error:
        raise ConfigError(
            f"cannot listen for SSH on {listen}: {error.strerror or error}",
            "stop the program on that port, or change ssh.listen",
        ) from None


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


def _turn_away(sock: socket.socket, reason: str) -> None:
    """Says why in a line before the banner, which RFC 4253 section 4.2 allows and `ssh -v` shows."""
    with contextlib.suppress(OSError):
        sock.setblocking(False)
        sock.send(f"gitship: {reason}, try again in a minute\r\n".encode())
    sock.close()
