"""Asking Varnish, over real sockets."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from gitship.config_values import Address
from gitship.front.front import AppFront, Backend
from gitship.front.probe_vcl import Probe

TIMEOUT_S = 30.0
TOKEN = "verify-token-of-the-tests"


class Listening(Protocol):
    """A server of the tests; where it listens."""

    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int: ...


@dataclass(frozen=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str = field(repr=False)


def ask(
    address: Address,
    host: str,
    path: str = "/",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterator[bytes] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT_S)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": host, **(headers or {})}.items():
            connection.putheader(name, value)
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
        elif body is not None:
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(body, encode_chunked=True)
        else:
            connection.endheaders()
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
    finally:
        connection.close()


@contextmanager
def raw(address: Address, text: str) -> Iterator[socket.socket]:
    """A connection on which ``text`` was sent, with every newline as CRLF."""
    with socket.create_connection((address.host, address.port), TIMEOUT_S) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def app(name: str, *origins: Listening, release: str = "v1", probe: str | None = None, key: str = "") -> AppFront:
    """What Varnish is told of an app whose containers are ``origins``."""
    return AppFront(
        slug=name.replace(".", "_"),
        app=name,
        release=release,
        cache_key=key or f"{name}/{release}",
        backends=tuple(Backend(f"{name}.web.{i}", o.address, o.port) for i, o in enumerate(origins)),
        verify_token=TOKEN,
        probe=Probe(probe, (f"Host: {name}.localhost",)) if probe else None,
    )
