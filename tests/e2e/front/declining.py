"""Servers as apps have them, which decline an upgrade at all paths but /ws and keep the connection, in processes.

Run as a program it is one of them: ``declining.py KIND PORT``; each notes the requests that it got in the file NOTES.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

START_S = 30.0
KINDS = ("python", "tornado", "gunicorn")
_NOTES, _VERSION = "NOTES", "VERSION"
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_TEXT, _CLOSE = 1, 8


@dataclass(frozen=True)
class Declining:
    """One that runs; where it listens, and what it has seen."""

    kind: str
    version: str
    port: int
    notes: Path
    process: subprocess.Popen[bytes]
    address: str = "127.0.0.1"

    @property
    def seen(self) -> list[dict[str, str]]:
        """The headers of each request, names in lower case, with its method and path as ``:method`` and ``:path``."""
        return [json.loads(line) for line in self.notes.read_text().splitlines()]

    @property
    def paths(self) -> list[str]:
        return [request[":path"] for request in self.seen]


@contextmanager
def declining(kind: str, directory: Path, version: str = "v1") -> Iterator[Declining]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    notes = directory / f"{kind}-{version}-{port}"
    notes.touch()
    command = [sys.executable, "-m", __name__, kind, str(port)]
    if kind == "gunicorn":
        command = [sys.executable, "-m", "gunicorn", "--worker-class=gthread", "--threads=8", "--keep-alive=30"]
        command += [f"--bind=127.0.0.1:{port}", "--graceful-timeout=1", "--log-level=critical", f"{__name__}:wsgi"]
    process = subprocess.Popen(command, env={**os.environ, _NOTES: str(notes), _VERSION: version})
    try:
        _wait_for(port, process)
        yield Declining(kind, version, port, notes, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.05)
        else:
            return


# -- what runs in those processes


def _note(method: str, path: str, headers: Iterable[tuple[str, str]]) -> None:
    line = json.dumps({":method": method, ":path": path} | {name.lower(): value for name, value in headers})
    with Path(os.environ[_NOTES]).open("a") as file:
        file.write(line + "\n")


def _body() -> bytes:
    return os.environ[_VERSION].encode()


def _accepts(key: str) -> bytes:
    accept = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode()


def _echo(read: Callable[[int], bytes], write: Callable[[bytes], Any]) -> None:
    """Short texts with the version in front, until the other end closes."""
    while head := read(2):
        mask, text = read(4), read(head[1] & 0x7F)
        if head[0] & 0x0F == _CLOSE:
            return
        plain = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
        answer = _body() + b": " + plain
        write(bytes([0x80 | _TEXT, len(answer)]) + answer)


class PythonsOwn(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _note(self.command, self.path, self.headers.items())
        if self.path == "/ws" and self.headers.get("upgrade"):
            self.connection.sendall(_accepts(self.headers["sec-websocket-key"]))
            _echo(self.rfile.read, self.connection.sendall)
            self.close_connection = True
            return
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("Content-Length", str(len(_body())))
        self.end_headers()
        self.wfile.write(_body())

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        return


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """For gunicorn."""
    headers = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
    _note(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers)
    if environ["PATH_INFO"] == "/ws" and "HTTP_UPGRADE" in environ:
        connection: socket.socket = environ["gunicorn.socket"]
        connection.setblocking(True)
        connection.sendall(_accepts(environ["HTTP_SEC_WEBSOCKET_KEY"]))
        _echo(connection.makefile("rb").read, connection.sendall)
        raise StopIteration  # as Flask-Sock does: gunicorn writes nothing more
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(_body())))])
    return [_body()]


def _tornado(port: int) -> None:
    from tornado.ioloop import IOLoop
    from tornado.web import Application, RequestHandler
    from tornado.websocket import WebSocketHandler

    class Plain(RequestHandler):
        def prepare(self) -> None:
            _note(str(self.request.method), self.request.path, self.request.headers.get_all())

        def get(self) -> None:
            self.write(_body())

        post = put = get

    class Socket(WebSocketHandler):
        def prepare(self) -> None:
            _note(str(self.request.method), self.request.path, self.request.headers.get_all())

        def on_message(self, message: str | bytes) -> None:
            self.write_message(_body() + b": " + (message.encode() if isinstance(message, str) else message))

        def check_origin(self, origin: str) -> bool:
            return True

        def data_received(self, chunk: bytes) -> None:
            return

    Application([("/ws", Socket), ("/.*", Plain)]).listen(port, "127.0.0.1")
    IOLoop.current().start()


if __name__ == "__main__":
    if sys.argv[1] == "tornado":
        _tornado(int(sys.argv[2]))
    else:
        ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), PythonsOwn).serve_forever()
