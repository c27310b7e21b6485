"""JSON API of the status page; documented on /api."""

from __future__ import annotations

import logging
import time
from typing import Any

from tornado.web import HTTPError

from gitship.console import visible_apps
from gitship.deploy.deploy_json import deploy_document
from gitship.errors import GitshipError
from gitship.model import App, Deploy
from gitship.model.uptime import DAY_S
from gitship.store.uptime import KEPT_DAYS
from gitship.web import api_json, traffic_chart, usage, warnings
from gitship.web.app_log_stream import past
from gitship.web.app_page import linked, measure
from gitship.web.page import Page
from gitship.web.status import Statuses, release_json

log = logging.getLogger(__name__)
MOST_DEPLOYS = 200
MOST_EVENTS = 100
MOST_LINES = 1000  # of each container


class JsonHandler(Page):
    """Also says in JSON what is wrong."""

    tokens = True

    def say_error(self, message: str, hint: str) -> None:
        if self.get_status() == 401:
            hint = (
                f"send a token in the header `Authorization: Bearer`; to create one: `{self.command('web:token NAME')}`"
            )
        self.finish({"error": message, "hint": hint})


class AppsHandler(JsonHandler):
    async def get(self) -> None:
        services = self.services
        await services.health.fresh()
        statuses = Statuses(services.store, services.operations, services.health)
        self.write({"apps": [s.as_json() for s in statuses.of_all(visible_apps.apps(services.store, self.me))]})

    head = get


class AppHandler(JsonHandler):
    async def get(self, name: str) -> None:
        services, store = self.services, self.services.store
        app = self.app(name)
        await services.health.fresh()
        status = Statuses(store, services.operations, services.health).of(app)
        measured = await self.in_background(measure, services, app, traffic_chart.HOUR)
        found = warnings.of_apps(store, [status], services.health)
        today = int(time.time() // DAY_S)
        events = store.container_events(app.id, limit=MOST_EVENTS)
        self.write(
            status.as_json()
            | {
                "domains": [d.name for d in store.domains(app.id)],
                "hosts": [api_json.host(row) for row in services.health.certificates.get(app.id, [])],
                "config": sorted(store.config(app.id)),
                "services": [api_json.link(view, link) for view, link in await linked(services, app)],
                "warnings": [{"text": w.text, "command": w.command} for w in found],
                "instances": [
                    api_json.instance(c, services.health.state(c), measured.processes.get(c.name))
                    for c in store.containers(app.id)
                ],
                "events": [api_json.event(e) for e in reversed(events)],
                "cache": api_json.rules(measured.rules, measured.files_until),
                "uptime": api_json.uptime(store.uptime(today - KEPT_DAYS + 1, app.id)),
            }
        )

    head = get


class TrafficHandler(JsonHandler):
    async def get(self, name: str) -> None:
        app = self.app(name)
        word = self.get_query_argument("span", traffic_chart.HOUR.name)
        reach = traffic_chart.REACHES.get(word)
        if reach is None:
            raise HTTPError(400, "a span is %s", ", ".join(traffic_chart.REACHES))
        measured = await self.in_background(measure, self.services, app, reach)
        self.write(api_json.traffic(reach, measured.steps, measured.live))

    head = get


class ReleasesHandler(JsonHandler):
    async def get(self, name: str) -> None:
        app = self.app(name)
        releases = self.services.store.releases(app.id)[:MOST_DEPLOYS]
        commits = await self.services.commits.of((app, r.commit) for r in releases)
        told = [
            release_json(r) | api_json.said_of(r.commit, commits) | {"live": r.id == app.live_release} for r in releases
        ]
        self.write({"releases": told})

    head = get


class _DeploysHandlerBase(JsonHandler):
    async def told(self, app: App, deploys: list[Deploy]) -> list[dict[str, Any]]:
        """Each with its release and what its commit says of itself."""
        by_id = {release.id: release for release in self.services.store.releases(app.id)}
        told = [deploy_document(deploy, by_id.get(deploy.release_id or 0)) for deploy in deploys]
        commits = await self.services.commits.of((app, found["commit"]) for found in told)
        return [found | api_json.said_of(found["commit"], commits) for found in told]


class DeploysHandler(_DeploysHandlerBase):
    async def get(self, name: str) -> None:
        app = self.app(name)
        deploys = self.services.store.deploys(app.id, limit=MOST_DEPLOYS)
        self.write({"deploys": await self.told(app, deploys)})

    head = get


class DeployHandler(_DeploysHandlerBase):
    async def get(self, name: str, deploy_id: str) -> None:
        app = self.app(name)
        [told] = await self.told(app, [self.deploy(app, deploy_id)])
        self.write(told)

    head = get


class LogsHandler(JsonHandler):
    """The last lines of the live containers; text as it was printed."""

    async def get(self, name: str) -> None:
        app = self.app(name)
        containers = self.services.store.containers(app.id)
        placed = await self.in_background(past, self.services.operations.facts, containers, {}, MOST_LINES)
        lines = [
            {"at": p.line.at, "container": p.line.container, "stream": p.line.stream, "text": p.line.text}
            for p in placed
        ]
        self.write({"lines": lines})

    head = get


class ServerHandler(JsonHandler):
    """For keys that may know of all apps."""

    async def get(self) -> None:
        visible_apps.require_all_apps(self.me, "the server's figures")
        await self.services.health.fresh()
        machine = usage.machine(self.services.settings.data_dir)
        found = warnings.of_server(self.services.settings, self.services.health)
        self.write(
            {
                "cpu_percent": self.services.health.cpu_percent,
                "load": machine.load,
                "processors": machine.processors,
                "memory_bytes": machine.memory_bytes,
                "memory_free_bytes": machine.memory_free_bytes,
                "disk_bytes": machine.disk_bytes,
                "disk_free_bytes": machine.disk_free_bytes,
                "warnings": [{"text": w.text, "command": w.command} for w in found],
            }
        )

    head = get


class NotFoundHandler(JsonHandler):
    def get(self) -> None:
        raise HTTPError(404, "no such address")

    head = get

    def say_error(self, message: str, hint: str) -> None:
        super().say_error(message, hint or "the page /api lists all of them")


class ApiPage(Page):
    """What there is, for people."""

    def get(self) -> None:
        self.render("api.html", base=f"{self.request.protocol}://{self.request.host}")

    head = get


class Healthz(JsonHandler):
    """200 as long as the store answers: for whatever watches the server."""

    open_to_all = True

    def get(self) -> None:
        try:
            self.services.store.server_id()
            answer: dict[str, Any] = {"status": "ok"}
        except GitshipError as error:
            self.set_status(503)
            answer = {"status": error.message, "hint": error.hint}
        except Exception:  # whatever the cause, the answer to "is it well?" is no
            log.exception("the database does not answer")
            self.set_status(503)
            answer = {"status": "the database does not answer", "hint": "see `gitship doctor`"}
        self.write(answer)

    head = get
