"""Links of apps to services: each with a login of its own, which comes before the app has it and goes after.

A link that is being added has its network and login made first; one that ends loses them once a deploy has taken it
from the app. Whatever is half done when gitship is killed, ``settle`` finishes or undoes: every action may be repeated.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress

from gitship.appsettings import STOPPED
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.model import App, DeployKind, DeployState, Identity
from gitship.model.services import LINK_PARTS, LinkState, Service, ServiceLink, ServiceLogin
from gitship.services.actions import ServiceActions
from gitship.services.engine_file import EngineAction
from gitship.services.service_container import ServiceContainers
from gitship.store import Store

log = logging.getLogger("gitship.services")
PASSWORD_BYTES = 18
ACTION_S = 60.0
TEMPORARY, TEMPORARY_READ_ONLY = "p_", "pr_"  # what names of people's logins begin with


def new_password() -> str:
    """Of letters and digits: no URL, shell or SQL needs to quote it."""
    return secrets.token_hex(PASSWORD_BYTES)


class ServiceLinks:
    """Safe from any thread; ``Service`` and ``App`` are checked again by whoever asks for something."""

    def __init__(self, store: Store, containers: ServiceContainers) -> None:
        self._store = store
        self._containers = containers
        self._actions: ServiceActions = containers.actions

    def free_alias(self, service: Service, app: App) -> str:
        """The engine's, else one by the service's name."""
        taken = {link.alias for link in self._store.service_links(app_id=app.id)}
        usual = self._containers.engine_of(service).alias
        name = service.name.upper().replace("-", "_")
        return usual if usual not in taken else name if name[0].isalpha() else f"SERVICE_{name}"

    def ensure_linkable(self, service: Service, app: App, alias: str, *, read_only: bool) -> None:
        """Raises Conflict when the app has that link already, or variables that it would hide; GitshipError."""
        engine = self._containers.engine_of(service)
        if read_only and engine.login_read_only is None:
            raise Conflict(f"{engine.title} has no read-only logins", "link it without --read-only")
        self.ensure_free(app, alias)

    def ensure_free(self, app: App, alias: str) -> None:
        """Raises Conflict when the app has a link of that alias, or variables that one would hide."""
        for link in self._store.service_links(app_id=app.id):
            if link.alias == alias:
                owner = self._store.service(link.service_id).name
                raise Conflict(f"{app.name} has {alias}_URL by its link to {owner}", "choose another with --alias NAME")
        self.ensure_not_hidden(app, alias)

    def ensure_not_hidden(self, app: App, alias: str) -> None:
        """Raises Conflict when the app has variables of its own that a link of that alias would hide."""
        hidden = sorted({f"{alias}_{part}" for part in LINK_PARTS} & (self._store.config(app.id).keys()))
        if hidden:
            raise Conflict(
                f"{app.name} has its own {', '.join(hidden)}",
                f"choose another name with --alias NAME, or first: config:unset {app.name} {' '.join(hidden)}",
            )

    def add(
        self, service: Service, app: App, alias: str, by: Identity, *, read_only: bool = False, scheme: str = "",
        declared: str = "",
    ) -> ServiceLink:  # fmt: skip
        """The app's next containers get it. Raises Conflict or GitshipError, with nothing left of it."""
        container_id = self._containers.running(service)
        engine = self._containers.engine_of(service)
        url = engine.url if not scheme else f"{scheme}:{engine.url.partition(':')[2]}"
        with self._store.transaction():
            service, app = self._store.confirm_service(service, by), self._store.confirm(app, by)
            self.ensure_linkable(service, app, alias, read_only=read_only)
            link = self._store.create_link(
                service, app.id, alias, url, engine.port, read_only=read_only, declared=declared
            )
        try:
            login = self._new_login(service, link, container_id)
            self._containers.join(service, link, container_id)
            self._store.change_link(link.id, state=LinkState.ACTIVE, login=login.id)
            return self._store.service_link(link.id)  # gone, if the app was destroyed meanwhile
        except BaseException:
            self._drop(service, link)
            self.drop_logins(service)
            raise

    def temporary(self, service: Service, expires_at: float, *, read_only: bool) -> ServiceLogin:
        """A login for a person. Raises Conflict when the engine has no read-only ones, GitshipError."""
        container_id = self._containers.running(service)
        engine = self._containers.engine_of(service)
        action = engine.login_read_only if read_only else engine.login
        if action is None:
            raise Conflict(f"{engine.title} has no read-only logins", "leave out --read-only")
        name = f"{TEMPORARY_READ_ONLY if read_only else TEMPORARY}{secrets.token_hex(4)}"
        login = self._store.create_temporary_login(service, name, new_password(), expires_at)
        try:
            self._run(service, action, login, container_id)
        except BaseException:
            self._store.doom_login(login.id)
            raise
        return login

    def end_temporary(self, service: Service) -> None:
        """They are dropped by the next ``settle``."""
        for login in self._store.temporary_logins(service.id):
            self._store.doom_login(login.id)

    def rotate(self, service: Service, link: ServiceLink) -> None:
        """A new login for the app's next containers; the one before goes once a deploy has gone live since."""
        login = self._new_login(service, link, self._containers.running(service))
        self._store.change_link(link.id, login=login.id)

    def renew(self, service: Service, container_id: str) -> None:
        """Makes every login again in a server whose data came from elsewhere."""
        engine = self._containers.engine_of(service)
        for link in self._store.service_links(service_id=service.id):
            for login in self._store.service_logins(link_id=link.id):
                self._run(service, self._login_action(engine.login, engine.login_read_only, link), login, container_id)
        for login in self._store.temporary_logins(service.id):
            reads = login.name.startswith(TEMPORARY_READ_ONLY) and engine.login_read_only
            self._run(service, reads or engine.login, login, container_id)

    def settle(self, service: Service) -> list[str]:
        """Ends what can be ended now, and what a gitship that was killed has left half; what was done.

        Logins that nobody has any more are for ``drop_logins``. No task of the service may run but the caller's.
        """
        done = []
        for link in self._store.service_links(service_id=service.id):
            app = self._store.app_by_id(link.app_id)
            if link.state is LinkState.ADDING:
                self._drop(service, link)
                done.append(f"removed the unfinished link of {app.name}")
            elif link.state is LinkState.ENDING and not self._pending(link, app):
                if self._brought(link, app):
                    self._drop(service, link)
                    done.append(f"removed the link of {app.name}")
                else:  # its containers have it yet
                    self._store.change_link(link.id, state=LinkState.ACTIVE, deploy=None)
                    done.append(f"kept the link of {app.name}: the deploy that was to end it did not go live")
            elif link.state is LinkState.ACTIVE:
                self._doom_unused(link, app)
        return done

    def let_go(self, app: App) -> None:
        """The app is being destroyed: nothing of its links stays, whether or not their servers run."""
        for link in self._store.service_links(app_id=app.id):
            service = self._store.service(link.service_id)
            self._drop(service, link)
            self.drop_logins(service)

    def drop_logins(self, service: Service, limit_s: float = ACTION_S) -> list[str]:
        """Drops those that are to be dropped, each within ``limit_s``; what was done. The rest is for the next time."""
        done = []
        for login in self._store.service_logins(service_id=service.id):
            try:
                action = self._containers.engine_of(service).drop_login
                self._run(service, action, login, self._containers.running(service), limit_s)
            except GitshipError as error:
                log.warning("%s: login %s is not dropped yet: %s", service.name, login.name, error.message)
                break
            self._store.delete_login(login.id)
            done.append(f"dropped login {login.name}")
        return done

    # -- within

    def _doom_unused(self, link: ServiceLink, app: App) -> None:
        """Of a rotation: each login but the newest, once all containers are newer than that."""
        logins = {login.id: login for login in self._store.service_logins(link_id=link.id)}
        old = [login for login in logins.values() if login.id != link.login]
        since = logins[link.login or 0].created_at
        newer = app.live_release is None or any(
            d.created_at >= since and d.state is DeployState.LIVE and d.kind is not DeployKind.SCALE  # which keeps some
            for d in self._store.deploys(app.id)
        )
        if old and newer and not self._containers.one_offs_of_before(app, since):
            for login in old:
                self._store.doom_login(login.id)

    def _pending(self, link: ServiceLink, app: App) -> bool:
        """The deploy that ends it, or the next, is under way; or a one-off runs that has it yet."""
        if link.deploy is None:
            return False
        return any(d.app_id == app.id for d in self._store.unfinished_deploys()) or self._containers.one_offs_of_before(
            app, self._store.deploy(link.deploy).created_at
        )

    def _brought(self, link: ServiceLink, app: App) -> bool:
        """A deploy since has gone live, all whose containers are without the link; or the app runs nothing."""
        if app.live_release is None or self._store.setting(app.id, STOPPED):
            return True
        since = link.deploy
        return since is not None and any(
            d.id >= since and d.state is DeployState.LIVE for d in self._store.deploys(app.id)
        )

    def _new_login(self, service: Service, link: ServiceLink, container_id: str) -> ServiceLogin:
        engine = self._containers.engine_of(service)
        login = self._store.create_login(link, f"l{link.id}_{secrets.token_hex(3)}", new_password())
        try:
            self._run(service, self._login_action(engine.login, engine.login_read_only, link), login, container_id)
        except BaseException:
            self._store.doom_login(login.id)  # it may be there, or not
            raise
        return login

    def _login_action(self, usual: EngineAction, read_only: EngineAction | None, link: ServiceLink) -> EngineAction:
        return read_only if link.read_only and read_only is not None else usual

    def _run(
        self, service: Service, action: EngineAction, login: ServiceLogin, container_id: str, limit_s: float = ACTION_S
    ) -> None:
        self._actions.output(container_id, action, self._containers.values(service, login), limit_s)

    def _drop(self, service: Service, link: ServiceLink) -> None:
        """The record first: logins of a server that is down now are dropped when it is back."""
        with suppress(NotFound):
            self._containers.leave(service, link, service.container)
        self._store.delete_link(link.id)


def described(links: list[ServiceLink], apps: Mapping[int, App]) -> str:
    return ", ".join(f"{apps[link.app_id].name} ({link.alias})" for link in links if link.app_id in apps)
