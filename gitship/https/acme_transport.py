"""HTTP transport for ACME requests, with limits of time and size.

`requests` itself bounds each wait alone: an authority that drips a byte every 20 s would never be late.
"""

from __future__ import annotations

import errno
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

ANSWER_BYTES = 1 << 20  # certificates with their chains have some 10 KB
_PIECE = 1 << 16

_limit: ContextVar[_Limit | None] = ContextVar("limit", default=None)  # of the request that this thread makes


class _Limit:
    """Shuts the connection that it has been given when its time is over: whoever waits for it sees the end."""

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._same: list[socket.socket] = []
        self.over = False
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.name, self._timer.daemon = "authority-limit", True
        self._timer.start()

    def watch(self, connected: socket.socket) -> None:
        with self._lock:
            self._same.append(socket.fromfd(connected.fileno(), connected.family, connected.type))  # below TLS
        if self.over:
            self._shut()

    def _shut(self) -> None:
        with self._lock:
            self.over = True
            for same in self._same:
                with suppress(OSError):
                    same.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            for same in self._same:
                same.close()
            self._same = []


class _Watched(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _watch(self.sock)


class _WatchedTls(HTTPSConnection):
    def connect(self) -> None:
        super().connect()  # its handshake has the time-out of the request
        _watch(self.sock)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


def _watch(connected: Any) -> None:
    limit = _limit.get()
    if limit is not None:
        limit.watch(connected)


class BoundedAdapter(HTTPAdapter):
    """``request_s`` is what one request may take with its answer, ``deadline`` (``time.monotonic``) the end of all.

    A connection serves one request.
    """

    def __init__(self, request_s: float, deadline: float) -> None:
        self._request_s = request_s
        self._deadline = deadline
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.headers["Connection"] = "close"
        request.headers["Accept-Encoding"] = "identity"
        left_s = min(self._request_s, self._deadline - time.monotonic())
        if left_s <= 0:
            raise requests.Timeout("timed out")
        with _limited(left_s) as limit:
            try:
                return super().send(request, *args, **{**kwargs, "timeout": left_s})
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                if limit.over:
                    raise requests.Timeout("timed out") from error
                raise

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """With its whole body, which is read here, under the limit."""
        body = bytearray()
        try:
            while piece := resp.read(_PIECE, decode_content=False):
                body += piece
                if len(body) > ANSWER_BYTES:
                    raise ValueError(f"more than {ANSWER_BYTES >> 20} MB in one answer")
        finally:
            resp.close()
        limit = _limit.get()
        if limit is not None and limit.over:  # a body without a length ends with the connection
            raise TimeoutError(errno.ETIMEDOUT, "timed out")
        whole = urllib3.HTTPResponse(
            io.BytesIO(bytes(body)), headers=resp.headers, status=resp.status, reason=resp.reason,
            preload_content=False, decode_content=False, request_method=req.method,
        )  # fmt: skip
        return super().build_response(req, whole)


@contextmanager
def _limited(seconds: float) -> Iterator[_Limit]:
    limit = _Limit(seconds)
    token = _limit.set(limit)
    try:
        yield limit
    finally:
        _limit.reset(token)
        limit.end()
