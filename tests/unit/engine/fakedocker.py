"""An HTTP server on a Unix socket that answers what a Docker of some version does; the engine on this side is real."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gitship.engine.api_versions import parts


@dataclass(slots=True)
class Said:
    """A request as it came; ``path`` without the version."""

    method: str
    version: str
    path: str
    query: dict[str, str]
    body: bytes


@dataclass(slots=True)
class FakeDocker:
    """``answers`` by path: (status, JSON or bytes); its versions may change while it runs, as by an upgrade."""

    host: str = ""
    newest: str = "1.41"
    oldest: str = "1.12"
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)

    def upgrade(self, oldest: str, newest: str) -> None:
        self.oldest, self.newest = oldest, newest

    def paths(self) -> list[str]:
        return [said.path for said in self.said]

    def answer(self, said: Said) -> tuple[int, Any]:
        if said.path == "/version":
            return 200, {"ApiVersion": self.newest, "MinAPIVersion": self.oldest, "Version": "9.9"}
        if said.version and parts(said.version) < parts(self.oldest):
            text = f"client version {said.version} is too old. Minimum supported API version is {self.oldest}, please"
            return 400, {"message": f"{text} upgrade your client to a newer version"}
        if said.version and parts(said.version) > parts(self.newest):
            text = f"client version {said.version} is too new. Maximum supported API version is {self.newest}"
            return 400, {"message": text}
        return self.answers.get(
            said.path, (200, b"OK") if said.path == "/_ping" else (404, {"message": "no such page"})
        )


@contextmanager
def fake_docker(directory: Path) -> Iterator[FakeDocker]:
    docker = FakeDocker(f"unix://{directory}/docker.sock")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            super().handle_one_request()
            self.close_connection = True

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole

        def reply(self) -> None:
            url = urlsplit(self.path)
            found = re.match(r"/v([\d.]+)(/.*)", url.path)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            version, path = (found[1], found[2]) if found else ("", url.path)
            said = Said(self.command, version, path, query, self.body())
            docker.said.append(said)
            status, answer = docker.answer(said)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_HEAD = reply

        def log_message(self, *args: object) -> None: ...

    server = socketserver.ThreadingUnixStreamServer(docker.host.removeprefix("unix://"), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="fake-docker", daemon=True)
    thread.start()
    try:
        yield docker
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
