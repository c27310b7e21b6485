"""HTTP request to an untrusted server, with limits of time and size.

A socket's own time-out bounds each wait alone: who sends a byte every 3 s is never late.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar, cast

from gitship.engine.timeouts import Timeout, TimeoutExpired, WaitInterrupted

__all__ = ["ResponseTooLarge", "Timeout", "WaitInterrupted", "connected", "insecure", "look_up", "numeric", "request"]

HEAD_BYTES = 256 << 10  # status lines and headers together, those of 1xx answers and of chunks too
_PIECE = 1 << 16
Address = tuple[socket.AddressFamily, Any]
_T = TypeVar("_T")


class ResponseTooLarge(http.client.HTTPException):
    """The other end has sent more bytes than it may."""


@contextmanager
def request(
    method: str,
    to: Sequence[Address],
    target: str,
    headers: Mapping[str, str],
    patience: Timeout,
    *,
    body: bytes = b"",
    most_bytes: int = 0,
    tls: ssl.SSLContext | None = None,
    name: str = "",
) -> Iterator[http.client.HTTPResponse]:
    """The answer with its headers, whose body may be read within the block, under the same bounds.

    The first of the addresses ``to`` that takes the connection is asked.
    ``most_bytes`` is what the body may have on the wire, beside HEAD_BYTES; ``name`` is asked for by TLS.
    Raises, in the block too, TimeoutError at the deadline, WaitInterrupted once an event of ``patience`` is set,
    ResponseTooLarge, and what else sockets and ``http.client`` raise. The connection is closed when it ends, whatever
    ended it.
    """
    sock = connected(to, patience)
    try:
        if tls is not None:
            sock = _secured(sock, tls, name, patience)
        connection = http.client.HTTPConnection("")
        connection.sock = cast("socket.socket", _Wire(sock, patience, HEAD_BYTES + most_bytes))
        connection.request(method, target, body or None, {**headers, "Connection": "close"})
        yield connection.getresponse()
    finally:
        sock.close()


def connected(to: Sequence[Address], patience: Timeout) -> socket.socket:
    """To the first that takes it; the socket never blocks.

    Raises TimeoutError, WaitInterrupted, or OSError of the last.
    """
    last = OSError(errno.EADDRNOTAVAIL, "no address")
    for family, address in to:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            _check(patience)
            code = sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                _wait(sock, patience, select.POLLOUT)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except BaseException:
            sock.close()
            raise
        if not code:
            return sock
        sock.close()
        last = OSError(code, os.strerror(code))
    raise last


def look_up(host: str, port: int, timeout_s: float) -> list[Address]:
    """All addresses of the host; empty when it has none. Raises TimeoutError: the system's look-up knows no limit."""
    found: list[Address] = []

    def look() -> None:
        with suppress(OSError, UnicodeError):
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append((family, address))

    thread = threading.Thread(target=look, name="look-up", daemon=True)
    thread.start()
    thread.join(max(0.0, timeout_s))
    if thread.is_alive():
        raise TimeoutError(errno.ETIMEDOUT, "the DNS lookup timed out")
    return list(found)


def numeric(address: str, port: int) -> list[Address]:
    """``address`` is in digits: nothing is looked up."""
    return [(socket.AF_INET6 if ":" in address else socket.AF_INET, (address, port))]


def insecure() -> ssl.SSLContext:
    """TLS with whoever answers: an app's own certificate is for its domain at best, not for a container's address."""
    return ssl._create_unverified_context()  # noqa: S323


class _Wire(io.RawIOBase):
    """What ``http.client`` takes for a socket, and reads from: it never waits longer than the patience says."""

    def __init__(self, sock: socket.socket, patience: Timeout, most_bytes: int) -> None:
        self._sock = sock
        self._patience = patience
        self._left = most_bytes

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        """Whoever made the socket closes it: ``http.client`` does so before the body is read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise ResponseTooLarge("the response is too long")
        view = memoryview(buffer)[: self._left]
        count = _patiently(self._sock, self._patience, select.POLLIN, lambda: self._sock.recv_into(view))
        self._left -= count
        return count

    def sendall(self, data: Any) -> None:
        view = memoryview(data)
        while view:
            sent = _patiently(self._sock, self._patience, select.POLLOUT, partial(self._sock.send, view[:_PIECE]))
            view = view[sent:]


def _patiently(sock: socket.socket, patience: Timeout, event: int, act: Callable[[], _T]) -> _T:
    """What ``act`` gives once it need not wait; the socket never blocks."""
    while True:
        _check(patience)
        try:
            return act()
        except ssl.SSLWantReadError:
            _wait(sock, patience, select.POLLIN)
        except ssl.SSLWantWriteError:
            _wait(sock, patience, select.POLLOUT)
        except BlockingIOError:
            _wait(sock, patience, event)


def _wait(sock: socket.socket, patience: Timeout, event: int) -> None:
    poll = select.poll()
    poll.register(sock, event)
    while not poll.poll(max(0.0, min(patience.slice_s(), patience.deadline - time.monotonic())) * 1000):
        _check(patience)


def _check(patience: Timeout) -> None:
    try:
        patience.check()
    except TimeoutExpired:
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None


def _secured(sock: socket.socket, tls: ssl.SSLContext, name: str, patience: Timeout) -> socket.socket:
    """Takes ``sock`` over, also when it fails."""
    try:
        secured = tls.wrap_socket(sock, server_hostname=name or None, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        _patiently(secured, patience, select.POLLIN, secured.do_handshake)
    except BaseException:
        secured.close()
        raise
    return secured
