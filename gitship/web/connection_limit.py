"""Connection limit of the status page; idle connections are closed first."""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream

MOST_CONNECTIONS = 2000
SHARE = 4  # at most a quarter of the files that this process may open: pushes come by the same process


def most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST_CONNECTIONS, files // SHARE)


class BoundedServer(HTTPServer):
    """When it is full, the longest idle connection is closed; when all are being answered, the new one."""

    def initialize(self, *arguments: Any, most: int = 0, **options: Any) -> None:
        """``most`` connections; 0: as many as are sensible here."""
        super().initialize(*arguments, **options)
        self._most = most or most_connections()
        self._idle: dict[object, IOStream] = {}  # those without the head of a request, the longest first

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._connections) >= self._most:
            if not self._idle:
                stream.close()
                return
            self._idle.pop(next(iter(self._idle))).close()
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Tornado begins to read the head of a connection's first or next request."""
        if isinstance(server_conn, HTTP1ServerConnection):
            self._idle[server_conn] = server_conn.stream
        delegate = super().start_request(server_conn, request_conn)
        return _Heard(delegate, lambda: self._idle.pop(server_conn, None))

    def on_close(self, server_conn: object) -> None:
        self._idle.pop(server_conn, None)
        super().on_close(server_conn)


class _Heard(HTTPMessageDelegate):
    """Passes everything on, and tells when the head is there."""

    def __init__(self, inner: HTTPMessageDelegate, heard: Callable[[], object]) -> None:
        self._inner = inner
        self._heard = heard

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._heard()
        return self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        self._inner.finish()

    def on_connection_close(self) -> None:
        self._inner.on_connection_close()
