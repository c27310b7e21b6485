"""What an owner should know before visitors do, each with the command that helps."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from gitship.config import Settings
from gitship.deploy.https.operations import HostStatus
from gitship.model import STATUS_PAGE, Container, Deploy, DeployState
from gitship.store import Store
from gitship.web import figures
from gitship.web.health import Health
from gitship.web.status import AppState, AppStatus

LOW_DISK = 0.1  # of the disk
QUEUE_WAITS_S = 120.0
CERTIFICATE_DAYS = 14.0


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
    found = [w for s in statuses for w in _of_app(s, containers.get(s.app.id, []), health)]
    return found + _queue([d for d in store.unfinished_deploys() if d.app_id in by_id], by_id)


def of_server(settings: Settings, health: Health) -> list[Warning]:
    """What is wrong with the server; not for a key that is limited to some apps."""
    found = []
    if health.silent:
        found.append(Warning(f"Docker: {health.silent}", "gitship doctor", on_server=True))
    machine = figures.machine(settings.data_dir)
    if machine.disk_free_bytes < max(LOW_DISK * machine.disk_bytes, 2 * settings.docker.min_free):
        share = machine.disk_free_bytes / machine.disk_bytes
        found.append(Warning(f"The disk is filling: {share:.0%} is free", "docker image prune -a", on_server=True))
    return found + [w for host in health.certificates.get(STATUS_PAGE.id, ()) if (w := _of_host("", host))]


def _of_app(status: AppStatus, containers: list[Container], health: Health) -> list[Warning]:
    name = status.app.name
    found = []
    looping = [c.name for c in containers if health.state(c) == "restarting"]
    if looping:
        found.append(Warning(f"{looping[0]} crashes and is started again and again", f"logs {name}", name))
    elif status.state in (AppState.DOWN, AppState.DEGRADED):
        found.append(
            Warning(f"{name} is {status.state}: {status.well} of {status.containers} containers are well",
                    f"ps:list {name}", name)
        )  # fmt: skip
    return found + [w for host in health.certificates.get(status.app.id, ()) if (w := _of_host(name, host))]


def _of_host(app: str, host: HostStatus) -> Warning | None:
    if host.problem:
        return Warning(f"HTTPS of {host.host}: {host.problem}", f"https:status {app}".strip(), app)
    if host.certificate is None or host.state == "self-signed":
        return None
    days = (host.certificate.not_after - time.time()) / 86_400
    if days >= CERTIFICATE_DAYS:
        return None
    when = f"ends in {days:.0f} days" if days > 0 else "has ended"
    return Warning(f"The certificate of {host.host} {when}", f"https:status {app}".strip(), app)


def _queue(unfinished: list[Deploy], by_id: dict[int, AppStatus]) -> list[Warning]:
    now = time.time()
    waiting = [d for d in unfinished if d.state in (DeployState.RECEIVED, DeployState.QUEUED)]
    return [
        Warning(
            f"Deploy {d.id} of {by_id[d.app_id].app.name} has waited for {(now - d.created_at) / 60:.0f} min",
            f"deploys:list {by_id[d.app_id].app.name}",
            by_id[d.app_id].app.name,
        )
        for d in waiting
        if now - d.created_at > QUEUE_WAITS_S
    ]
