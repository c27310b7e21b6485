"""Services that an app's gitship.toml declares: made and linked by its push, unlinked when the entry goes.

Nothing that holds data is ever removed by a push, and no engine is changed by one.
"""

from __future__ import annotations

import hashlib

from gitship.appfiles import gitship_toml
from gitship.appfiles.gitship_toml import DeclaredService
from gitship.deploy.release_command import BRINGS_A_COMMIT
from gitship.deploy.rollout import Rollout
from gitship.errors import ConfigError, Conflict, DeployCanceled, DeployError, GitshipError
from gitship.model import App, DeployState, Identity
from gitship.model.services import LinkState, Service, ServiceLink
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.lifecycle import ServiceLifecycle
from gitship.services.links import ServiceLinks
from gitship.services.new_service import NewServices, prefix
from gitship.services.tasks import ServiceTasks, TaskJournal
from gitship.store import Store

MOST_NAME_CHARS = 40
HASH_CHARS = 6


class DeclaredServices:
    """The pipeline calls it once the release is there, before any of its commands run."""

    def __init__(
        self, store: Store, tasks: ServiceTasks, new: NewServices, lifecycle: ServiceLifecycle, links: ServiceLinks
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._new = new
        self._lifecycle = lifecycle
        self._links = links

    def bring(self, rollout: Rollout) -> None:
        """Raises DeployError; what was made until then stays, linked to the app, and the next push finds it."""
        job, manifest = rollout.job, rollout.manifest
        if job.kind not in BRINGS_A_COMMIT or manifest is None:
            return
        app, by = rollout.app, job.by[0]
        wanted = {one.name: one for one in manifest.services}
        for link in self._store.service_links(app_id=app.id):
            if link.declared and link.declared not in wanted and link.state is LinkState.ACTIVE:
                name = self._store.service(link.service_id).name
                self._store.change_link(link.id, state=LinkState.ENDING, deploy=job.deploy.id)
                job.journal.detail(f"unlinking {name}: no longer in {gitship_toml.FILE}; its data stay")
        for one in wanted.values():
            found = self._found(app, one)
            if found is not None:
                self._ensure_same(one, *found)
                self._adopt(one, found[1])
                continue
            with job.journal.stage(DeployState.RELEASING, f"Creating {one.engine} {one.name}"):
                try:
                    self._make(app, one, by, rollout)
                except (DeployCanceled, DeployError):
                    raise
                except GitshipError as error:
                    hint = error.hint.replace("--alias NAME", f'alias = "NAME" in {gitship_toml.FILE}')
                    raise DeployError(f"[services.{one.name}]: {error.message}", hint) from error

    def _found(self, app: App, one: DeclaredService) -> tuple[Service, ServiceLink] | None:
        """The link that is meant by the entry."""
        for link in self._store.service_links(app_id=app.id):
            service = self._store.service(link.service_id)
            if link.declared == one.name or (not link.declared and service.name in (one.name, _name(app, one))):
                return service, link
        return None

    def _adopt(self, one: DeclaredService, link: ServiceLink) -> None:
        """It is the file's from now on."""
        if link.state is LinkState.ENDING:  # taken out and put back before its deploy went live
            self._store.change_link(link.id, state=LinkState.ACTIVE, deploy=None)
        self._store.change_link(link.id, declared=one.name)

    def _ensure_same(self, one: DeclaredService, service: Service, link: ServiceLink | None = None) -> None:
        """Raises ConfigError."""
        catalog: EngineCatalog = self._new.catalog()
        engine, version = catalog.find(one.engine)
        where = f"{gitship_toml.FILE}: services.{one.name}"
        if engine.name != service.engine:
            raise ConfigError(
                f"{where} is {engine.name}, but {service.name} is {service.engine}",
                "give the new one another name; the data of this one stay",
            )
        if ":" in one.engine and engine.major(version) != engine.major(service.version):
            raise ConfigError(
                f"{where} says {one.engine}, but {service.name} has {service.version}",
                f"first: services:upgrade {service.name} {version}; then push again",
            )
        if link is not None and one.alias and one.alias != link.alias:
            raise ConfigError(
                f"{where} has the alias {one.alias}, but {service.name} is linked as {link.alias}",
                f"to change it: services:promote {service.name} APP --alias {one.alias}",
            )

    def _make(self, app: App, one: DeclaredService, by: Identity, rollout: Rollout) -> None:
        before = self._store.service_of_entry(app.id, one.name)  # of an entry that was taken out
        made = before is None
        if before is not None:
            service = self._store.confirm_service(before, by)
            self._ensure_same(one, service)
        else:
            self._ensure_linkable(app, one)
            service = self._record(app, one, by)

        def work(journal: TaskJournal) -> None:
            if made:
                self._lifecycle.create(service, journal)
            now = self._store.service(service.id)
            alias = one.alias or self._links.free_alias(now, app)
            self._links.ensure_linkable(now, app, alias, read_only=False)
            self._links.add(now, app, alias, by, declared=one.name)
            journal.detail(f"{app.name} gets {alias}_URL and its parts from {now.name}")

        task = self._new.begin(service, "create" if made else "link", by, work, made=made, about=app)
        self._tasks.follow(task, rollout.job.journal.line, rollout.job.cancel)
        if rollout.job.cancel.is_set():
            raise DeployCanceled("canceled while a service was made")

    def _ensure_linkable(self, app: App, one: DeclaredService) -> None:
        """Before anything is made. Raises Conflict."""
        usual = self._new.catalog().find(one.engine)[0].alias
        if one.alias or usual not in {link.alias for link in self._store.service_links(app_id=app.id)}:
            self._links.ensure_free(app, one.alias or usual)

    def _record(self, app: App, one: DeclaredService, by: Identity) -> Service:
        name = _name(app, one)
        try:
            return self._new.record(name, one.engine, by, memory_bytes=one.memory_bytes, link_to=app, entry=one.name)
        except Conflict as error:  # another app's, or made by hand
            hint = f"give the entry another name; or, if {name} is meant: services:link {name} {app.name}"
            raise Conflict(error.message, hint) from None


def _name(app: App, one: DeclaredService) -> str:
    """What the service is called on the server, where another app may have one of the same name."""
    name = f"{prefix(app)}{one.name}"
    if len(name) <= MOST_NAME_CHARS:
        return name
    rest = hashlib.sha256(name.encode()).hexdigest()[:HASH_CHARS]  # others may begin alike
    return f"{name[: MOST_NAME_CHARS - HASH_CHARS - 1]}-{rest}"
