"""Backing services: made, linked to apps, changed, removed. What takes time is a task that outlives its client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from gitship.errors import AlreadyThere, Conflict, GitshipError, NotFound, UsageError, nearest
from gitship.model import App, Container, Identity
from gitship.model.services import ALIAS, LinkState, Service, ServiceLink, ServiceTask, ServiceVolume
from gitship.operations.app_lock import ensure_unlocked
from gitship.operations.service_apps import LinkedApps
from gitship.operations.service_status import ServiceStatus, status
from gitship.operations.shared import Shared
from gitship.services.engine_file import ServiceEngine
from gitship.services.room import ServicesRoom
from gitship.services.tasks import TaskJournal


class BackingServices:
    """Every method takes the service and who acts, and both are checked again as it acts; raises GitshipError."""

    def __init__(self, shared: Shared, room: ServicesRoom, apps: LinkedApps) -> None:
        self._store = shared.store
        self._engine = shared.engine
        self._room = room
        self._apps = apps
        self.tasks = room.tasks

    # -- looking

    def engines(self) -> list[ServiceEngine]:
        return list(self._room.catalog().engines.values())

    def ensure_known(self, engine_text: str) -> None:
        """Raises NotFound for an engine, or a version, that nothing can be made of."""
        self._room.catalog().find(engine_text)

    def visible(self, by: Identity) -> list[Service]:
        """Those that the key may know of, by name."""
        return [s for s in self._store.services() if self._sees(s, by)]

    def named(self, name: str, by: Identity) -> Service:
        """Raises NotFound with the nearest name that the key may know of."""
        found = {service.name: service for service in self.visible(by)}
        if name not in found:
            hint = f"did you mean '{near}'?" if (near := nearest(name, found)) else "see `services:list`"
            raise NotFound(f"no service '{name[:80]}'", hint)
        return found[name]

    def links(self, service: Service) -> list[tuple[App, ServiceLink]]:
        links = self._store.service_links(service_id=service.id)
        return [(self._store.app_by_id(link.app_id), link) for link in links]

    def of_app(self, app: App) -> list[tuple[Service, ServiceLink]]:
        links = self._store.service_links(app_id=app.id)
        return [(self._store.service(link.service_id), link) for link in links]

    def status(self, service: Service, *, deep: bool = False) -> ServiceStatus:
        """As ``service_status.status``."""
        return status(self._engine, self._room, service, deep=deep)

    def keeps_data(self, service: Service) -> bool:
        """False when its engine has nothing to back up."""
        engine = self._room.catalog().engines.get(service.engine)
        return engine is None or engine.dump is not None

    def kept(self, service: Service) -> list[ServiceVolume]:
        """What can be gone back to, the newest last."""
        return self._room.volumes.kept(service)

    def logs(self, service: Service, by: Identity, tail: int) -> Iterator[str]:
        """The newest lines of its server's output."""
        now = self._store.confirm_service(service, by)
        if not now.container:
            return
        for line in self._engine.logs(now.container, tail=tail):
            yield line.text

    def last_task(self, service: Service) -> ServiceTask | None:
        return next(iter(self._store.service_tasks(service.id)), None)

    def tells(self, task: ServiceTask, by: Identity) -> bool:
        """Whether the key may see why it failed and what it printed: nothing of apps that it must not know of."""
        return all(by.sees(app_id) for app_id in task.apps)

    def container(self, service: Service, by: Identity) -> Container | None:
        """The one that serves, as logs name it; None while there is none."""
        now = self._store.confirm_service(service, by)
        try:
            name = self._engine.inspect(now.container).name if now.container else ""
        except NotFound:
            name = ""
        return Container(now.container, name, 0, 0, now.name, 1, "", None) if name else None

    def ensure_unlinked(self, service: Service) -> None:
        """Raises Conflict while an app has it."""
        if linked := [app.name for app, _ in self.links(service)]:
            raise Conflict(
                f"{service.name} is linked to {', '.join(linked)}", f"first: services:unlink {service.name} {linked[0]}"
            )

    # -- made and removed

    def create(
        self, name: str, engine_text: str, by: Identity, *, memory_bytes: int | None = None,
        link_to: App | None = None, alias: str = "", fill: Callable[[Service, str], None] | None = None,
    ) -> ServiceTask:  # fmt: skip
        """A new service, with a database and no login yet but for ``link_to``; ``fill`` brings data into it."""
        service = self._room.new.record(name, engine_text, by, memory_bytes=memory_bytes, link_to=link_to)

        def work(journal: TaskJournal) -> None:
            self._room.lifecycle.create(service, journal, partial(fill, service) if fill is not None else None)
            if link_to is not None:
                self._link(service, link_to, alias, by, journal)
            self._tell(journal, self._store.service(service.id), "is ready")

        return self._room.new.begin(service, "create", by, work, about=link_to)

    def destroy(self, service: Service, by: Identity) -> ServiceTask:
        """With its data and all that is kept of them; backups stay. Raises Conflict while an app has it."""
        with self._store.acting_on_service(service, by) as now:
            self.ensure_unlinked(now)

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_service(service, by)
            self.ensure_unlinked(now)
            with journal.stage(f"Destroying {now.name}"):
                self._room.lifecycle.remove(now)

        return self.tasks.begin(service, "destroy", by, work)

    def restart(self, service: Service, by: Identity) -> ServiceTask:
        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_service(service, by)
            with self._apps.waiting(now, by, journal):
                self._room.lifecycle.restart(now, journal)
            self._tell(journal, self._store.service(service.id), "is ready")

        return self.tasks.begin(service, "restart", by, work)

    def resize(self, service: Service, memory_bytes: int, by: Identity) -> ServiceTask:
        engine = self._room.containers.engine_of(service)
        if memory_bytes < engine.least_memory_bytes:
            raise UsageError(f"{engine.title} needs at least {engine.least_memory_bytes >> 20} MB", "give it more")

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_service(service, by)
            with self._apps.waiting(now, by, journal):
                self._room.lifecycle.resize(now, memory_bytes, journal)
            self._tell(journal, self._store.service(service.id), f"has {memory_bytes >> 20} MB")

        return self.tasks.begin(service, "resize", by, work)

    # -- links

    def link(
        self, service: Service, app: App, by: Identity, *, alias: str = "", read_only: bool = False, scheme: str = "",
        restart: bool = True,
    ) -> ServiceTask:  # fmt: skip
        """The app gets a login of its own, and a deploy which brings it to its containers."""
        _ensure_alias(alias)
        ensure_unlocked(self._store, self._store.confirm(app, by))
        links = self._store.service_links(service_id=service.id, app_id=app.id)
        if links and not alias:
            if restart and not self._has(app, links[0]):  # gitship was killed before the deploy
                return self._deploy_again(service, app, links[0], by)
            raise AlreadyThere(
                f"{app.name} is already linked to {service.name}, as {links[0].alias}",
                "for a second link name it: --alias NAME",
            )
        name = alias or self._room.links.free_alias(service, app)
        self._room.links.ensure_linkable(service, app, name, read_only=read_only)

        def work(journal: TaskJournal) -> None:
            self._link(service, app, name, by, journal, read_only=read_only, scheme=scheme, restart=restart)

        return self.tasks.begin(service, "link", by, work, about=app)

    def unlink(self, service: Service, app: App, by: Identity, *, alias: str = "") -> ServiceTask:
        """A deploy takes it from the app's containers; then its login goes, and the way to the server. Data stay."""
        ensure_unlocked(self._store, self._store.confirm(app, by))
        link = self._one_link(service, app, alias)

        def work(journal: TaskJournal) -> None:
            with self._store.transaction():
                now, owner = self._store.confirm_service(service, by), self._store.confirm(app, by)
                self._store.change_link(link.id, state=LinkState.ENDING, deploy=None)
            try:
                self._apps.deploy(
                    owner, f"unlink {now.name} ({link.alias})", by, journal,
                    begun=lambda deploy_id: self._store.change_link(link.id, deploy=deploy_id),
                )  # fmt: skip
            finally:  # one that has failed leaves the link, for the next deploy, too
                self._room.links.settle(now)
                self._room.links.drop_logins(now)
            waits = any(one.id == link.id for one in self._store.service_links(service_id=now.id))
            left = "; its login goes when the containers of before have ended" if waits else ""
            journal.line(f"=====> {owner.name} is not linked to {now.name} any more{left}")

        return self.tasks.begin(service, "unlink", by, work)

    def promote(self, service: Service, app: App, by: Identity, *, alias: str = "") -> ServiceTask:
        """The service takes the alias from another one in the app, in one deploy; it is linked first if need be."""
        _ensure_alias(alias)
        ensure_unlocked(self._store, self._store.confirm(app, by))
        usual = alias or self._room.containers.engine_of(service).alias
        if self._store.service_links(service_id=service.id, app_id=app.id):
            if self._one_link(service, app, "").alias == usual:
                raise AlreadyThere(f"{service.name} is {usual}_URL of {app.name} already", "no change")
            self._room.links.ensure_not_hidden(app, usual)
        elif not self._holder(app, usual):
            self._room.links.ensure_linkable(service, app, usual, read_only=False)

        def work(journal: TaskJournal) -> None:
            if not self._store.service_links(service_id=service.id, app_id=app.id):
                free = "" if self._holder(app, usual) else usual
                self._link(service, app, free, by, journal, restart=False)
            with self._store.transaction():
                now, owner = self._store.confirm_service(service, by), self._store.confirm(app, by)
                link, other = self._one_link(now, owner, ""), self._holder(owner, usual)
                if other is not None:
                    self._store.change_link(other.id, alias=f"{usual}#")
                self._store.change_link(link.id, alias=usual)
                if other is not None and other.id != link.id:
                    self._store.change_link(other.id, alias=link.alias)
            journal.detail(f"{usual}_URL of {owner.name} is {now.name}")
            self._apps.deploy(owner, f"promote {now.name} to {usual}", by, journal)

        return self.tasks.begin(service, "promote", by, work)

    def rotate(self, service: Service, by: Identity) -> ServiceTask:
        """New passwords for every linked app, each by a deploy; the old ones end with the containers that have them.

        An app that does not get its own keeps the others from nothing. Raises Conflict when the engine has no logins.
        """
        engine = self._room.containers.engine_of(service)
        if not engine.own_logins:
            raise Conflict(
                f"{engine.title} has no passwords that can be changed while apps use it",
                f"make a new service, then: services:promote NEW APP; at last destroy {service.name}",
            )

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_service(service, by)
            with journal.stage("New password of its superuser"):
                now = self._room.superusers.change(now)
            self._room.links.end_temporary(now)
            failed: list[GitshipError] = []
            for app, link in self.links(now):
                if link.state is not LinkState.ACTIVE:
                    continue
                try:
                    with journal.stage(f"New login for {app.name}"):
                        self._room.links.rotate(now, link)
                    self._apps.deploy(app, f"rotate {now.name}", by, journal)
                except GitshipError as error:
                    journal.line(f" !     {app.name}: {error.message}")
                    failed.append(GitshipError(f"{app.name}: {error.message}", error.hint))
            self._room.links.settle(now)
            self._room.links.drop_logins(now)
            if failed:
                raise GitshipError("; ".join(error.message for error in failed), failed[0].hint)
            journal.line(f"=====> {now.name} has new passwords; the old ones end with the containers that have them")

        return self.tasks.begin(service, "rotate", by, work)

    # -- within

    def _holder(self, app: App, alias: str) -> ServiceLink | None:
        """The app's link of that alias."""
        return next((link for link in self._store.service_links(app_id=app.id) if link.alias == alias), None)

    def _sees(self, service: Service, by: Identity) -> bool:
        if by.apps is None or service.made_by == by.key_id:
            return True
        return any(by.sees(link.app_id) for link in self._store.service_links(service_id=service.id))

    def _has(self, app: App, link: ServiceLink) -> bool:
        """The app's containers have been made since it has the link, or it runs none."""
        return not self._apps.runs(app) or any(
            deploy.created_at >= link.created_at and deploy.state.switched for deploy in self._store.deploys(app.id)
        )

    def _deploy_again(self, service: Service, app: App, link: ServiceLink, by: Identity) -> ServiceTask:
        def work(journal: TaskJournal) -> None:
            self._store.confirm_service(service, by)
            self._apps.deploy(app, f"link {service.name} as {link.alias}", by, journal)

        return self.tasks.begin(service, "link", by, work, about=app)

    def _one_link(self, service: Service, app: App, alias: str) -> ServiceLink:
        links = [
            link
            for link in self._store.service_links(service_id=service.id, app_id=app.id)
            if not alias or link.alias == alias
        ]
        if not links:
            raise NotFound(f"{app.name} is not linked to {service.name}", f"see `services:info {service.name}`")
        if len(links) > 1:
            names = ", ".join(link.alias for link in links)
            raise UsageError(f"{app.name} has several links to {service.name}: {names}", "say which with --alias NAME")
        return links[0]

    def _link(
        self, service: Service, app: App, alias: str, by: Identity, journal: TaskJournal, *, read_only: bool = False,
        scheme: str = "", restart: bool = True,
    ) -> None:  # fmt: skip
        now = self._store.confirm_service(service, by)
        with journal.stage(f"Linking {now.name} to {app.name}"):
            alias = alias or self._room.links.free_alias(now, app)
            link = self._room.links.add(now, app, alias, by, read_only=read_only, scheme=scheme)
        journal.detail(f"{app.name} gets {link.alias}_URL and its parts")
        if restart:
            self._apps.deploy(app, f"link {now.name} as {link.alias}", by, journal)

    def _tell(self, journal: TaskJournal, service: Service, what: str) -> None:
        journal.line(f"=====> {service.label} {what}")


def _ensure_alias(alias: str) -> None:
    """Raises UsageError unless it is "" or can begin the names of variables."""
    if alias and not ALIAS.fullmatch(alias):
        raise UsageError(f"'{alias[:40]}' cannot be an alias", "capital letters, digits and '_', as in REPORTS")
