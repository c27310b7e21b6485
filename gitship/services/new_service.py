"""New services: their record, and the task that makes them."""

from __future__ import annotations

from collections.abc import Callable

from gitship.errors import NoPermission, UsageError
from gitship.model import App, Identity
from gitship.model.backups import WHOLE_SERVER
from gitship.model.services import SERVICE_NAME, Service, ServiceTask
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.links import new_password
from gitship.services.tasks import ServiceTasks, Work
from gitship.store import Store


class NewServices:
    """Safe from any thread."""

    def __init__(self, store: Store, tasks: ServiceTasks, catalog: Callable[[], EngineCatalog]) -> None:
        self._store = store
        self._tasks = tasks
        self.catalog = catalog

    def record(
        self, name: str, engine_text: str, by: Identity, *, memory_bytes: int | None = None, link_to: App | None = None,
        entry: str = "",
    ) -> Service:  # fmt: skip
        """``entry`` is what the file of ``link_to`` calls it, "" when no file asks for it.

        A key that is limited to some apps makes services that are named after one: it may not learn, by a name that is
        taken, of what others have. Raises Conflict when the name is taken, NotFound for an unknown engine, UsageError,
        NoPermission.
        """
        if not SERVICE_NAME.fullmatch(name):
            raise UsageError(f"'{name[:80]}' cannot be the name of a service", "letters, digits and '-', at most 40")
        if name == WHOLE_SERVER.name:
            raise UsageError(f"a service cannot be named {name}", "that is the whole server: backups:run server")
        engine, version = self.catalog().find(engine_text)
        memory = engine.memory_bytes if memory_bytes is None else memory_bytes
        if memory < engine.least_memory_bytes:
            raise UsageError(f"{engine.title} needs at least {engine.least_memory_bytes >> 20} MB", "give it more")
        with self._store.transaction():
            if link_to is None:
                self._store.confirm_key(by)
            else:
                self._store.confirm(link_to, by)
            self._ensure_named(name, by)
            return self._store.create_service(
                name, engine.name, version, engine.reference(version), memory, _inside(name), new_password(),
                by.key_id, link_to.id if link_to is not None and entry else None, entry,
            )  # fmt: skip

    def _ensure_named(self, name: str, by: Identity) -> None:
        prefixes = [prefix(app) for app in self._store.apps() if by.sees(app.id)]
        if by.apps is not None and not any(name.startswith(one) for one in prefixes):
            raise NoPermission(
                f"a key that is limited to some apps makes no service called '{name}'",
                f"begin with an app's name, for example {prefixes[0]}{name}" if prefixes else "ask an admin",
            )

    def begin(
        self, service: Service, kind: str, by: Identity, work: Work, *, made: bool = True, about: App | None = None
    ) -> ServiceTask:
        """As ``ServiceTasks.begin``; the record of a new service goes when its task cannot begin."""
        try:
            return self._tasks.begin(service, kind, by, work, about=about)
        except BaseException:
            if made:
                self._store.delete_service(service.id)
            raise


def prefix(app: App) -> str:
    """What names of services that are made for it begin with."""
    return f"{app.name.replace('.', '-')}-"


def _inside(name: str) -> str:
    """What its database is called: engines want no '-' there, and no digit in front."""
    inside = name.replace("-", "_")
    return inside if inside[0].isalpha() else f"d_{inside}"
