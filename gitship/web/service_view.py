"""Services as the pages, the API and `/metrics` show them, each with what the viewer's key may know of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gitship.deploy.deploy_json import iso
from gitship.model import App, Identity
from gitship.model.services import Service, ServiceLink, ServiceState, ServiceTask
from gitship.operations.operations import Operations
from gitship.operations.service_status import ServiceStatus
from gitship.store import Store
from gitship.web.service_figures import ServiceFigures

RUNNING = "running"


@dataclass(frozen=True, slots=True)
class ServiceProof:
    """``verified_at`` is when its newest verified backup was made, None if there is none (epoch seconds).

    ``kept`` is False for an engine that keeps nothing to back up.
    """

    verified_at: float | None = None
    overdue: bool = False
    scheduled: bool = False
    kept: bool = True

    @property
    def look(self) -> str:
        """Green only when it was verified within twice the interval of each of its schedules."""
        if self.overdue or (self.kept and self.verified_at is None and not self.scheduled):
            return "down"
        return "live" if self.verified_at is not None and self.scheduled else "stopped"


@dataclass(frozen=True, slots=True)
class ServiceView:
    """``state`` is what `services:list` calls the status, "" while it is not known."""

    service: Service
    state: str
    figures: ServiceStatus
    links: tuple[tuple[App, ServiceLink], ...]
    task: ServiceTask | None
    backup: ServiceProof

    @property
    def up(self) -> bool:
        return self.state == RUNNING

    @property
    def down(self) -> bool:
        """True when it should serve and is known not to; not while somebody works on it."""
        busy = self.task is not None and self.task.finished_at is None
        return self.service.state is ServiceState.READY and self.state not in (RUNNING, "") and not busy

    @property
    def look(self) -> str:
        """The class of its state's colour."""
        return "live" if self.up else "down" if self.down else "stopped" if not self.state else "busy"

    def as_json(self) -> dict[str, Any]:
        """The form that /api/services answers; no password is in it."""
        service, figures = self.service, self.figures
        return {
            "name": service.name,
            "engine": service.engine,
            "version": service.version,
            "image": service.image,
            "state": self.state or None,
            "up": self.up,
            "connections": None if figures.connections is None else round(figures.connections),
            "size_bytes": None if figures.size_bytes is None else round(figures.size_bytes),
            "memory_used_bytes": figures.memory_bytes,
            "memory_bytes": service.memory_bytes,
            "verified_backup_at": iso(self.backup.verified_at) if self.backup.verified_at is not None else None,
            "backup_overdue": self.backup.overdue,
            "upgrade": {"version": figures.upgrade.version, "due": figures.upgrade.same} if figures.upgrade else None,
            "created_at": iso(service.created_at),
            "links": [
                {"app": app.name, "alias": link.alias, "read_only": link.read_only, "link_state": link.state.value}
                for app, link in self.links
            ],
            "task": task_json(self.task) if self.task else None,
        }


def task_json(task: ServiceTask) -> dict[str, Any]:
    """Something that was done to a service."""
    return {
        "kind": task.kind,
        "result": task.state.value,
        "by": task.by,
        "started_at": iso(task.started_at),
        "finished_at": iso(task.finished_at) if task.finished_at else None,
        "reason": task.reason,
        "hint": task.hint,
    }


def views(
    store: Store, operations: Operations, figures: ServiceFigures, services: Iterable[Service], by: Identity | None
) -> list[ServiceView]:
    """``by`` None is the server's own: it sees every link."""
    tasks = store.newest_service_tasks()
    apps = {app.id: app for app in store.apps()}
    found = []
    for service in services:
        links = store.service_links(service_id=service.id)
        seen = [(apps[k.app_id], k) for k in links if k.app_id in apps and (by is None or by.sees(k.app_id))]
        status = figures.of(service)
        state = status.status if service.state is ServiceState.READY else service.state.value
        proof = _proof(store, operations, service)
        found.append(ServiceView(service, state, status, tuple(seen), tasks.get(service.id), proof))
    return found


def _proof(store: Store, operations: Operations, service: Service) -> ServiceProof:
    verified, schedules = store.verified_backups(service.subject), store.backup_schedules(service.subject)
    return ServiceProof(
        max(verified.values(), default=None),
        any(operations.backup_schedules.overdue(schedule, verified) for schedule in schedules),
        bool(schedules),
        operations.services.keeps_data(service),
    )
