"""A small real web application to put behind Varnish; what it answers depends on the path."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

WAIT_S = 20.0  # no test waits longer for the other side
MAX_UPLOAD = 2 << 30
PIECE_BYTES = 1 << 20


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body_bytes: int = 0
    url: str = ""  # path and query as they were sent


@dataclass
class Origin:
    """``version`` is in each answer's ``x-version``; ``address`` and ``port`` say where it listens (0: any)."""

    version: str
    port: int = 0
    address: str = "127.0.0.1"
    seen: list[Seen] = field(default_factory=list)
    barrier: int = 0
    go_on: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    status: int = 200
    missing: set[str] = field(default_factory=set)
    pause_s: float = 0.0
    probe_pause_s: float = 0.0
    probe_status: int = 200

    def __enter__(self) -> Origin:
        self._loop = asyncio.new_event_loop()
        self._together = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"origin-{self.version}", daemon=True)
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it as a killed container ends: what is in flight is cut off."""
        if self._loop.is_running():
            self.go_on.set()
            self._do(self._runner.cleanup())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(WAIT_S)
            self._loop.close()

    def count(self, path: str) -> int:
        return sum(1 for s in self.seen if s.path == path)

    def _do(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(WAIT_S)

    async def _start(self) -> None:
        application = web.Application(client_max_size=MAX_UPLOAD)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.01, max_field_size=1 << 16, max_line_size=1 << 16
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.address, self.port, reuse_address=True, backlog=4096)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            request.method, request.path, {k.lower(): v for k, v in request.headers.items()}, url=request.raw_path
        )
        self.seen.append(seen)
        handlers: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "/ws": self._websocket,
            "/stream": self._stream,
            "/wait": self._wait,
            "/together": self._all_together,
            "/large": self._large,
            "/headers": self._headers,
            "/probe": self._probe,
        }
        if request.path in handlers:
            return await handlers[request.path](request)
        async for piece in request.content.iter_chunked(1 << 20):
            seen.body_bytes += len(piece)
        # /x?cache-control=public is answered with that header
        headers = {**{k: v for k, v in request.query.items() if k != "n"}, "x-version": self.version}
        await asyncio.sleep(self.pause_s)
        if "etag" in headers and request.headers.get("if-none-match") == headers["etag"]:
            return web.Response(status=304, headers={k: v for k, v in headers.items() if k != "cache-tag"})
        if request.path in self.missing:
            return web.Response(text=f"{self.version} has no such page", status=404, headers=headers)
        return web.Response(text=f"{self.version} {seen.body_bytes}", headers=headers, status=self.status)

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        """Answers when the test says so."""
        self.arrived.set()
        await asyncio.to_thread(self.go_on.wait, WAIT_S)
        return web.Response(text=self.version)

    async def _all_together(self, request: web.Request) -> web.StreamResponse:
        """Answers as soon as ``barrier`` requests are here at once, 504 when that does not come about."""
        self._together += 1
        deadline = self._loop.time() + 3
        while self._together < self.barrier and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        return web.Response(text="together", status=200 if self._together >= self.barrier else 504)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """One piece at once, the next when the test says so."""
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await asyncio.to_thread(self.go_on.wait, WAIT_S)
        await response.write(b"data: second\n\n")
        return response

    async def _large(self, request: web.Request) -> web.StreamResponse:
        size = int(request.query["n"])
        headers = {k: v for k, v in request.query.items() if k != "n"}
        response = web.StreamResponse(headers={"content-length": str(size), **headers})
        await response.prepare(request)
        for begin in range(0, size, PIECE_BYTES):
            await response.write(bytes(min(PIECE_BYTES, size - begin)))
        return response

    async def _headers(self, request: web.Request) -> web.StreamResponse:
        """One header of ``n`` bytes, or ``count`` small ones."""
        many = {f"x-many-{number}": "x" for number in range(int(request.query.get("count", "0")))}
        names = ("x-large", "x-larger") if "twice" in request.query else ("x-large",)
        large = {name: "c" * int(request.query["n"]) for name in names} if "n" in request.query else {}
        return web.Response(text=self.version, headers=many | large)

    async def _probe(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self.probe_pause_s)
        return web.Response(text="ready", status=self.probe_status)

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if not web.WebSocketResponse().can_prepare(request):
            return web.Response(text="no websocket asked for")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"{self.version}: {message.data}")
        return socket
