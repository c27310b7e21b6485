"""Pages and JSON of backing services: all of them, one, and what its server prints."""

from __future__ import annotations

import time
from functools import partial

from gitship.console import visible_apps
from gitship.errors import GitshipError
from gitship.model import Container, Identity, Role
from gitship.model.services import Service
from gitship.web import service_view
from gitship.web.api import MOST_LINES, JsonHandler
from gitship.web.app_log_stream import past, row
from gitship.web.app_logs import MOST_SHOWN, SHOWN_LINES, LogSource, LogStream
from gitship.web.event_stream import ChangeStream
from gitship.web.log_positions import MARGIN_S, Position, encode
from gitship.web.page import Page, PageServices
from gitship.web.service_figures import topic
from gitship.web.service_view import ServiceView, task_json

SHOWN_TASKS = 10
SHOWN_TIMES = 5
SHOWN_TASK_LINES = 200
MOST_TASKS = 100


async def visible(services: PageServices, by: Identity) -> list[ServiceView]:
    """With figures of now, where these came in time."""
    found = services.operations.services.visible(by)
    await services.figures.fresh(found)
    return service_view.views(services.store, services.operations, services.figures, found, by)


async def named(services: PageServices, name: str, by: Identity) -> ServiceView:
    """Raises NotFound, the same for one that is not there and one that the key may not know of."""
    service = services.operations.services.named(name, by)
    await services.figures.fresh([service])
    return service_view.views(services.store, services.operations, services.figures, [service], by)[0]


def version(services: PageServices, names: list[str]) -> int:
    return services.live.version_of([topic(name) for name in names])


class ServicesPage(Page):
    """All that the key may know of."""

    async def get(self) -> None:
        found = await visible(self.services, self.me)
        names = [view.service.name for view in found]
        self.render("services.html", services=found, version=version(self.services, names))

    head = get


class ServicePage(Page):
    """One: figures, links, what was done to it; the lines of its last task for those who may read them."""

    async def get(self, name: str) -> None:
        view = await named(self.services, name, self.me)
        service, operations = view.service, self.services.operations
        reads = may_read(self, service)
        lines = operations.services.tasks.lines(view.task, SHOWN_TASK_LINES) if view.task and reads else []
        self.render(
            "service.html",
            view=view,
            version=version(self.services, [service.name]),
            tasks=self.services.store.service_tasks(service.id)[:SHOWN_TASKS],
            lines=lines,
            reads=reads,
            kept=operations.services.kept(service),
            times=operations.service_backups.times(service, self.me)[-SHOWN_TIMES:] if reads else [],
        )

    head = get


class ServiceChanges(ChangeStream):
    """See ``ChangeStream``; of one service, or of all that the key may know of."""

    async def get(self, name: str | None = None) -> None:
        operations = self.services.operations
        if name is not None:
            operations.services.named(name, self.me)
        await self.follow(lambda: version(self.services, self._names(name)))

    def _names(self, name: str | None) -> list[str]:
        if name is not None:
            return [name]
        return [service.name for service in self.services.operations.services.visible(self.me)]


def may_read(page: Page, service: Service) -> bool:
    """Whether the key may read what it prints, as `services:logs` wants it."""
    return page.may(Role.DEPLOYER) and page.services.store.may_use_service(service, page.me)


class ServiceLogsPage(Page):
    """The last lines of its server; ``q`` in the query hides others."""

    async def get(self, name: str) -> None:
        self.require(Role.DEPLOYER, "logs of services")
        service = self.services.operations.services.named(name, self.me)
        began = time.time() - MARGIN_S
        container = await self.in_background(self.services.operations.services.container, service, self.me)
        containers = [container] if container else []
        placed = await self.in_background(past, self.services.operations.facts, containers, {}, SHOWN_LINES)
        seen: dict[str, Position] = {c.name: (began, 0) for c in containers}
        seen |= {p.line.container: p.at for p in placed}
        wanted = self.get_query_argument("q", "")
        lines = placed[-MOST_SHOWN:]
        fits = [wanted.lower() in p.line.text.lower() for p in lines]
        self.render(
            "service_logs.html",
            service=service,
            rows=[(fit, row(p.line)) for fit, p in zip(fits, lines, strict=True)],
            none=not any(fits),
            wanted=wanted,
            after=encode(seen),
            running=bool(containers),
        )

    head = get


class ServiceLogStream(LogStream):
    """See ``LogStream``."""

    def source(self, name: str) -> LogSource:
        self.require(Role.DEPLOYER, "logs of services")
        operations = self.services.operations.services
        service = operations.named(name, self.me)
        confirm = partial(self.services.store.confirm_service, service, self.me)
        confirm()
        return LogSource(topic(service), partial(_containers, self.services, service, self.me), confirm)


def _containers(services: PageServices, service: Service, by: Identity) -> list[Container]:
    """None while Docker, or who may not any more, has none."""
    try:
        found = services.operations.services.container(service, by)
    except GitshipError:
        return []
    return [found] if found else []


# -- JSON


class ServicesHandler(JsonHandler):
    async def get(self) -> None:
        self.write({"services": [view.as_json() for view in await visible(self.services, self.me)]})

    head = get


class ServiceHandler(JsonHandler):
    async def get(self, name: str) -> None:
        view = await named(self.services, name, self.me)
        tasks = self.services.store.service_tasks(view.service.id)[:MOST_TASKS]
        kept = self.services.operations.services.kept(view.service)
        self.write(
            view.as_json()
            | {
                "tasks": [task_json(task) for task in tasks],
                "kept": [{"version": old.version, "until": old.until} for old in kept],
            }
        )

    head = get


class ServiceLogsHandler(JsonHandler):
    async def get(self, name: str) -> None:
        if not self.may(Role.DEPLOYER):
            raise visible_apps.denied("logs of services", self.me, Role.DEPLOYER)
        service = self.services.operations.services.named(name, self.me)
        container = await self.in_background(self.services.operations.services.container, service, self.me)
        containers = [container] if container else []
        placed = await self.in_background(past, self.services.operations.facts, containers, {}, MOST_LINES)
        lines = [
            {"at": p.line.at, "container": p.line.container, "stream": p.line.stream, "text": p.line.text}
            for p in placed
        ]
        self.write({"lines": lines})

    head = get
