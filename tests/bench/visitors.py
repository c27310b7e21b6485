"""Mixed visitors of one app, fast enough to make 100,000 requests in a minute: no library between them and the socket.

They ask for the tiny app (tests/apps/tiny): GET, POST with a checksum, answers of 5 s, streams, and websockets, which
are well when each text comes back and the end is a close frame. `python -m tests.bench.visitors PORT HOST` prints
"ready", goes on until its standard input ends, then prints one line of JSON (``Report``).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.e2e.load import BODIES, STREAM_PIECES, tally

TIMEOUT_S = 60.0
SAMPLES = 10
SLOW_MS = 5000
TALK_PAUSE_S = 0.25
GET, POST, NEW, SLOW, STREAM, SOCKET = "GET", "POST", "GET new connection", "GET of 5 s", "stream", "websocket text"
CLOSED = "websocket closed"
WORKERS = {GET: 12, POST: 12, NEW: 2, SLOW: 8, STREAM: 4, SOCKET: 20}

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


@dataclass
class Report:
    """Requests and failures by kind; ``versions`` that answered."""

    kinds: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.kinds.values())

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


class Wrong(Exception):
    """An answer that is not the app's."""


class Visitors:
    def __init__(self, port: int, host: str) -> None:
        self._port = port
        self._host = host
        self._over = asyncio.Event()
        self._versions: set[str] = set()
        self.report = Report()

    async def run(self) -> Report:
        works: dict[str, Callable[[Reader, Writer], Awaitable[None]]] = {
            GET: self._get, POST: self._post, NEW: self._get, SLOW: self._slow, STREAM: self._stream,
        }  # fmt: skip
        began = time.monotonic()
        tasks = [self._worker(kind, work) for kind, work in works.items() for _ in range(WORKERS[kind])]
        running = [asyncio.create_task(t) for t in (*tasks, *(self._talk() for _ in range(WORKERS[SOCKET])))]
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        self._over.set()
        await asyncio.gather(*running)
        self.report.seconds = time.monotonic() - began
        self.report.versions = sorted(self._versions)
        return self.report

    # -- requests

    async def _worker(self, kind: str, work: Callable[[Reader, Writer], Awaitable[None]]) -> None:
        connection: tuple[Reader, Writer] | None = None
        while not self._over.is_set():
            tally(self.report.kinds, kind)
            try:
                connection = connection or await self._connect()
                await asyncio.wait_for(work(*connection), TIMEOUT_S)
            except (Wrong, OSError, EOFError, ValueError, TimeoutError) as error:
                self._fail(kind, error)
                self._hang_up(connection)
                connection = None
            if kind == NEW:
                self._hang_up(connection)
                connection = None
        self._hang_up(connection)

    async def _connect(self) -> tuple[Reader, Writer]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    def _hang_up(self, connection: tuple[Reader, Writer] | None) -> None:
        if connection is not None:
            connection[1].close()

    def _fail(self, kind: str, error: BaseException) -> None:
        tally(self.report.failures, kind)
        if len(self.report.samples) < SAMPLES:
            self.report.samples.append(f"{kind}: {error!r:.200}")

    async def _get(self, reader: Reader, writer: Writer) -> None:
        self._seen(await self._ask(reader, writer, "GET", "/"))

    async def _slow(self, reader: Reader, writer: Writer) -> None:
        self._seen(await self._ask(reader, writer, "GET", f"/x?ms={SLOW_MS}"))

    async def _post(self, reader: Reader, writer: Writer) -> None:
        body, total = list(BODIES.items())[self.report.requests % len(BODIES)]
        version, *rest = (await self._ask(reader, writer, "POST", "/", body)).split()
        if rest != [str(len(body)), str(total)]:
            raise Wrong(rest)
        self._seen(version)

    async def _stream(self, reader: Reader, writer: Writer) -> None:
        lines = (await self._ask(reader, writer, "GET", "/stream")).splitlines()
        version = lines[0].split()[0]
        if lines != [f"{version} {n}" for n in range(STREAM_PIECES)]:
            raise Wrong(lines)
        self._seen(version)

    def _seen(self, version: str) -> None:
        if not version.startswith("v") or len(version) > 8:
            raise Wrong(version)
        self._versions.add(version.strip())

    async def _ask(self, reader: Reader, writer: Writer, method: str, path: str, body: bytes = b"") -> str:
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{length}\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if "\r\ntransfer-encoding: chunked" in head:
            data = b""
            while size := int(await reader.readline(), 16):
                data += (await reader.readexactly(size + 2))[:size]
            await reader.readexactly(2)
        else:
            data = await reader.readexactly(int(head.partition("\r\ncontent-length:")[2].split("\r\n")[0]))
        if not head.startswith("http/1.1 200"):
            raise Wrong(head[:60])
        return data.decode()

    # -- websockets

    async def _talk(self) -> None:
        while not self._over.is_set():
            writer: Writer | None = None
            try:
                reader, writer = await self._open_socket()
                await asyncio.wait_for(self._talk_on(reader, writer), 600)
            except (Wrong, OSError, EOFError, ValueError, TimeoutError) as error:
                self._fail(SOCKET, error)
            if writer is not None:
                writer.close()

    async def _open_socket(self) -> tuple[Reader, Writer]:
        reader, writer = await self._connect()
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise Wrong(head[:60])
        return reader, writer

    async def _talk_on(self, reader: Reader, writer: Writer) -> None:
        """Until the app says that it is going away (1001), which is how a socket has to end."""
        count = 0
        while not self._over.is_set():
            count += 1
            text = f"text {count}".encode()
            tally(self.report.kinds, SOCKET)
            writer.write(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
            kind, size = await reader.readexactly(2)
            data = await reader.readexactly(size)
            if kind == 0x88 and data[:2] == b"\x03\xe9":
                tally(self.report.kinds, CLOSED)
                return
            if kind != 0x81 or not data.endswith(b": " + text):
                raise Wrong(data)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), TALK_PAUSE_S)


class Load:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def end(self) -> Report:
        out, errors = self._process.communicate(timeout=2 * TIMEOUT_S)
        if self._process.returncode:
            raise RuntimeError(f"the visitors ended with {self._process.returncode}: {errors}")
        return Report(**json.loads(out.splitlines()[-1]))


@contextmanager
def visiting(port: int, host: str) -> Iterator[Load]:
    """Visitors in a process of their own while the body runs."""
    command = [sys.executable, "-m", "tests.bench.visitors", str(port), host]
    root = Path(__file__).parents[2]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=root) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"the visitors did not start: {process.communicate(timeout=10)[1]}")
            yield Load(process)
        finally:
            if process.poll() is None:
                process.kill()


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(Visitors(int(sys.argv[1]), sys.argv[2]).run()))), flush=True)
