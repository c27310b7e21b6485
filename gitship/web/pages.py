"""The pages for people."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable
from contextlib import suppress

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from gitship.commands import access
from gitship.deploy.gates import MAINTENANCE
from gitship.deploy.looking import ProcessStatus
from gitship.errors import GitshipError
from gitship.model import App, Deploy, Identity
from gitship.web import ansi, figures, stagebar, warnings
from gitship.web.logline import look, shown
from gitship.web.page import Page, Services
from gitship.web.status import AppState, Statuses, timeline

SHOWN_LINES = 1000  # of a log; the whole one is a link away
SHOWN_DEPLOYS = 30
DENSE_FROM = 24  # apps; a row each then
OVERVIEW_KEPT_S = 1.0  # for everybody who may see the same apps: 200 viewers who are told of a change are one page
MOST_OVERVIEWS = 50

Kept = dict[tuple[object, ...], tuple[float, bytes]]


def scope(identity: Identity, apps: list[str]) -> list[str] | None:
    """The apps whose changes concern the key; None for all."""
    return apps if identity.limited else None


class OverviewPage(Page):
    """Every app at a glance; without one, the command that makes the first."""

    open_to_all = True

    def initialize(self, services: Services, kept: Kept) -> None:  # type: ignore[override]
        super().initialize(services)
        self.kept = kept

    async def get(self) -> None:
        services = self.services
        await services.health.fresh()
        if self.identity is None:
            self._public()
            return
        apps = access.apps(services.store, self.me)
        version = services.live.version_of(scope(self.me, [app.name for app in apps]))
        key = (self.me.fingerprint, self.me.role, self.me.apps, self.request.host, version)
        kept = self.kept.get(key)
        if kept and time.monotonic() - kept[0] < OVERVIEW_KEPT_S:
            self.finish(kept[1])
            return
        statuses = Statuses(services.store, services.operations, services.health).of_all(apps)
        commits = await services.commits.of((s.app, s.live.commit) for s in statuses if s.live)
        found = warnings.of_apps(services.store, statuses, services.health)
        if not self.me.limited:
            found = [*warnings.of_server(services.settings, services.health), *found]
        page = self.render_string(
            "overview.html",
            version=version,
            apps=sorted(statuses, key=lambda s: s.calm),
            dense=len(statuses) > DENSE_FROM,
            commits=commits,
            warnings=found,
            machine=None if self.me.limited else figures.machine(services.settings.data_dir),
            measured=any(s.visits for s in statuses),
            remote=self.remote("my-app"),
        )
        if len(self.kept) >= MOST_OVERVIEWS:
            self.kept.clear()
        self.kept[key] = time.monotonic(), page
        self.finish(page)

    head = get

    def _public(self) -> None:
        """What strangers see: up or down, if the owner wants that, and nothing else."""
        services = self.services
        if not services.settings.web.public:
            raise HTTPError(401, "sign in with your SSH key")
        statuses = Statuses(services.store, services.operations, services.health).of_all(services.store.apps())
        self.render("public.html", apps=[s for s in statuses if s.live])


class AppPage(Page):
    """One app: what runs, and its releases and deploys as a timeline."""

    async def get(self, name: str) -> None:
        store = self.services.store
        app = self.app(name)
        await self.services.health.fresh()
        version = self.services.live.version_of([app.name])
        status = Statuses(store, self.services.operations, self.services.health).of(app)
        deploys = store.deploys(app.id, limit=SHOWN_DEPLOYS)
        releases = store.releases(app.id)
        wanted = [d.commit for d in deploys] + [r.commit for r in releases[:SHOWN_DEPLOYS]]
        commits = await self.services.commits.of((app, sha) for sha in wanted)
        processes = await self._processes(app)
        self.render(
            "app.html",
            version=version,
            app=status,
            commits=commits,
            steps=timeline(deploys, releases, app, commits, self.services.settings.deploy.keep_releases),
            longest=max((stagebar.stage_seconds(d) for d in deploys), default=0.0),
            lock=self.services.operations.lifecycle.locked(app),
            maintenance=store.setting(app.id, MAINTENANCE) is not None,
            containers=[(c, self.services.health.state(c), processes.get(c.name)) for c in store.containers(app.id)],
            marks=hour_marks(deploys),
            config=sorted(store.config(app.id)),
            domains=[d.name for d in store.domains(app.id)],
            warnings=warnings.of_apps(store, [status], self.services.health),
            badge=f"/badge/{app.name}.svg?token={self.services.operations.sign_ins.badge(app.id)}",
            cancelable=status.state is AppState.DEPLOYING,
            remote=self.remote(app.name),
        )

    head = get

    async def _processes(self, app: App) -> dict[str, ProcessStatus]:
        """What each container uses, by its name; nothing while Docker is silent."""
        ask = self.services.operations.processes
        try:
            found = await asyncio.get_running_loop().run_in_executor(self.services.work, ask, app.name)
        except GitshipError:
            return {}
        return {process.container: process for process in found}


def hour_marks(deploys: Iterable[Deploy]) -> list[int]:
    """The minutes of the last hour, 0 to 59, in which a deploy went live."""
    now = time.time()
    ended = [d.finished_at for d in deploys if d.state.switched and d.finished_at]
    return sorted({min(59, 60 - math.ceil((now - at) / 60)) for at in ended if now - at < 3540})


class DeployPage(Page):
    """One deploy: the cause on top if it failed, its stages, and the end of its log, live while it runs."""

    async def get(self, name: str, deploy_id: str) -> None:
        app = self.app(name)
        deploy = self.deploy(app, deploy_id)
        begin, lines, end = await asyncio.get_running_loop().run_in_executor(
            self.services.work, self.log_file(app, deploy).tail, SHOWN_LINES, deploy.state.ended
        )
        commits = await self.services.commits.of([(app, deploy.commit)])
        self.render(
            "deploy.html",
            app=app,
            deploy=deploy,
            begin=begin,
            lines=[(number, look(line), ansi.html(shown(line))) for number, line in enumerate(lines, begin.line + 1)],
            end=end,
            commit=commits.get(deploy.commit or ""),
        )

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
            while block := await loop.run_in_executor(self.services.work, file.block, at):
                at += len(block)
                self.write(block)
                await self.flush()

    head = get


class NoSuchPage(Page):
    def get(self) -> None:
        raise HTTPError(404, "there is no such page")

    head = get
