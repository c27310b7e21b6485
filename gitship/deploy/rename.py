"""Renames a serving app: new containers and route first, then name and repository together.

Until then the setting ``RENAMING`` holds the new name: it is reserved, its host is answered for the proof through
Varnish, and a gitship that was killed in between gives the repository its old name back.
"""

from __future__ import annotations

import dataclasses
import logging
from contextlib import suppress

from gitship.appsettings import RENAMING
from gitship.config import Settings
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.model import App, Identity
from gitship.per_app_errors import PerAppErrors
from gitship.routing import switch
from gitship.store import Store

log = logging.getLogger("gitship.deploy")


class AppRename:
    """The steps of a rename, in the order in which the pipeline takes them; ``undo`` fits at any point before the end.

    Apps without a live release have nothing to switch: ``at_once`` is all.
    """

    def __init__(self, settings: Settings, store: Store, front: Front, repositories: Repositories) -> None:
        self._settings = settings
        self._store = store
        self._front = front
        self._repositories = repositories

    def ensure_free(self, name: str, except_for: int | None = None) -> None:
        """Raises Conflict when another app has the name, is getting it, or has its host as a domain."""
        if self._store.find_app(name) is not None:
            raise Conflict(f"app '{name}' already exists", "choose another name")
        for app_id, new in self._store.setting_of_all(RENAMING).items():
            if app_id != except_for and new == name:
                raise Conflict(
                    f"{self._store.app_by_id(app_id).name} is being renamed to {name}", "choose another name"
                )
        host = f"{name}.{self._settings.domain}"
        if host == self._settings.web.domain:
            raise Conflict(f"{host} is the status page's host name", "choose another name, or another web.domain")
        if any(d.name == host and d.app_id != except_for for d in self._store.domains()):
            raise Conflict(f"another app has the domain {host}", "choose another name, or remove that domain first")

    def begin(self, app: App, new: str) -> App:
        """Reserves the name; the app as it will be. Raises Conflict."""
        with self._store.transaction():
            self.ensure_free(new, except_for=app.id)
            self._store.set_setting(app.id, RENAMING, new)
        return dataclasses.replace(app, name=new)

    def ensure_begun(self, app: App, new: str) -> None:
        """Raises Conflict when the name is not kept for the app."""
        if self._store.setting(app.id, RENAMING) != new:
            raise Conflict(f"{app.name} is no longer being renamed to {new}", "try again")

    def route(self) -> None:
        """Both hosts are served from now on. Raises FrontError."""
        self._front.bring_hosts(lambda: switch.hosts(self._store, self._settings.domain, self._settings.web.domain))

    def commit(self, app: App, new: str) -> None:
        """The store and the repository have the new name; to be called within the transaction that makes it live.

        Raises Conflict when the name is not the app's to take any more.
        """
        self.ensure_free(new, except_for=app.id)
        own = f"{new}.{self._settings.domain}"
        if any(domain.name == own for domain in self._store.domains(app.id)):
            self._store.remove_domain(app.id, own)  # from before such names belonged to apps: it is the app's own now
        self._store.rename_app(app.id, new)
        self._store.set_setting(app.id, RENAMING, None)
        self._repositories.rename(app.name, new)

    def end(self, old: App) -> list[str]:
        """The old host is no longer served; the VCLs that may still have requests in flight.

        Varnish that does not answer now is brought to the store's state when gitship or Varnish starts again.
        """
        try:
            before = self._front.labelled(old.slug)
            self.route()
            self._front.remove(old.slug)
        except GitshipError as error:
            log.warning("%s: taking the old name out of Varnish: %s", old.name, error.message)
            return []
        return [before] if before else []

    def undo(self, app: App, new: str) -> None:
        """Nothing of the new name is left. Raises FrontError."""
        if self._store.setting(app.id, RENAMING) != new:
            return
        self._give_back(app, new)
        self.route()
        self._front.remove(dataclasses.replace(app, name=new).slug)

    def at_once(self, app: App, new: str, by: Identity) -> None:
        """Renames an app that has nothing live. Raises Conflict, NoPermission, FrontError; then it has its old name."""
        with self._store.acting(app, by) as app:
            # in here: a deploy that begins meanwhile would go on under the old name, which may be another app's soon
            if app.live_release is not None:
                raise Conflict(f"{app.name} has gone live in the meantime", "try again")
            if any(d.app_id == app.id for d in self._store.unfinished_deploys()):
                raise Conflict(
                    f"the first deploy of {app.name} is in progress", "wait for it, or cancel it with `deploys:cancel`"
                )
            self.commit(app, new)
        self.end(app)

    def settle(self) -> None:
        """After a crash: whatever was being renamed has its old name, and its repository, too."""
        apart = PerAppErrors()
        for app in self._store.apps():
            with apart.part(app.name, "taking its renaming back"):
                new = self._store.setting(app.id, RENAMING)
                if new is not None:
                    self._give_back(app, new)

    def _give_back(self, app: App, new: str) -> None:
        """Whatever had been moved already has the old name again, and the new one is free."""
        with suppress(NotFound, Conflict):  # NotFound: it had not been moved yet
            self._repositories.rename(new, app.name)
        self._store.set_setting(app.id, RENAMING, None)
