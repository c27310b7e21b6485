"""Config variables of an app, and of all apps."""

from __future__ import annotations

from collections.abc import Mapping

from gitship.deploy.job import Request
from gitship.deploy.new_release import with_changes
from gitship.errors import Conflict, NotFound, OutOfReach
from gitship.model import App, Deploy, DeployKind, Identity
from gitship.operations.app_lock import ensure_unlocked
from gitship.operations.shared import Shared


class Config:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._store = shared.store
        self._jobs = shared.jobs

    def change(
        self, app: App, changes: Mapping[str, str | None], by: Identity, *, restart: bool = True
    ) -> Deploy | None:
        """Sets (or, with None, unsets) config values; a live app gets a new release, without a build.

        With ``restart`` False, and for an app that is stopped, they wait for the next deploy.
        """
        found = self._store.confirm(app, by)
        ensure_unlocked(self._store, found)
        self._ensure_not_linked(found, changes)
        with self._store.acting(app, by) as found:
            if not restart or self._shared.nothing_runs(found):
                self._store.replace_config(found.id, with_changes(self._store.config(found.id), changes))
                return None
        config = self._store.config(found.id)
        changed = dict(changes)
        if self._jobs.queue.running(found.id) is None:  # a deploy under way may be changing the very same names
            changed = {n: v for n, v in changes.items() if config.get(n) != v}
        if not changed:
            return None
        cause = f"config {', '.join(sorted(changed))}"
        return self._jobs.submit(found, Request(DeployKind.CONFIG, cause, config=changed), by)

    def _ensure_not_linked(self, app: App, changes: Mapping[str, str | None]) -> None:
        """Raises Conflict for a variable that the app has by a link, which would hide it."""
        names = {name for name, value in changes.items() if value is not None}
        for link in self._store.service_links(app_id=app.id):
            if hidden := sorted(names & set(link.variables)):
                service = self._store.service(link.service_id).name
                raise Conflict(
                    f"{app.name} has {', '.join(hidden)} by its link to {service}",
                    f"first: services:unlink {service} {app.name}",
                )

    def change_shared(
        self, changes: Mapping[str, str | None], by: Identity, *, restart: bool
    ) -> list[tuple[App, Deploy | Conflict]]:
        """Changes what every app gets below its own config, then deploys the live apps that this reaches.

        An app that is locked keeps what it has until its next deploy: its place in the answer says why.
        """
        with self._store.acting_for_all(by):
            before = self._store.global_config()
            self._store.replace_global_config(with_changes(before, changes))
        changed = {name for name, value in changes.items() if before.get(name) != value}
        deploys: list[tuple[App, Deploy | Conflict]] = []
        for app in self._store.apps() if restart else ():
            if app.live_release is None or self._shared.stopped(app) or not changed - self._store.config(app.id).keys():
                continue
            cause = f"config of all apps: {', '.join(sorted(changed)[:5])}"
            try:
                deploys.append((app, self._jobs.submit(app, Request(DeployKind.CONFIG, cause), by)))
            except Conflict as locked:
                deploys.append((app, locked))
            except OutOfReach:
                raise
            except NotFound:  # destroyed meanwhile: the others have theirs all the same
                continue
        return deploys
