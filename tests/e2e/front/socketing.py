"""Websockets as bytes: what goes over the wire is all there is to see."""

from __future__ import annotations

import socket

from gitship.config_values import Address
from tests.e2e.front.asking import TIMEOUT_S

TEXT, CLOSE = 0x81, 0x88
GOING_AWAY = 1001
# The headers that ask for one.
UPGRADE = (
    "Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n"
)


def websocket(address: Address, host: str) -> socket.socket:
    """A connection that has become a websocket."""
    connection = socket.create_connection((address.host, address.port), TIMEOUT_S)
    opening = f"GET /ws HTTP/1.1\nHost: {host}\n{UPGRADE}\n"
    connection.sendall(opening.replace("\n", "\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(1)  # not a byte of the first frame
        assert piece, f"no websocket: {answer!r}"
        answer += piece
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return connection


def said(connection: socket.socket, text: bytes) -> bytes:
    """What comes back for a short text (RFC 6455: frames from a client are masked, here with zeros)."""
    connection.sendall(bytes([TEXT, 0x80 | len(text)]) + bytes(4) + text)
    return frame(connection, TEXT)


def closed(connection: socket.socket) -> int:
    """Waits for the close frame; its code."""
    return int.from_bytes(frame(connection, CLOSE)[:2], "big")


def frame(connection: socket.socket, kind: int) -> bytes:
    head = _exactly(connection, 2)
    assert head[0] == kind, head
    return _exactly(connection, head[1])


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"cut off after {data!r}"
        data += piece
    return data
