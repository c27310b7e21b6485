"""What the pages say of an app: drawn from the store and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from gitship.errors import GitshipError, NotFound
from gitship.model import App, Container, Deploy, DeployState, Release
from gitship.store import Store


class Addresses(Protocol):
    """What the pages need of deploy.operations.Operations."""

    def urls(self, app: App) -> list[str]: ...


class AppState(StrEnum):
    """An app in a word."""

    LIVE = "live"
    DEPLOYING = "deploying"
    FAILED = "failed"
    NEVER = "never deployed"


@dataclass(frozen=True, slots=True)
class AppStatus:
    """``live`` is what visitors see, ``deploy`` the newest one, ``processes`` the number of containers by type."""

    app: App
    state: AppState
    live: Release | None
    deploy: Deploy | None
    processes: Mapping[str, int]
    urls: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The form that /api/apps answers; times in epoch seconds. Config stays out of it: values are secrets."""
        live, deploy = self.live, self.deploy
        return {
            "name": self.app.name,
            "state": self.state,
            "urls": list(self.urls),
            "processes": dict(self.processes),
            "release": live
            and {
                "number": live.number,
                "commit": live.commit,
                "image_bytes": live.image_bytes,
                "created_at": live.created_at,
                "created_by": live.created_by,
            },
            "deploy": deploy
            and {
                "id": deploy.id,
                "kind": deploy.kind,
                "state": deploy.state,
                "commit": deploy.commit,
                "created_at": deploy.created_at,
                "finished_at": deploy.finished_at,
                "failed_stage": deploy.failed_stage,
                "reason": deploy.reason,
                "hint": deploy.hint,
            },
        }


def app_state(newest: Deploy | None, has_live: bool) -> AppState:
    """A canceled or superseded deploy says nothing of the app; one that drains has switched visitors already."""
    if newest and not newest.state.ended and not newest.state.switched:
        return AppState.DEPLOYING
    if newest and newest.state is DeployState.FAILED:
        return AppState.FAILED
    return AppState.LIVE if has_live else AppState.NEVER


def app_status(store: Store, app: App, addresses: Addresses, containers: Iterable[Container]) -> AppStatus:
    """``containers`` may be those of all apps."""
    newest = next(iter(store.deploys(app.id, limit=1)), None)
    return AppStatus(
        app=app,
        state=app_state(newest, app.live_release is not None),
        live=_live_release(store, app),
        deploy=newest,
        processes=Counter(c.process for c in containers if c.app_id == app.id),
        urls=_urls(app, addresses),
    )


def overview(store: Store, addresses: Addresses) -> list[AppStatus]:
    """Every app, by name."""
    by_app: dict[int, list[Container]] = {}
    for container in store.containers():
        by_app.setdefault(container.app_id, []).append(container)
    return [app_status(store, app, addresses, by_app.get(app.id, ())) for app in store.apps()]


def _live_release(store: Store, app: App) -> Release | None:
    try:
        return store.release(app.live_release) if app.live_release is not None else None
    except NotFound:  # the app was destroyed between two reads
        return None


def _urls(app: App, addresses: Addresses) -> tuple[str, ...]:
    try:
        return tuple(addresses.urls(app))
    except GitshipError:  # gone meanwhile; a page without an address is better than none
        return ()
