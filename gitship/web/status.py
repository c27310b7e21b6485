"""State of an app as the pages show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gitship.appsettings import LOCK
from gitship.deploy.deploy_json import deploy_document, iso
from gitship.errors import GitshipError, NotFound
from gitship.model import GITSHIP, App, Deploy, DeployKind, DeployState, Release
from gitship.observe.app_state import AppState, AppStates
from gitship.operations.operations import Operations
from gitship.store import Store
from gitship.web.commits import Known
from gitship.web.health import Health
from gitship.web.usage import Visits


@dataclass(frozen=True, slots=True)
class AppStatus:
    """``live`` is what visitors see, ``deploy`` the newest one, which ``made`` a release or led to it.

    ``well`` of ``containers`` run as they should.
    """

    app: App
    state: AppState
    locked: bool
    live: Release | None
    deploy: Deploy | None
    made: Release | None
    processes: Mapping[str, int]
    well: int
    containers: int
    urls: tuple[str, ...]
    visits: Visits | None = None

    @property
    def up(self) -> bool:
        """True when visitors are answered by the app; a deploy under way does not change that."""
        return self.state.up or (self.state is AppState.DEPLOYING and self.live is not None and self.well > 0)

    @property
    def calm(self) -> bool:
        """False when somebody may want to look first."""
        return self.state not in (AppState.DOWN, AppState.DEGRADED, AppState.DEPLOYING, AppState.FAILED)

    @property
    def deploy_failed(self) -> bool:
        return self.deploy is not None and self.deploy.state is DeployState.FAILED

    @property
    def rolled_back(self) -> str:
        """Why gitship itself went back to the release before; "" when it did not, or something was deployed since."""
        deploy = self.deploy
        if deploy is None or (deploy.kind, deploy.created_by) != (DeployKind.ROLLBACK, GITSHIP.key_name):
            return ""
        return deploy.cause if deploy.state.switched else ""

    def as_json(self) -> dict[str, Any]:
        """The form that /api/apps answers. Config stays out of it: values are secrets."""
        return {
            "name": self.app.name,
            "state": self.state,
            "up": self.up,
            "locked": self.locked,
            "urls": list(self.urls),
            "processes": dict(self.processes),
            "traffic": None
            if self.visits is None
            else {
                "requests_per_s": round(self.visits.requests_per_s, 3),
                "hit_ratio": self.visits.hit_ratio,
                "stale": self.visits.stale,
                "errors_per_s": round(self.visits.errors_per_s, 3),
                "p95_s": self.visits.p95_s,
            },
            "containers": {"running": self.well, "wanted": self.containers},
            "release": release_json(self.live) if self.live else None,
            "deploy": deploy_document(self.deploy, self.made) if self.deploy else None,
            "rolled_back": self.rolled_back,
        }


def release_json(release: Release) -> dict[str, Any]:
    """A release without its config."""
    return {
        "number": release.number,
        "commit": release.commit,
        "image_bytes": release.image_bytes,
        "created_at": iso(release.created_at),
        "created_by": release.created_by,
        "cause": release.cause,
    }


class Statuses:
    """Reads what all apps share once, then says of each how it is."""

    def __init__(self, store: Store, operations: Operations, health: Health) -> None:
        self._store = store
        self._operations = operations
        self._health = health
        self._locked = store.apps_with_setting(LOCK)
        self._states = AppStates(
            store, operations.pauses, health.words, health.unanswered, front_answers=health.front_answers
        )

    def of(self, app: App) -> AppStatus:
        """How it is now."""
        newest = next(iter(self._store.deploys(app.id, limit=1)), None)
        containers = self._states.containers(app)
        running, wanted = self._health.words.well(containers)
        live = live_release(self._store, app)
        return AppStatus(
            app=app,
            state=self._states.of(app, newest),
            locked=app.id in self._locked,
            live=live,
            deploy=newest,
            made=live
            if newest and newest.release_id == app.live_release
            else _release(self._store, newest.release_id if newest else None),
            processes=Counter(c.process for c in containers),
            well=running,
            containers=wanted,
            urls=_urls(app, self._operations),
            visits=self._health.visits.get(app.id),
        )

    def of_all(self, apps: Iterable[App]) -> list[AppStatus]:
        return [self.of(app) for app in apps]


def live_release(store: Store, app: App) -> Release | None:
    """None also when the app was destroyed between two reads."""
    return _release(store, app.live_release)


def _release(store: Store, release_id: int | None) -> Release | None:
    try:
        return store.release(release_id) if release_id is not None else None
    except NotFound:
        return None


def _urls(app: App, operations: Operations) -> tuple[str, ...]:
    try:
        return tuple(operations.domains.urls(app))
    except GitshipError:  # gone meanwhile; a page without an address is better than none
        return ()


@dataclass(frozen=True, slots=True)
class TimelineDeploy:
    """A deploy in the app's timeline. ``growth`` in bytes, against what was live before; ``subject`` of its commit."""

    deploy: Deploy
    release: Release | None
    live: bool
    growth: int | None
    subject: str
    author: str
    may_return: bool


def timeline(
    deploys: Iterable[Deploy], releases: Iterable[Release], app: App, commits: Known, keep: int
) -> list[TimelineDeploy]:
    """Newest first, as they come. ``may_return``: its image is kept, so that one can roll back to it."""
    by_id = {r.id: r for r in releases}
    # A failed deploy may have made a release, which was never live.
    good = [d.release_id for d in deploys if d.release_id and d.state.switched and d.release_id != app.live_release]
    never_live = {d.release_id for d in deploys if d.state.ended} - {d.release_id for d in deploys if d.state.switched}
    kept = set(list(dict.fromkeys(good))[: keep - 1])
    steps = []
    for deploy in deploys:
        release = by_id.get(deploy.release_id or 0)
        older = [r for r in by_id.values() if r.id not in never_live and release and r.number < release.number]
        before = max(older, key=lambda r: r.number, default=None)
        commit = commits.get(deploy.commit or (release.commit if release else None) or "")
        shown = release if deploy.state.switched or not deploy.state.ended else None
        steps.append(
            TimelineDeploy(
                deploy=deploy,
                release=shown,
                live=shown is not None and shown.id == app.live_release,
                growth=shown.image_bytes - before.image_bytes if shown and before else None,
                subject=commit.subject if commit else "",
                author=commit.author.partition(" <")[0] if commit else "",
                may_return=shown is not None and shown.id in kept,
            )
        )
    return steps
