"""The same facts as JSON, for programs; documented on /api."""

from __future__ import annotations

import logging
from typing import Any

from gitship.commands import access
from gitship.errors import GitshipError
from gitship.web import figures, warnings
from gitship.web.page import Page
from gitship.web.status import Statuses, deploy_json, release_json

log = logging.getLogger(__name__)
MOST_DEPLOYS = 200


class Json(Page):
    """Also says in JSON what is wrong."""

    tokens = True

    def say_error(self, message: str, hint: str) -> None:
        if self.get_status() == 401:
            hint = f"a token in the header `Authorization: Bearer`; `{self.command('web:token NAME')}` makes one"
        self.finish({"error": message, "hint": hint})


class AppsJson(Json):
    async def get(self) -> None:
        services = self.services
        await services.health.fresh()
        statuses = Statuses(services.store, services.operations, services.health)
        self.write({"apps": [s.as_json() for s in statuses.of_all(access.apps(services.store, self.me))]})

    head = get


class AppJson(Json):
    async def get(self, name: str) -> None:
        services = self.services
        app = self.app(name)
        await services.health.fresh()
        status = Statuses(services.store, services.operations, services.health).of(app)
        found = warnings.of_apps(services.store, [status], services.health)
        self.write(
            status.as_json()
            | {
                "domains": [d.name for d in services.store.domains(app.id)],
                "config": sorted(services.store.config(app.id)),
                "warnings": [{"text": w.text, "command": w.command} for w in found],
                "instances": [
                    {"name": c.name, "process": c.process, "state": services.health.state(c)}
                    for c in services.store.containers(app.id)
                ],
            }
        )

    head = get


class ReleasesJson(Json):
    def get(self, name: str) -> None:
        app = self.app(name)
        releases = self.services.store.releases(app.id)
        self.write({"releases": [release_json(r) | {"live": r.id == app.live_release} for r in releases]})

    head = get


class DeploysJson(Json):
    def get(self, name: str) -> None:
        app = self.app(name)
        self.write({"deploys": [deploy_json(d) for d in self.services.store.deploys(app.id, limit=MOST_DEPLOYS)]})

    head = get


class DeployJson(Json):
    def get(self, name: str, deploy_id: str) -> None:
        self.write(deploy_json(self.deploy(self.app(name), deploy_id)))

    head = get


class ServerJson(Json):
    """For keys that may know of all apps."""

    async def get(self) -> None:
        access.require_all_apps(self.me, "the server's figures")
        await self.services.health.fresh()
        machine = figures.machine(self.services.settings.data_dir)
        found = warnings.of_server(self.services.settings, self.services.health)
        self.write(
            {
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


class ApiPage(Page):
    """What there is, for people."""

    def get(self) -> None:
        self.render("api.html", base=f"{self.request.protocol}://{self.request.host}")

    head = get


class Healthz(Json):
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
            log.exception("the store does not answer")
            self.set_status(503)
            answer = {"status": "the store does not answer", "hint": "see `gitship doctor`"}
        self.write(answer)

    head = get
