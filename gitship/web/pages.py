"""The pages for people, and the same facts as JSON."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from gitship.web import status
from gitship.web.logline import look
from gitship.web.page import Page

log = logging.getLogger(__name__)

SHOWN_LINES = 1000  # of a log; the whole one is a link away
SHOWN_DEPLOYS = 50


class OverviewPage(Page):
    """Every app at a glance; without one, the command that makes the first."""

    def get(self) -> None:
        services = self.services
        version = services.live.version  # before the store is read, so that no change falls between
        apps = status.overview(services.store, services.operations)
        self.render("overview.html", version=version, apps=apps, remote=self.remote("my-app"))

    head = get


class AppPage(Page):
    """One app: what runs, its releases and its deploys."""

    def get(self, name: str) -> None:
        store = self.services.store
        version = self.services.live.version
        app = self.app(name)
        self.render(
            "app.html",
            version=version,
            app=status.app_status(store, app, self.services.operations, store.containers(app.id)),
            releases=store.releases(app.id),
            deploys=store.deploys(app.id, limit=SHOWN_DEPLOYS),
            remote=self.remote(app.name),
        )

    head = get


class DeployPage(Page):
    """One deploy: the cause on top if it failed, its stages, and the end of its log, live while it runs."""

    async def get(self, name: str, deploy_id: str) -> None:
        app = self.app(name)
        deploy = self.deploy(app, deploy_id)
        begin, lines, end = await asyncio.get_running_loop().run_in_executor(
            self.services.files, self.log_file(app, deploy).tail, SHOWN_LINES, deploy.state.ended
        )
        self.render("deploy.html", app=app, deploy=deploy, begin=begin, lines=lines, end=end, look=look)

    head = get


class DeployLog(Page):
    """The whole log file as it is, as text."""

    async def get(self, name: str, deploy_id: str) -> None:
        app = self.app(name)
        file = self.log_file(app, self.deploy(app, deploy_id))
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        loop = asyncio.get_running_loop()
        at = 0
        with suppress(StreamClosedError):  # the reader has seen enough
            while block := await loop.run_in_executor(self.services.files, file.block, at):
                at += len(block)
                self.write(block)
                await self.flush()

    head = get


class AppsJson(Page):
    def get(self) -> None:
        services = self.services
        self.write({"apps": [app.as_json() for app in status.overview(services.store, services.operations)]})

    head = get


class Healthz(Page):
    """200 as long as the store answers: for whatever watches the server."""

    def get(self) -> None:
        try:
            answer: dict[str, Any] = {"status": "ok", "apps": len(self.services.store.apps())}
        except Exception:  # whatever the cause, the answer to "is it well?" is no
            log.exception("the store does not answer")
            self.set_status(503)
            answer = {"status": "the store does not answer", "hint": "see `gitship doctor`"}
        self.write(answer)

    head = get


class NoSuchPage(Page):
    def get(self) -> None:
        raise HTTPError(404, "there is no such page")

    head = get
