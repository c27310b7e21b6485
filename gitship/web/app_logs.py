"""Log page of an app and its live stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tornado.web import HTTPError

from gitship.errors import NoPermission, NotFound
from gitship.model import Container
from gitship.web import log_positions
from gitship.web.app_log_stream import READ_LINES, AppLog, AppLogs, Placed, frame, past, row, suited
from gitship.web.event_stream import LEFT, RETRY_MS, EventStream
from gitship.web.log_positions import MARGIN_S, Position
from gitship.web.page import Page, PageServices

SHOWN_LINES = 200  # of each container
MOST_SHOWN = 1000


class LogsPage(Page):
    """The last lines; ``process`` and ``q`` in the query hide others."""

    async def get(self, name: str) -> None:
        app = self.app(name)
        containers = self.services.store.containers(app.id)
        began = time.time() - MARGIN_S  # what a silent container prints from here on is new
        placed = await asyncio.get_running_loop().run_in_executor(
            self.services.work, past, self.services.operations.facts, containers, {}, SHOWN_LINES
        )
        seen: dict[str, Position] = {c.name: (began, 0) for c in containers}
        seen |= {p.line.container: p.at for p in placed}
        process, wanted = self.get_query_argument("process", ""), self.get_query_argument("q", "")
        rows = [row(p.line) for p in placed[-MOST_SHOWN:]]
        fits = [
            wanted.lower() in p.line.text.lower() and process in ("", r[1].partition(".")[0])
            for p, r in zip(placed[-MOST_SHOWN:], rows, strict=True)
        ]
        self.render(
            "logs.html",
            app=app,
            rows=list(zip(fits, rows, strict=True)),
            none=not any(fits),
            processes=sorted({c.process for c in containers}),
            process=process,
            wanted=wanted,
            after=log_positions.encode(seen),
        )

    head = get


@dataclass(frozen=True, slots=True)
class LogSource:
    """What a stream shows: ``key`` is one's own, ``containers`` are those of now (not for an event loop).

    ``exists`` raises NotFound when it is gone, NoPermission when it may be read no more.
    """

    key: str
    containers: Callable[[], list[Container]]
    exists: Callable[[], object]


class LogStream(EventStream):
    """Events ``lines``: a JSON list of [time, process, stream, HTML]; the id is where the viewer stands then."""

    def initialize(self, services: PageServices, logs: AppLogs) -> None:  # type: ignore[override]
        super().initialize(services)
        self.logs = logs

    def source(self, name: str) -> LogSource:
        """Raises GitshipError when the viewer may not."""
        app, store = self.app(name), self.services.store
        return LogSource(f"app {app.id}", partial(store.containers, app.id), partial(store.app_by_id, app.id))

    async def get(self, name: str) -> None:
        wanted = self.source(name)
        try:
            seen = log_positions.decode(self.last_id(""))
        except ValueError:
            raise HTTPError(400, "not a position in this log") from None
        self.begin()
        key = f"log {wanted.key}"
        live = self.services.live
        with live.watch(key) as watch:
            self.watch = watch
            source = self.logs.enter(wanted.key, wanted.containers, seen, lambda: live.wake(key))
            try:
                await self.send(f"retry: {RETRY_MS}\n\n".encode())
                await self._follow(wanted, source, seen)
            except (*LEFT, IndexError):  # IndexError: too slow; it comes back and goes on where it was
                self.cut()
            finally:
                self.logs.leave(wanted.key)

    async def _follow(self, wanted: LogSource, source: AppLog, seen: dict[str, Position]) -> None:
        assert self.watch is not None
        seen = source.entered(seen)
        number = source.number()
        if not source.covers(seen):
            seen = await self._catch_up(wanted, seen)
        while not self.watch.closed:
            while found := source.frame(number):
                number += 1
                if event := suited(found, seen):
                    await self.send(event)
            await self.woken(self.watch)
            try:
                wanted.exists()
            except (NotFound, NoPermission):
                break

    async def _catch_up(self, wanted: LogSource, seen: dict[str, Position]) -> dict[str, Position]:
        """What is not kept any more, from Docker."""
        missed = await self.in_background(self._missed, wanted, seen)
        if missed:
            seen = seen | {p.line.container: p.at for p in missed}
            await self.send(frame(missed, seen).event)
        return seen

    def _missed(self, wanted: LogSource, seen: dict[str, Position]) -> list[Placed]:
        return past(self.services.operations.facts, wanted.containers(), seen, READ_LINES)
