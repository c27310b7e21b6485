"""/metrics for Prometheus, from the store and Docker.

Totals of deploys are of all that the store remembers, so they outlive a restart; those of traffic begin with gitship.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from tornado.web import HTTPError

from gitship.console import visible_apps
from gitship.model import STATUS_PAGE, App, Deploy, DeployState
from gitship.model.backups import BackupSubject, SubjectKind
from gitship.model.services import Service
from gitship.model.traffic import LATENCY_BOUNDS_S, PER_DOUBLING, Traffic
from gitship.model.uptime import DAY_S
from gitship.observe.traffic import StoredStats
from gitship.services.overdue import overdue
from gitship.store import Store
from gitship.web import service_view, usage
from gitship.web.health import Health
from gitship.web.page import Page, PageServices
from gitship.web.status import Statuses

BUCKETS_S = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0)
MOST_DEPLOYS = 10_000  # per app


class MetricsPage(Page):
    """For a token of a key, with its apps, or to whoever asks on the server itself."""

    open_to_all = True
    tokens = True

    async def get(self) -> None:
        if self.identity is None and not self.on_this_machine:
            raise HTTPError(401, "send a token in the header `Authorization: Bearer`, or ask on the server itself")
        await self.services.health.fresh()
        store, operations = self.services.store, self.services.operations
        apps = store.apps() if self.identity is None else visible_apps.apps(store, self.identity)
        backing = store.services() if self.identity is None else operations.services.visible(self.identity)
        await self.services.figures.fresh(backing)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(
            MetricsCollector(self.services, apps, backing, whole=self.identity is None or not self.identity.limited)
        )
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(registry))

    head = get


class MetricsCollector(Collector):
    """One scrape's."""

    def __init__(self, services: PageServices, apps: list[App], backing: list[Service], *, whole: bool) -> None:
        self._store: Store = services.store
        self._health: Health = services.health
        self._operations = services.operations
        self._stats: StoredStats = services.operations.stats
        self._data_dir = services.settings.data_dir
        self._apps = apps
        self._backing = service_view.views(self._store, self._operations, services.figures, backing, None)
        self._services_of_apps = backing
        self._timezone = services.settings.cron.timezone
        self._whole = whole

    def collect(self) -> Iterator[Metric]:
        yield from self._deploys()
        yield from self._up()
        yield from self._containers()
        yield from self._events()
        yield from self._traffic()
        yield from self._certificates()
        yield from self._services()
        yield from self._backups()
        if self._whole:
            machine = usage.machine(self._data_dir)
            yield _gauge("gitship_disk_free_bytes", "free space on the disk of data_dir", machine.disk_free_bytes)
            yield _gauge("gitship_memory_free_bytes", "available memory", machine.memory_free_bytes)
            yield _gauge("gitship_load1", "load of the last minute", machine.load)
            if self._health.cpu_percent is not None:
                yield _gauge("gitship_cpu_percent", "CPU use of all CPUs together", self._health.cpu_percent)

    def _deploys(self) -> Iterator[Metric]:
        deploys = {app.name: self._store.deploys(app.id, limit=MOST_DEPLOYS) for app in self._apps}
        results = CounterMetricFamily("gitship_deploys", "finished deploys", labels=["app", "result"])
        seconds = HistogramMetricFamily(
            "gitship_deploy_seconds", "from the request to the end", labels=["app", "result"]
        )
        waiting = 0
        for name, found in deploys.items():
            ended = [d for d in found if d.state.ended]
            waiting += sum(d.state in (DeployState.RECEIVED, DeployState.QUEUED) for d in found)
            for state, count in Counter(d.state for d in ended).items():
                results.add_metric([name, state], count)
                buckets, total = _buckets([d for d in ended if d.state is state])
                seconds.add_metric([name, state], buckets=buckets, sum_value=total)
        yield results
        yield seconds
        yield _gauge("gitship_deploys_waiting", "deploys waiting in the queue", waiting)

    def _up(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "gitship_app_up", "1 if the app answers its visitors; only apps with a release", labels=["app"]
        )
        statuses = Statuses(self._store, self._operations, self._health)
        for status in statuses.of_all(app for app in self._apps if app.live_release is not None):
            up.add_metric([status.app.name], int(status.up))
        yield up

    def _containers(self) -> Iterator[Metric]:
        wanted = GaugeMetricFamily(
            "gitship_containers", "containers of live releases", labels=["app", "process", "state"]
        )
        names = {app.id: app.name for app in self._apps}
        found = [c for c in self._store.containers() if c.app_id in names]
        counted = Counter((names[c.app_id], c.process, self._health.state(c) or "unknown") for c in found)
        for labels, count in counted.items():
            wanted.add_metric(list(labels), count)
        yield wanted

    def _events(self) -> Iterator[Metric]:
        happened = GaugeMetricFamily(
            "gitship_container_events",
            "recorded crashes and similar events, at most 500 per app",
            labels=["app", "kind"],
        )
        restarts = GaugeMetricFamily(
            "gitship_container_restarts", "restarts of live containers", labels=["app", "process"]
        )
        for app in self._apps:
            events = self._store.container_events(app.id)
            for kind, count in Counter(event.kind for event in events).items():
                happened.add_metric([app.name, kind], count)
            live = self._store.containers(app.id)
            deaths = {c.id: max((e.deaths for e in events if e.container_id == c.id), default=0) for c in live}
            for process in dict.fromkeys(c.process for c in live):
                restarts.add_metric([app.name, process], sum(deaths[c.id] for c in live if c.process == process))
        yield happened
        yield restarts

    def _services(self) -> Iterator[Metric]:
        """A figure that is not known has no sample."""
        labels = ["service", "engine"]
        up = GaugeMetricFamily("gitship_service_up", "1 if the service's server runs and answers", labels=labels)
        families = {
            "connections": GaugeMetricFamily("gitship_service_connections", "open connections", labels=labels),
            "size_bytes": GaugeMetricFamily("gitship_service_size_bytes", "size of its data", labels=labels),
            "memory_bytes": GaugeMetricFamily("gitship_service_memory_bytes", "memory in use", labels=labels),
        }
        limit = GaugeMetricFamily("gitship_service_memory_limit_bytes", "memory limit", labels=labels)
        for view in self._backing:
            values = [view.service.name, view.service.engine]
            if view.state:
                up.add_metric(values, int(view.up))
            limit.add_metric(values, view.service.memory_bytes)
            for name, family in families.items():
                if (figure := getattr(view.figures, name)) is not None:
                    family.add_metric(values, figure)
        yield up
        yield from families.values()
        yield limit

    def _certificates(self) -> Iterator[Metric]:
        ends = GaugeMetricFamily(
            "gitship_certificate_expires_seconds",
            "when the certificate expires, Unix time; app is empty for the status page",
            labels=["app", "source"],
        )
        days = GaugeMetricFamily(
            "gitship_certificate_days",
            "days until the certificate expires; negative if expired",
            labels=["app", "source"],
        )
        names = {app.id: app.name for app in self._apps} | ({STATUS_PAGE.id: ""} if self._whole else {})
        for certificate in self._store.certificates():
            if certificate.app_id in names:
                labels = [names[certificate.app_id], certificate.source]
                ends.add_metric(labels, certificate.not_after)
                days.add_metric(labels, (certificate.not_after - time.time()) / DAY_S)
        yield ends
        yield days

    def _backups(self) -> Iterator[Metric]:
        """The label ``service`` is what `backups:list` calls the name, also of volumes and the server."""
        age = GaugeMetricFamily(
            "gitship_backup_age_seconds", "age of the newest verified backup", labels=["service", "kind"]
        )
        late = GaugeMetricFamily(
            "gitship_backup_overdue", "1 without a verified backup in twice the schedule's interval",
            labels=["service", "kind", "target"],
        )  # fmt: skip
        wal = GaugeMetricFamily(
            "gitship_point_in_time_age_seconds", "since all of the service's WAL was at its target", labels=["service"]
        )
        now = time.time()
        for service in self._services_of_apps:
            if archive := self._store.open_wal_archive(service.id):
                wal.add_metric([service.name], now - (archive.seen_at or archive.opened_at))
        subjects = [service.subject for service in self._services_of_apps]
        schedules = [one for one in self._store.backup_schedules() if self._tells(one.subject)]
        for subject in dict.fromkeys([*subjects, *(schedule.subject for schedule in schedules)]):
            verified = self._store.verified_backups(subject)
            if verified:
                age.add_metric([subject.name, subject.kind], now - max(verified.values()))
            own = sorted((one for one in schedules if one.subject == subject), key=lambda one: one.target)
            for target, found in itertools.groupby(own, key=lambda one: one.target):
                tells = [overdue(schedule, verified, self._timezone, now) for schedule in found]
                late.add_metric([subject.name, subject.kind, target], int(any(tells)))
        yield age
        yield late
        yield wal

    def _tells(self, subject: BackupSubject) -> bool:
        """Whether who asks may know of it."""
        if subject.kind is SubjectKind.SERVER:
            return self._whole
        if subject.kind is SubjectKind.VOLUME:
            return any(app.id == subject.owner for app in self._apps)
        return any(service.id == subject.owner for service in self._services_of_apps)

    def _traffic(self) -> Iterator[Metric]:
        """Since gitship started."""
        counted = self._stats.metrics().apps
        traffic = {app.name: counted[app.name] for app in self._apps if app.name in counted}
        requests = CounterMetricFamily("gitship_requests", "requests of visitors", labels=["app", "answered_by"])
        errors = CounterMetricFamily("gitship_errors", "5xx responses", labels=["app", "made_by"])
        sent = CounterMetricFamily("gitship_sent_bytes", "bytes sent to visitors, headers and bodies", labels=["app"])
        seconds = HistogramMetricFamily("gitship_first_byte_seconds", "time to first byte", labels=["app"])
        for name, found in traffic.items():
            for how in ("hits", "stale", "misses", "passes", "pipes", "own", "failed"):
                requests.add_metric([name, how], getattr(found, how))
            errors.add_metric([name, "app"], found.app_errors)
            errors.add_metric([name, "gitship"], found.front_errors)
            sent.add_metric([name], found.sent_bytes)
            seconds.add_metric([name], buckets=_latency(found), sum_value=None)
        yield requests
        yield errors
        yield sent
        yield seconds


def _latency(traffic: Traffic) -> list[tuple[str, float]]:
    """Cumulative, at every doubling: as many buckets as can be told apart in a drawing."""
    below = list(itertools.accumulate(traffic.latency))
    bounds = list(enumerate(LATENCY_BOUNDS_S))[::PER_DOUBLING]
    return [*((f"{bound:.4g}", float(below[n])) for n, bound in bounds), ("+Inf", float(below[-1]))]


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _buckets(deploys: list[Deploy]) -> tuple[list[tuple[str, float]], float]:
    times = [d.lasted_s(d.created_at) for d in deploys]
    below = [(str(limit), float(sum(t <= limit for t in times))) for limit in BUCKETS_S]
    return [*below, ("+Inf", float(len(times)))], sum(times)
