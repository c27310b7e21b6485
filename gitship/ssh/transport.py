"""Paramiko's Transport with modern algorithms and fixes."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from typing import Any, Protocol

import paramiko
from paramiko import Channel, Message, SSHException
from paramiko.auth_handler import AuthHandler
from paramiko.common import MSG_CHANNEL_REQUEST
from paramiko.kex_curve25519 import KexCurve25519
from paramiko.pkey import PKey

from gitship import __version__
from gitship.ssh.channel_buffer import BoundedPipe
from gitship.ssh.connection_limits import ConnectionLimits
from gitship.ssh.packet_limits import Packets
from gitship.ssh.read_ahead import ReadAhead

# RFC 4253 section 12: messages from 50 on belong to login and channels, and wait while keys are exchanged.
FIRST_HIGHER_MESSAGE = 50
MAX_HELD_MESSAGES = 1000
# An RSA key of 16384 bits has 2.1 kB; Paramiko reads longer numbers in quadratic time, before any login.
MAX_KEY_BLOB_BYTES = 2300


# The same exchange under the name that RFC 8731 gave it, which Paramiko lacks.
KEX_ENGINES = {**paramiko.Transport._kex_info, "curve25519-sha256": KexCurve25519}  # type: ignore[attr-defined]
KEX = tuple(
    name
    for name in ("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org")
    if name in KEX_ENGINES
)


class Transport(paramiko.Transport):
    """AES-GCM only (a client's order would pick CTR and HMAC, 1.5 times the cpu of sshd), no SHA-1, no DH groups."""

    _CLIENT_ID = f"gitship_{__version__}"
    _kex_info = KEX_ENGINES
    _preferred_kex = KEX
    _preferred_ciphers = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
    # Negotiated by rule and used by none: GCM authenticates by itself.
    _preferred_macs = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
    # How often a silent connection's thread wakes up; ``close`` does not wait for it. At 0.1 s, 100 idle connections
    # took 3.3 % of a cpu.
    _active_check_timeout = 1.0

    def __init__(self, sock: socket.socket, limits: ConnectionLimits) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(
            ReadAhead(sock),  # type: ignore[arg-type]
            default_window_size=limits.window_bytes,
            packetizer_class=functools.partial(Packets, limits=limits),  # type: ignore[arg-type]
        )
        self.limits = limits
        self._held: list[Message] = []

    @property
    def silent(self) -> bool:
        """True until the peer has said anything."""
        return isinstance(self.sock, ReadAhead) and self.sock.silent

    def close(self) -> None:
        """Ends the connection at once; its thread ends by itself."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes a thread in recv or send; closing alone does not
        super().close()

    def _send_user_message(self, data: Message) -> None:
        # In Paramiko the thread that reads packets waits here for the end of a key exchange that only itself can bring
        # about, when a channel request or close crosses a re-key: the connection is dead after 30 s.
        if threading.current_thread() is self:
            self._send_message(data)
        else:
            super()._send_user_message(data)  # type: ignore[misc]

    def _send_message(self, data: Message) -> None:
        if not self.clear_to_send.is_set() and data.asbytes()[0] >= FIRST_HIGHER_MESSAGE and self.initial_kex_done:
            if len(self._held) >= MAX_HELD_MESSAGES:
                raise SSHException("client asks, but does not finish the key exchange")
            self._held.append(data)
            return
        super()._send_message(data)  # type: ignore[misc]

    def _parse_newkeys(self, m: Message) -> None:
        super()._parse_newkeys(m)  # type: ignore[misc]
        held, self._held = self._held, []
        for data in held:
            self._send_message(data)


class Peer(Protocol):
    """Who hears what happens on a server's transport; called in the transport's thread."""

    def logged_in(self) -> None: ...

    def channel_opened(self, channel: Channel) -> None: ...

    def channel_request(self, channel: Channel, message: Message) -> None: ...

    def ended(self, error: Exception | None) -> None: ...


class UnusableKey(PKey):
    """Stands for a key that the server cannot check, so that the client goes on to its next one."""

    name = "unusable"


class KeyLogin(AuthHandler):
    """Paramiko's, but an unknown kind of key (FIDO, certificate, SHA-1) is refused like an unknown key.

    Paramiko hangs up there, which locks out everybody whose agent offers such a key first. A certificate is refused
    too: nobody here checks its expiry and principals, and OpenSSH offers the plain key next.
    """

    def _generate_key_from_request(self, algorithm: str, blob: bytes) -> PKey:
        if algorithm in self.transport.preferred_pubkeys and len(blob) <= MAX_KEY_BLOB_BYTES:
            with contextlib.suppress(Exception):  # whatever a mangled key makes the parser do
                key: PKey = self.transport._key_info[algorithm](Message(blob))  # type: ignore[attr-defined]
                return key
        return UnusableKey()


def _on_request(channel: Channel, message: Message) -> None:
    transport = channel.get_transport()
    assert isinstance(transport, ServerTransport)
    transport.peer.channel_request(channel, message)


class ServerTransport(Transport):
    """The server's side of one connection: a thread that reads packets and tells ``peer`` about it."""

    _channel_handler_table = {  # noqa: RUF012
        **paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        MSG_CHANNEL_REQUEST: _on_request,
    }

    def __init__(self, sock: socket.socket, limits: ConnectionLimits, host_key: PKey, peer: Peer) -> None:
        super().__init__(sock, limits)
        self.peer = peer
        self.add_server_key(host_key)

    def run(self) -> None:
        """The thread: packets until the end of the connection."""
        try:
            super().run()
        finally:
            self.peer.ended(self.saved_exception)

    def _negotiate_keys(self, m: Message) -> None:
        if self.initial_kex_done and not self.is_authenticated():
            # Each exchange costs the server a signature and two curve operations.
            raise SSHException("second key exchange before login")
        super()._negotiate_keys(m)  # type: ignore[misc]

    def _parse_newkeys(self, m: Message) -> None:
        super()._parse_newkeys(m)
        if not isinstance(self.auth_handler, KeyLogin):
            self.auth_handler = KeyLogin(self)

    def _auth_trigger(self) -> None:
        super()._auth_trigger()  # type: ignore[misc]
        packets: Any = self.packetizer
        packets.authenticated()
        self.peer.logged_in()

    def _queue_incoming_channel(self, channel: Channel) -> None:
        # Before any byte of the channel can arrive: this is the thread that would read it.
        channel.in_buffer = BoundedPipe(self.limits.window_bytes)  # type: ignore[assignment]
        channel.in_stderr_buffer = BoundedPipe(0)  # type: ignore[assignment]
        self.peer.channel_opened(channel)
