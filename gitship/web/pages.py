"""HTML pages of the status page."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from gitship.console import visible_apps
from gitship.model import STATUS_PAGE, Identity, UptimeDay
from gitship.model.uptime import DAY_S
from gitship.store.uptime import KEPT_DAYS
from gitship.web import ansi, service_pages, uptime_bar, usage, warnings
from gitship.web.page import Page, PageServices
from gitship.web.page_cache import PageCache
from gitship.web.push_line import look, shown
from gitship.web.service_figures import topic
from gitship.web.status import Statuses

PUBLIC_KEPT_S = 5.0  # strangers come as often as they like
SHOWN_LINES = 1000  # of a log; the whole one is a link away
DENSE_FROM = 24  # apps; a row each then
STRANGERS = "strangers"


def scope(identity: Identity, apps: list[str]) -> list[str] | None:
    """The apps whose changes concern the key; None for all."""
    return apps if identity.limited else None


class OverviewPage(Page):
    """Every app at a glance; without one, the command that makes the first."""

    open_to_all = True

    def initialize(self, services: PageServices, kept: PageCache) -> None:  # type: ignore[override]
        super().initialize(services)
        self.kept = kept

    async def get(self) -> None:
        services = self.services
        await services.health.fresh()
        if self.identity is None:
            self._public()
            return
        apps = visible_apps.apps(services.store, self.me)
        backing = await service_pages.visible(services, self.me)
        topics = [topic(view.service) for view in backing]
        version = services.live.version_of(scope(self.me, [*(app.name for app in apps), *topics]))
        key = (self.me.fingerprint, self.me.role, self.me.apps, self.request.host, version)
        if page := self.kept.find(key):
            self.finish(page)
            return
        statuses = Statuses(services.store, services.operations, services.health).of_all(apps)
        commits = await services.commits.of((s.app, s.live.commit) for s in statuses if s.live)
        found = warnings.of_apps(services.store, statuses, services.health) + warnings.of_services(backing)
        found += warnings.of_backups(await self.in_background(services.operations.backup_schedules.all, self.me))
        if not self.me.limited:
            found = [*warnings.of_server(services.settings, services.health), *found]
        page = self.render_string(
            "overview.html",
            version=version,
            apps=sorted(statuses, key=lambda s: s.calm),
            dense=len(statuses) > DENSE_FROM,
            commits=commits,
            warnings=found,
            machine=None if self.me.limited else usage.machine(services.settings.data_dir),
            own_hosts=services.health.certificates.get(STATUS_PAGE.id, ()),
            cpu_percent=services.health.cpu_percent,
            measured=any(s.visits for s in statuses),
            remote=self.remote("my-app"),
        )
        self.kept.keep(key, page)
        self.finish(page)

    head = get

    def _public(self) -> None:
        """What strangers see: up or down, now and for 90 days, if the owner wants that, and nothing else."""
        services = self.services
        if not services.settings.web.public:
            raise HTTPError(401, "sign in with your SSH key")
        if page := self.kept.find(STRANGERS, PUBLIC_KEPT_S):
            self.finish(page)
            return
        statuses = Statuses(services.store, services.operations, services.health).of_all(services.store.apps())
        today = int(time.time() // DAY_S)
        days: dict[int, list[UptimeDay]] = {}
        for day in services.store.uptime(today - KEPT_DAYS + 1):
            days.setdefault(day.app_id, []).append(day)
        shown = sorted((s for s in statuses if s.live), key=lambda s: s.up)
        bars = [(status, uptime_bar.bar(days.get(status.app.id, ()), today)) for status in shown]
        page = self.render_string("public.html", apps=bars, down=sum(not s.up for s in shown))
        self.kept.keep(STRANGERS, page)
        self.finish(page)


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
    """The whole log file as it is, as text; also for programs."""

    tokens = True

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
        raise HTTPError(404, "no such page")

    head = get
