"""Page of one app: containers, traffic, domains, releases and deploys."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from gitship.appfiles.cache_rules import CacheRuleInUse
from gitship.appsettings import MAINTENANCE
from gitship.commands.cache import shown_time, shown_value
from gitship.errors import GitshipError
from gitship.model import App, Deploy, Release
from gitship.model.services import ServiceLink
from gitship.model.uptime import DAY_S
from gitship.observe.app_state import AppState
from gitship.operations.ps import ProcessStatus
from gitship.store.uptime import KEPT_DAYS
from gitship.web import service_view, stage_bar, traffic_chart, uptime_bar, warnings
from gitship.web.page import Page, PageServices
from gitship.web.page_cache import PageCache
from gitship.web.service_view import ServiceView
from gitship.web.status import Statuses, timeline
from gitship.web.traffic_chart import ChartStep, Reach

SHOWN_DEPLOYS = 30
MARKED_DEPLOYS = 500  # that are looked through for marks in a plot
SHOWN_EVENTS = 10
EVENTS_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What takes too long for the event loop: ``processes`` by the container's name; nothing while Docker is silent.

    ``live`` says when releases went live, their labels and deploys' ids.
    """

    processes: dict[str, ProcessStatus]
    steps: list[ChartStep]
    live: list[tuple[float, str, int]]
    rules: list[CacheRuleInUse]
    files_until: float | None


class AppPage(Page):
    """``span`` in the query says how far back the plots go."""

    def initialize(self, services: PageServices, kept: PageCache) -> None:  # type: ignore[override]
        super().initialize(services)
        self.kept = kept

    async def get(self, name: str) -> None:
        services, store = self.services, self.services.store
        app = self.app(name)
        await services.health.fresh()
        version = services.live.version_of([app.name])
        reach = traffic_chart.REACHES.get(self.get_query_argument("span", ""), traffic_chart.HOUR)
        key = (self.me.fingerprint, self.me.role, self.me.apps, self.request.host, app.id, app.name, version, reach)
        if page := self.kept.find(key):
            self.finish(page)
            return
        status = Statuses(store, services.operations, services.health).of(app)
        deploys = store.deploys(app.id, limit=SHOWN_DEPLOYS)
        releases = store.releases(app.id)
        wanted = [d.commit for d in deploys] + [r.commit for r in releases[:SHOWN_DEPLOYS]]
        commits = await services.commits.of((app, sha) for sha in wanted)
        measured = await self.in_background(measure, services, app, reach)
        processes = measured.processes
        today = int(time.time() // DAY_S)
        page = self.render_string(
            "app.html",
            version=version,
            app=status,
            commits=commits,
            steps=timeline(deploys, releases, app, commits, services.settings.deploy.keep_releases),
            longest=max((stage_bar.stage_seconds(d) for d in deploys), default=0.0),
            lock=services.operations.apps.locked(app),
            maintenance=store.setting(app.id, MAINTENANCE) is not None,
            containers=[(c, services.health.state(c), processes.get(c.name)) for c in store.containers(app.id)],
            events=list(reversed(store.container_events(app.id, since=time.time() - EVENTS_S, limit=SHOWN_EVENTS))),
            plot=traffic_chart.plot(reach, measured.steps, measured.live, time.time()),
            reaches=traffic_chart.REACHES.values(),
            uptime=uptime_bar.bar(store.uptime(today - KEPT_DAYS + 1, app.id), today),
            rules=measured.rules,
            shown_value=shown_value,
            shown_time=shown_time,
            files_until=measured.files_until,
            config=sorted(store.config(app.id)),
            links=await linked(services, app),
            hosts=services.health.certificates.get(app.id, []),
            domains=store.domains(app.id),
            warnings=warnings.of_apps(store, [status], services.health),
            badge=f"/badge/{app.name}.svg?token={services.operations.sign_ins.badge(app.id)}",
            cancelable=status.state is AppState.DEPLOYING,
            remote=self.remote(app.name),
        )
        self.kept.keep(key, page)
        self.finish(page)

    head = get


async def linked(services: PageServices, app: App) -> list[tuple[ServiceView, ServiceLink]]:
    """The services that the app is linked to, by the link's alias."""
    links = services.operations.services.of_app(app)
    found = {service.id: service for service, _ in links}
    await services.figures.fresh(found.values())
    views = service_view.views(services.store, services.operations, services.figures, found.values(), None)
    by_id = {view.service.id: view for view in views}
    return [(by_id[service.id], link) for service, link in links]


def measure(services: PageServices, app: App, reach: Reach) -> Measured:
    """Not for an event loop."""
    store, operations = services.store, services.operations
    try:
        processes = operations.ps.processes(app)
    except GitshipError:
        processes = []
    return Measured(
        processes={p.container: p for p in processes},
        steps=traffic_chart.steps(reach, operations.stats.history(app, reach.asked_s), time.time()),
        live=went_live(store.deploys(app.id, limit=MARKED_DEPLOYS), store.releases(app.id)),
        rules=operations.serving.rules(app),
        files_until=operations.serving.files_until(app),
    )


def went_live(deploys: Iterable[Deploy], releases: Iterable[Release]) -> list[tuple[float, str, int]]:
    """When a release went live, its label, and the deploy's id."""
    labels = {release.id: release.label for release in releases}
    return [
        (deploy.finished_at, labels[deploy.release_id], deploy.id)
        for deploy in deploys
        if deploy.state.switched and deploy.finished_at and deploy.release_id in labels
    ]
