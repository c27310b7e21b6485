"""One client connection: identity, channels and idle timeout."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from paramiko import Channel, Message, ServerInterface
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_RESOURCE_SHORTAGE,
    OPEN_SUCCEEDED,
)
from paramiko.pkey import PKey

from gitship import public_key
from gitship.console.session import Session
from gitship.errors import GitshipError
from gitship.model import Identity
from gitship.ssh.connection_limits import ConnectionLimiter, ConnectionLimits
from gitship.ssh.execution import CUT_GRACE_S, Execution
from gitship.ssh.forward import ForwardedConnection, ForwardTarget, ForwardTo
from gitship.ssh.transport import ServerTransport, UnusableKey

log = logging.getLogger("gitship.ssh")

# A client hangs up by itself once its command has ended; cut earlier, its exit status could be lost on the way.
LAST_WORDS_S = 0.5
# (fingerprint, "type base64", peer address) -> who that is, or None for an unknown key.
Authenticate = Callable[[str, str, str], Identity | None]
Run = Callable[[Session], int]


@dataclass(frozen=True, slots=True)
class _Offer:
    fingerprint: str
    line: str
    identity: Identity


class SshConnection(ServerInterface):
    """A client from accept to hang-up. The base class refuses passwords and all else that is not here."""

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        host_key: PKey,
        limits: ConnectionLimits,
        entrance: ConnectionLimiter[SshConnection],
        authenticate: Authenticate,
        run: Run,
        ended: Callable[[SshConnection], None],
        forward_to: ForwardTo,
        forward_places: threading.BoundedSemaphore,
    ) -> None:
        self.address = address
        self._sock = sock
        self._host_key = host_key
        self._transport: ServerTransport | None = None
        self._limits = limits
        self._entrance = entrance
        self._authenticate = authenticate
        self._run = run
        self._ended = ended
        self._forward_to = forward_to
        self._forward_places = forward_places
        self._granted: dict[int, ForwardTarget] = {}  # by the channel's id, until it is there: in one thread only
        self._forwards: dict[Channel, ForwardedConnection] = {}
        self._has_forwarded = False
        self._lock = threading.Lock()
        self._executions: dict[Channel, Execution] = {}
        self._offer: _Offer | None = None
        self._identity: Identity | None = None
        self._keys_offered = 0
        self._closing = False
        self._idle_since: float | None = None

    def start(self) -> None:
        """Begins the handshake in the transport's thread. Raises RuntimeError when there can be no more threads."""
        self._transport = ServerTransport(self._sock, self._limits, self._host_key, self)
        self._transport.name = f"gitship-ssh-{self.address}"
        self._transport.start_server(event=threading.Event(), server=self)

    def close(self) -> None:
        """Hangs up. Commands that still run see their session's ``closed``."""
        if self._transport is not None:
            self._transport.close()

    @property
    def silent(self) -> bool:
        """True until the client has said anything."""
        return self._transport is None or self._transport.silent

    @property
    def authenticated(self) -> bool:
        """True from login on."""
        return self._identity is not None

    def recheck(self, still_may: Callable[[Session], bool]) -> None:
        """Ends what may not go on, now that keys have changed; a client whose key is gone is hung up on."""
        with self._lock:
            executions = list(self._executions.values())
            forwards = list(self._forwards.values())
        for execution in executions:
            execution.recheck(still_may)
        for forward in forwards:
            forward.recheck()
        identity = self._identity
        if identity is not None and identity.key_id is not None and not self._is_known(identity):
            self._closing = True
            threading.Thread(target=self._hang_up, args=(executions,), name="gitship-ssh-cut", daemon=True).start()

    def _is_known(self, identity: Identity) -> bool:
        now = self._current_identity()
        return now is not None and now.key_id == identity.key_id

    def _hang_up(self, executions: list[Execution]) -> None:
        """Once each command has had its last words."""
        for execution in executions:
            if execution.thread is not None:
                execution.thread.join(CUT_GRACE_S)
        time.sleep(LAST_WORDS_S)
        self.close()

    def refuse_sessions(self) -> None:
        """From now on no new command starts; those that run go on."""
        self._closing = True

    @property
    def threads(self) -> list[threading.Thread]:
        """Every thread that this connection still has."""
        with self._lock:
            threads = [self._transport, *(e.thread for e in self._executions.values())]
            threads += [forward.thread for forward in self._forwards.values()]
        return [thread for thread in threads if thread is not None and thread.is_alive()]

    def idle_s(self) -> float:
        """Seconds since the last command ended, or since login; 0 while one runs, and before login."""
        since = self._idle_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def idle_for_too_long(self) -> bool:
        return self.idle_s() > (self._limits.forward_idle_s if self._has_forwarded else self._limits.idle_s)

    # Login

    def get_allowed_auths(self, username: str) -> str:
        """Public keys, nothing else."""
        return "publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        """Refused, and counted: a client that was told "publickey" and tries this is guessing."""
        self._keys_offered += 1
        return AUTH_FAILED

    def check_auth_publickey(self, username: str, key: PKey) -> int:
        """Whether the key may log in, asked before and again with its signature. The user name does not matter."""
        self._keys_offered += 1
        self._offer = None
        if isinstance(key, UnusableKey):
            return AUTH_FAILED
        fingerprint, line = public_key.fingerprint(key.asbytes()), f"{key.get_name()} {key.get_base64()}"
        identity = self._who(fingerprint, line)
        if identity is None:
            log.info("%s: unknown key %s", self.address, fingerprint)
            return AUTH_FAILED
        self._offer = _Offer(fingerprint, line, identity)
        self._entrance.key_known(self)
        return AUTH_SUCCESSFUL

    def _who(self, fingerprint: str, line: str) -> Identity | None:
        try:
            return self._authenticate(fingerprint, line, self.address)
        except Exception:
            log.exception("%s: cannot look up key %s", self.address, fingerprint)
            return None

    def _current_identity(self) -> Identity | None:
        """Who the client is now: its key may have been removed, or have another role, since it logged in."""
        return self._who(self._offer.fingerprint, self._offer.line) if self._offer is not None else None

    def logged_in(self) -> None:
        """The signature was good."""
        self._identity = self._offer.identity if self._offer is not None else None
        if self._identity is None or not self._entrance.logged_in(self):
            self.close()
            return
        self._idle_since = time.monotonic()
        log.info("%s: %s logged in", self.address, self._identity.key_name)

    # Channels

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Sessions only, and so many at a time."""
        if kind != "session":
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        with self._lock:
            for channel in [c for c, e in self._executions.items() if c.closed and not e.running]:
                del self._executions[channel]
            if self._closing or len(self._executions) >= self._limits.sessions_per_connection:
                return OPEN_FAILED_RESOURCE_SHORTAGE
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        """Forwarding, to what ``forward_to`` knows: the reason of a refusal is in the log."""
        host, port = destination
        identity = self._current_identity() if self._identity is not None else None
        if identity is None:
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        with self._lock:
            full = self._closing or len(self._forwards) + len(self._granted) >= self._limits.forwards_per_connection
        if full or not self._forward_places.acquire(blocking=False):
            log.info("%s: %s has too many forwarded connections", self.address, identity.key_name)
            return OPEN_FAILED_RESOURCE_SHORTAGE
        try:
            self._granted[chanid] = self._forward_to(identity, host, port)
        except Exception as error:
            self._forward_places.release()
            if isinstance(error, GitshipError):
                log.info("%s: forwarding by %s refused: %s", self.address, identity.key_name, error.message)
            else:
                log.exception("%s: cannot look up what %s forwards to", self.address, identity.key_name)
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return OPEN_SUCCEEDED

    def _forward(self, channel: Channel, target: ForwardTarget) -> None:
        forward = ForwardedConnection(channel, target, self._forward_finished)
        with self._lock:
            self._forwards[channel] = forward
            self._has_forwarded, self._idle_since = True, None
        forward.start()
        forward.recheck()  # what has changed since it was granted; from here on ``recheck`` sees it

    def _forward_finished(self, forward: ForwardedConnection) -> None:
        self._forward_places.release()
        with self._lock:
            self._forwards.pop(forward.channel, None)
            self._note_idle()

    def _note_idle(self) -> None:
        """Under the lock, when something has ended."""
        if not self._forwards and not any(e.running for e in self._executions.values()):
            self._idle_since = time.monotonic()

    def channel_opened(self, channel: Channel) -> None:
        """A session that waits to be told what to run, or a connection to forward."""
        if (target := self._granted.pop(channel.get_id(), None)) is not None:
            self._forward(channel, target)
            return
        execution = Execution(channel, self._limits, self._current_identity, self._run, self._finished)
        with self._lock:
            self._executions[channel] = execution

    def channel_request(self, channel: Channel, message: Message) -> None:
        """Whatever the client asks of that session."""
        with self._lock:
            execution = self._executions.get(channel)
        if execution is not None:
            execution.request(message)
            with self._lock:
                if any(e.running for e in self._executions.values()):
                    self._idle_since = None

    def _finished(self, execution: Execution) -> None:
        with self._lock:
            self._executions.pop(execution.channel, None)
            self._note_idle()

    def ended(self, error: Exception | None) -> None:
        """The transport's thread is about to end."""
        for target in self._granted.values():  # whose channels were never opened
            target.ended("the client has gone", 0, 0)
            self._forward_places.release()
        self._granted.clear()
        self._entrance.leave(self)
        if self._identity is None and self._keys_offered:
            self._entrance.login_failed(self.address)
            log.info("%s: login failed", self.address)
        else:
            log.debug("%s: connection ended (%s)", self.address, error)
        self._ended(self)
