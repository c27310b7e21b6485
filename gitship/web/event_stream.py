"""Server-sent events: deploy logs and state, app changes, container logs.

A browser that was cut off says the last id that it saw (Last-Event-ID) and gets what follows: nothing twice, nothing
left out, also over a restart of the server.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from gitship.console import visible_apps
from gitship.errors import NotFound
from gitship.model import App, Deploy
from gitship.web.deploy_log_file import LogFile, Position
from gitship.web.live_updates import ALL_APPS, Viewer
from gitship.web.page import Page, PageServices
from gitship.web.service_figures import topic
from gitship.web.sse_frames import Frames

RETRY_MS = 1000
STALL_S = 60.0  # a viewer that takes nothing for so long is cut off; it comes back by itself if it is still there
KEEPALIVE_S = 15.0  # shorter than the idle limits of proxies; finds viewers that went away without a word
LATE_LINES_S = 1.0  # a log is complete this long after its deploy ended
CHANGE_EVERY_S = 1.0  # of the overview, at most
FIGURES_S = 15.0  # figures go on while no state changes; all viewers are told in the same second, and get the same page
IDENTITY_EVERY_S = 2.0  # a stream outlives the session, or the key's right to the app, by no more
MAX_ID = 1 << 53  # beyond any line number and any version


class SignedOutError(Exception):
    """The session is over, or is not what it was: the browser has to ask anew."""


LEFT = (StreamClosedError, TimeoutError, SignedOutError)


class EventStream(Page):
    """An answer that goes on until the viewer, or the server, leaves."""

    last_write = 0.0
    checked_at = 0.0
    watch: Viewer | None = None

    def begin(self) -> None:
        """Raises HTTPError 503 when there are as many viewers as the server takes."""
        if self.services.live.full:
            raise HTTPError(503, "too many live viewers; the pages still work without live updates")
        self.set_header("Content-Type", "text/event-stream")

    def last_id(self, default: str) -> str:
        """Of the last event that the browser has, or that the page was made with."""
        return self.request.headers.get("Last-Event-ID") or self.get_query_argument("after", default)

    def seen(self) -> int:
        """The id after which to go on."""
        text = self.last_id("0")
        if not (text.isascii() and text.isdigit()):
            raise HTTPError(400, "an event's id is a number")
        return min(int(text[:20]), MAX_ID)

    async def send(self, frame: bytes) -> None:
        """Waits until the viewer took it; what comes meanwhile stays in the file. Raises StreamClosedError."""
        self.last_write = time.monotonic()
        self.write(frame)
        taken = self.flush()
        if not taken.done():  # no timer but for the slow
            await asyncio.wait_for(taken, STALL_S)
            return
        await taken  # which raises when the viewer is gone
        await asyncio.sleep(0)  # and one that takes a long log at once leaves the others their turn

    async def woken(self, watch: Viewer) -> None:
        """The next wake-up; a sign of life to the viewer when there was none for long."""
        await watch.woken()
        now = time.monotonic()
        if watch.recheck or now - self.checked_at > IDENTITY_EVERY_S:
            watch.recheck, self.checked_at = False, now
            identity = self.who_asks()
            if identity is None or (identity.role, identity.apps) != (self.me.role, self.me.apps):
                raise SignedOutError
        if now - self.last_write > KEEPALIVE_S:
            await self.send(b":\n\n")

    def on_connection_close(self) -> None:
        if self.watch:
            self.watch.close()

    def cut(self) -> None:
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.stream.close()


class DeployStream(EventStream):
    """Events: one of push_line.LOOKS for each line; ``state`` (JSON with the page's head as HTML); ``end``."""

    def initialize(self, services: PageServices, frames: Frames) -> None:  # type: ignore[override]
        super().initialize(services)
        self.frames = frames

    async def get(self, name: str, deploy_id: str) -> None:
        app = self.app(name)
        deploy = self.deploy(app, deploy_id)
        file = self.log_file(app, deploy)
        seen = self.seen()
        self.begin()
        with self.services.live.watch(deploy.id) as watch:
            self.watch = watch
            try:
                await self.send(f"retry: {RETRY_MS}\n\n".encode())
                at = await asyncio.get_running_loop().run_in_executor(self.services.work, file.position, seen)
                await self._follow(app, deploy.id, file, at, watch)
            except LEFT:
                self.cut()

    async def _follow(self, app: App, deploy_id: int, file: LogFile, at: Position, watch: Viewer) -> None:
        shown: Deploy | None = None
        ended_at = math.inf  # monotonic: a clock that is set back must not hold up the end
        while not watch.closed:
            if shown is None or watch.state_changed:
                watch.state_changed = False
                try:
                    deploy = self.services.store.deploy(deploy_id)
                except NotFound:  # the app was destroyed
                    break
                if deploy != shown:
                    await self.send(await self._state_event(app, deploy))
                shown = deploy
            # Before the lines are read, so that those written until then are read below.
            if shown.state.ended:
                ended_at = min(ended_at, time.monotonic())
            over = shown.state.ended and (
                (shown.finished_at or 0) + LATE_LINES_S < time.time() or ended_at + LATE_LINES_S < time.monotonic()
            )
            frame, at = self.frames.after(file, at, over)
            while frame:
                await self.send(frame)
                frame, at = self.frames.after(file, at, over)
            if over:
                break
            await self.woken(watch)
        if not watch.closed:  # a server that stops lets viewers come back to the next one
            await self.send(b"event: end\ndata:\n\n")

    async def _state_event(self, app: App, deploy: Deploy) -> bytes:
        commit = (await self.services.commits.of([(app, deploy.commit)])).get(deploy.commit or "")
        head = self.render_string("deploy_head.html", app=app, deploy=deploy, commit=commit).decode()
        return f"event: state\ndata: {json.dumps({'state': deploy.state, 'head': head})}\n\n".encode()


class ChangeStream(EventStream):
    """An event ``changed`` when some app's state did since the page was made; the page then fetches itself anew.

    ``figures`` comes every FIGURES_S: processors, memory and ages are others now.
    Of one app, or of all that the key may know of: what other apps do changes nothing here, not even an id.
    """

    async def get(self, name: str | None = None) -> None:
        app = self.app(name) if name is not None else None
        await self.follow(lambda: self._version(app))

    async def follow(self, version_now: Callable[[], int]) -> None:
        seen = self.seen()
        self.begin()
        live = self.services.live
        with live.watch(ALL_APPS) as watch:
            self.watch = watch
            try:
                await self.send(f"retry: {RETRY_MS}\n\n".encode())
                told_at, beat = 0.0, time.time() // FIGURES_S
                while not watch.closed:
                    version = version_now()
                    # At most one a second: the tick brings what a busy moment left over.
                    if version != seen and time.monotonic() - told_at > CHANGE_EVERY_S:
                        seen, told_at = version, time.monotonic()
                        await self.send(f"id: {seen}\nevent: changed\ndata:\n\n".encode())
                    elif time.time() // FIGURES_S != beat:
                        await self.send(b"event: figures\ndata:\n\n")
                    beat = time.time() // FIGURES_S
                    await self.woken(watch)
            except LEFT:
                self.cut()

    def _version(self, app: App | None) -> int:
        if app is not None:
            return self.services.live.version_of([app.name])
        if not self.me.limited:
            return self.services.live.version
        names = [a.name for a in visible_apps.apps(self.services.store, self.me)]
        topics = [topic(service) for service in self.services.operations.services.visible(self.me)]
        return self.services.live.version_of([*names, *topics])
