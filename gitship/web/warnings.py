"""Warnings about apps and the server, each with a command that helps."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from gitship.config import Settings
from gitship.https.app_https import HostStatus
from gitship.https.sites import is_status_page, word
from gitship.model import STATUS_PAGE, CertificateSource, Container, Deploy, DeployState, Site
from gitship.observe.app_state import AppState
from gitship.operations.backup_schedules import ScheduleStatus
from gitship.operations.ps import CRASH_LOOP
from gitship.store import Store
from gitship.web import usage
from gitship.web.health import Health
from gitship.web.service_view import ServiceView
from gitship.web.status import AppStatus

LOOPS = (CRASH_LOOP, "restarting")
LOW_DISK = 0.1  # of the disk
QUEUE_WAITS_S = 120.0
CERTIFICATE_DAYS = 14.0
# Build caches, and images without a name. With -a it would also be what rollbacks need.
FREES_DISK = "docker builder prune && docker image prune"


@dataclass(frozen=True, slots=True)
class Warning:
    """``command`` is an admin command unless ``on_server``, then one for the server's own shell; ``app`` may be ""."""

    text: str
    command: str
    app: str = ""
    on_server: bool = False


def of_apps(store: Store, statuses: Iterable[AppStatus], health: Health) -> list[Warning]:
    """What is wrong with these apps."""
    statuses = list(statuses)
    by_id = {s.app.id: s for s in statuses}
    containers: dict[int, list[Container]] = {}
    for container in store.containers():
        containers.setdefault(container.app_id, []).append(container)
    found = [w for s in statuses for w in _of_app(store, s, containers.get(s.app.id, []), health)]
    return found + _queue([d for d in store.unfinished_deploys() if d.app_id in by_id], by_id)


def of_services(views: Iterable[ServiceView]) -> list[Warning]:
    """What is wrong with these services."""
    return [
        Warning(f"The service {view.service.name} is {view.state}", f"services:info {view.service.name}")
        for view in views
        if view.down
    ]


def of_backups(schedules: Iterable[ScheduleStatus]) -> list[Warning]:
    """Which are overdue."""
    return [
        Warning(
            f"{one.schedule.subject.name} has no verified backup at {one.schedule.target} in twice the interval",
            f"backups:list {one.schedule.subject.name}",
        )
        for one in schedules
        if one.overdue
    ]


def of_server(settings: Settings, health: Health) -> list[Warning]:
    """What is wrong with the server; not for a key that is limited to some apps."""
    found = []
    if health.silent:
        found.append(Warning(f"Docker: {health.silent}", "gitship doctor", on_server=True))
    if not health.front_answers:
        found.append(Warning("Varnish does not answer: no app can be reached", "gitship doctor", on_server=True))
    machine = usage.machine(settings.data_dir)
    if machine.disk_free_bytes < max(LOW_DISK * machine.disk_bytes, 2 * settings.docker.min_free):
        share = machine.disk_free_bytes / machine.disk_bytes
        found.append(Warning(f"The disk is filling: {share:.0%} is free", FREES_DISK, on_server=True))
    return found + [w for host in health.certificates.get(STATUS_PAGE.id, ()) if (w := _of_host(STATUS_PAGE, host))]


def _of_app(store: Store, status: AppStatus, containers: list[Container], health: Health) -> list[Warning]:
    name = status.app.name
    found = []
    looping = [c.name for c in containers if health.state(c) in LOOPS]
    if looping:
        before = [r for r in store.good_releases(status.app.id) if status.live and r.number < status.live.number]
        helps = f"releases:rollback {name}" if before else f"logs {name}"
        found.append(Warning(f"{looping[0]} is in a crash loop", helps, name))
    elif status.state in (AppState.DOWN, AppState.DEGRADED) and status.well < status.containers:
        text = f"{name} is {status.state}: {status.well} of {status.containers} containers are healthy"
        found.append(Warning(text, f"ps:restart {name}", name))
    elif status.state is AppState.DOWN and health.front_answers:
        text = f"{name} is down: its containers are running, but visitors get error pages"
        found.append(Warning(text, f"logs {name}", name))
    if status.state is AppState.DOWN and status.visits and status.visits.stale:
        text = (
            f"{name}: {status.visits.stale} requests in the last 10 minutes were answered with expired pages "
            "from the cache"
        )
        found.append(Warning(text, f"cache:status {name}", name))
    return found + [w for host in health.certificates.get(status.app.id, ()) if (w := _of_host(status.app, host))]


def _of_host(site: Site, host: HostStatus) -> Warning | None:
    app = "" if is_status_page(site) else site.name
    if host.problem:
        bring, ask = f"certs:add {word(site)} < chain-and-key.pem", f"https:renew {word(site)} --force"
        helps = bring if host.retry_at is None else ask  # a name for which nobody is asked
        if host.held:  # nobody can hurry it
            helps = f"https:status {word(site)}".replace(" --status-page", "")
        return Warning(f"HTTPS of {host.host}: {host.problem}", helps, app)
    if host.certificate is None or host.state == "self-signed":
        return None
    days = (host.certificate.not_after - time.time()) / 86_400
    if days >= CERTIFICATE_DAYS:
        return None
    when = f"ends in {days:.0f} days" if days > 0 else "has ended"
    own = host.certificate.source is CertificateSource.OWN
    helps = f"certs:add {word(site)} < chain-and-key.pem" if own else f"https:renew {word(site)} --force"
    return Warning(f"The certificate of {host.host} {when}", helps, app)


def _queue(unfinished: list[Deploy], by_id: dict[int, AppStatus]) -> list[Warning]:
    now = time.time()
    waiting = [d for d in unfinished if d.state in (DeployState.RECEIVED, DeployState.QUEUED)]
    running = [d for d in unfinished if d not in waiting]
    found = []
    for deploy in waiting:
        if now - deploy.created_at <= QUEUE_WAITS_S:
            continue
        name = by_id[deploy.app_id].app.name
        ahead = min(running, key=lambda d: (d.app_id != deploy.app_id, d.created_at), default=None)
        text = f"Deploy {deploy.id} of {name} has waited for {(now - deploy.created_at) / 60:.0f} min"
        if ahead is None:
            found.append(Warning(text, f"deploys:list {name}", name))
            continue
        owner = by_id[ahead.app_id].app.name
        text = f"{text}: deploy {ahead.id} of {owner} is {ahead.state}"
        found.append(Warning(text, f"deploys:cancel {owner}", name))
    return found
