"""A real S3 server for tests (`rclone serve s3`), and one in front of it that refuses what a test says."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gitship.backup.s3_target import S3Target, Timeouts
from gitship.backup.targets import TargetDefinition
from tests import places
from tests.waiting import wait_until

BUCKET, PREFIX = "backups", "shop/eu"
KEY_ID, SECRET = "test-key", "test-secret"
QUICK = Timeouts(connect_s=5, request_s=5, part_s=20, retries=1)
IMPATIENT = Timeouts(connect_s=1, request_s=0.5, part_s=1, retries=1)
NO_CONFIG = {"RCLONE_CONFIG": "/dev/null"}


class S3Server:
    """Keeps its buckets in ``data``; may be killed and started again on the same port."""

    def __init__(self, data: Path, *options: str, scheme: str = "http") -> None:
        self.data = data
        self.port = places.free_port()
        self.endpoint = f"{scheme}://127.0.0.1:{self.port}"
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None
        (data / BUCKET).mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        address = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            ["rclone", "serve", "s3", self.data, "--addr", address, "--auth-key", f"{KEY_ID},{SECRET}", *self._options],
            env=os.environ | NO_CONFIG, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(self._listens, what="rclone serves S3")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def remote(self) -> str:
        """The bucket, as rclone's own client names it."""
        keys = f"access_key_id={KEY_ID},secret_access_key={SECRET}"
        return f':s3,provider=Rclone,{keys},endpoint="{self.endpoint}":{BUCKET}'

    def uploads(self) -> list[str]:
        """The keys of multipart uploads that are neither completed nor aborted."""
        done = subprocess.run(
            ["rclone", "backend", "list-multipart-uploads", self.remote],
            env=os.environ | NO_CONFIG, capture_output=True, timeout=30, check=True,
        )  # fmt: skip
        return [upload["Key"] for upload in json.loads(done.stdout)[BUCKET]]

    def _listens(self) -> bool:
        assert self.process is not None and self.process.poll() is None, "rclone has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextmanager
def serving(data: Path, *options: str, scheme: str = "http") -> Iterator[S3Server]:
    server = S3Server(data, *options, scheme=scheme)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def target(
    endpoint: str, *, bucket: str = BUCKET, key_id: str = KEY_ID, secret: str = SECRET, timeouts: Timeouts = QUICK
) -> S3Target:
    words = [f"s3://{bucket}/{PREFIX}", "--endpoint", endpoint, "--key-id", key_id]
    return S3Target(TargetDefinition.parse("offsite", words, secret), timeouts)


Answer = tuple[int, str]  # status, and the body's XML


@contextmanager
def refusing(server: S3Server, answer: Callable[[str, str], Answer | None]) -> Iterator[str]:
    """The URL of a server that asks ``answer`` with method and path, and passes on to ``server`` where that is None."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            refused = answer(self.command, self.path)
            if refused is not None:
                self._reply(refused[0], {"Content-Type": "application/xml"}, refused[1].encode())
                return
            onward = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            onward.request(self.command, self.path, body, dict(self.headers))  # its Host is part of what is signed
            got = onward.getresponse()
            self._reply(got.status, dict(got.getheaders()), got.read())
            onward.close()

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

        def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Proxy(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that did not wait for its answer."""

    with Proxy(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, name="refusing", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}"
        finally:
            proxy.shutdown()
            thread.join()


def error(code: str, message: str = "", **more: str) -> str:
    """An error document as S3 writes it."""
    tags = "".join(f"<{name}>{value}</{name}>" for name, value in {"Code": code, "Message": message, **more}.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{tags}</Error>'
