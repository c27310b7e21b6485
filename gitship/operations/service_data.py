"""Data of services: dumped, loaded, cloned, upgraded, gone back from; and its console."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from gitship.backup.stream import awaited
from gitship.containers.attach_client import AttachedClient, ClientLeft, execute
from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import Conflict, GitshipError, ServiceError, UsageError
from gitship.model import Identity
from gitship.model.services import Service, ServiceTask
from gitship.operations.service_apps import LinkedApps
from gitship.operations.services import BackingServices
from gitship.operations.shared import Shared
from gitship.services import placeholders
from gitship.services.room import ServicesRoom
from gitship.services.tasks import TaskJournal

GIVEN_S = 300.0  # from one piece of a dump that somebody gives to the next: until then the service is busy
OPERATOR = "operator"  # the login of consoles


class ServiceData:
    """Every method takes the service and who acts, and both are checked again as it acts; raises GitshipError."""

    def __init__(self, shared: Shared, room: ServicesRoom, services: BackingServices, apps: LinkedApps) -> None:
        self._store = shared.store
        self._engine = shared.engine
        self._room = room
        self._services = services
        self._apps = apps
        self._containers = room.containers
        self._actions = room.containers.actions

    def dump(self, service: Service, write: Callable[[bytes], object], gone: threading.Event, by: Identity) -> None:
        """Hands the service's dump over as it is made. Raises ClientLeft, ServiceError when it is not whole."""
        now = self._store.confirm_service(service, by)
        action = self._containers.action(now, "dump")
        try:
            with self._actions.read(
                self._containers.running(now), action, self._containers.values(now), gone
            ) as chunks:
                for chunk in chunks:
                    write(chunk)
        except (OSError, WaitInterrupted):
            raise ClientLeft from None

    def load(
        self, service: Service, chunks: Iterable[bytes], by: Identity, gone: threading.Event, *, replace: bool
    ) -> ServiceTask:
        """A dump takes the place of the data: it is read whole into a server of its own first; apps go on meanwhile.

        What was there is kept, and can be gone back to. Raises Conflict when there are data and not ``replace``.
        """
        now = self._store.confirm_service(service, by)
        self._containers.action(now, "restore")
        if not replace:
            self._ensure_empty(now)
        over = threading.Event()

        def work(journal: TaskJournal) -> None:
            with ExitStack() as quiet:
                quiet.callback(over.set)
                now = self._store.confirm_service(service, by)
                source = _until(awaited(chunks, GIVEN_S, "service-load"), (gone, journal.gone))

                def fill(container_id: str) -> None:
                    self.fill(now, source, container_id)
                    over.set()
                    self._store.confirm_service(service, by)  # it may have taken hours
                    quiet.enter_context(self._quiet(now, by, journal))
                    if not replace:
                        self._ensure_empty(now)

                self._room.lifecycle.bring(now, now.version, now.image, now.image_id, journal, fill)
            journal.line(f"=====> {now.name} has the loaded data; services:rollback {now.name} goes back")

        task = self._services.tasks.begin(service, "load", by, work)
        over.wait()  # whoever gives the data stays until they are read
        return task

    def clone(self, service: Service, name: str, by: Identity, *, memory_bytes: int | None = None) -> ServiceTask:
        """A new service with the data of now and links to nothing."""
        now = self._store.confirm_service(service, by)
        self._containers.action(now, "dump")

        def fill(made: Service, container_id: str) -> None:
            source = self._store.confirm_service(service, by)
            self.copy(source, self._containers.running(source), made, container_id, threading.Event())

        return self._services.create(
            name, f"{now.engine}:{now.version}", by, memory_bytes=memory_bytes or now.memory_bytes, fill=fill
        )

    def upgrade(self, service: Service, version: str, by: Identity) -> ServiceTask:
        """A newer version. Within a major on the same data; another major by a copy, whose rows are compared first."""
        now = self._store.confirm_service(service, by)
        engine = self._containers.engine_of(now)
        found, wanted = self._room.catalog().find(f"{now.engine}:{version}" if version else now.engine)
        before, after = engine.major(now.version), engine.major(wanted)
        if _numbers(after) < _numbers(before):
            raise UsageError(
                f"{now.name} has {engine.title} {now.version}: {wanted} is older", "make a new service, and load a dump"
            )
        major = before != after
        if major and engine.upgrade == "none":
            raise Conflict(f"{engine.title} is not upgraded by gitship", "make a new service, and move over to it")

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_service(service, by)
            image = found.reference(wanted)
            image_id = self._room.images.fetch(image, journal, newest=wanted == now.version)
            if not major:
                with self._apps.waiting(now, by, journal):
                    self._room.lifecycle.change_version(now, wanted, image, image_id, journal)
            elif engine.upgrade == "in-place":
                with self._apps.waiting(now, by, journal):
                    self._room.lifecycle.move(now, wanted, image, image_id, journal)
            else:
                with ExitStack() as quiet:

                    def fill(container_id: str) -> None:
                        quiet.enter_context(self._quiet(now, by, journal))  # only now: the new server runs by then
                        self._copied(now, journal, container_id)

                    self._room.lifecycle.bring(now, wanted, image, image_id, journal, fill)
            if major:
                journal.detail(f"the data of {now.version} are kept for 7 days: services:rollback {now.name}")
            journal.line(f"=====> {self._store.service(service.id).label} is ready")

        return self._services.tasks.begin(service, "upgrade", by, work)

    def rollback(self, service: Service, by: Identity) -> ServiceTask:
        """To the data and the version of before the last upgrade, load or restore; what was written since is lost."""

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_service(service, by)
            with self._apps.waiting(now, by, journal):
                self._room.lifecycle.go_back(now, journal)
            with suppress(GitshipError):  # of the time of these data, which nobody reads now; few engines have one
                self._room.backups.bases.wal.stop(self._store.service(service.id))
            journal.line(f"=====> {self._store.service(service.id).label} has the data of before")

        return self._services.tasks.begin(service, "rollback", by, work)

    def connect(self, service: Service, words: tuple[str, ...], client: AttachedClient, by: Identity) -> int:
        """The engine's own console in the service's container, as its superuser; the exit code."""
        now = self._store.confirm_service(service, by)
        action = self._containers.action(now, "console")
        values = {**self._containers.values(now), "login": self._containers.engine_of(now).superuser or OPERATOR,
                  "password": now.root_password}  # fmt: skip
        command = [placeholders.filled(word, values) for word in action.command]
        env = {name: placeholders.filled(text, values) for name, text in action.env.items()}
        return execute(self._engine, self._containers.running(now), (*command, *words), env, client)

    # -- for backups, too

    def counts(self, service: Service) -> dict[str, int]:
        return self._room.lifecycle.counts(service, self._containers.running(service))

    def fill(self, service: Service, chunks: Iterable[bytes], container_id: str) -> None:
        """Restores a dump into a server that has nothing yet."""
        action = self._containers.action(service, "restore")
        self._actions.write(container_id, action, self._containers.values(service), chunks, threading.Event())

    def copy(self, source: Service, source_id: str, target: Service, target_id: str, gone: threading.Event) -> None:
        """One stream from server to server."""
        action = self._containers.action(source, "dump")
        with self._actions.read(source_id, action, self._containers.values(source), gone) as chunks:
            self.fill(target, chunks, target_id)

    # -- within

    def _ensure_empty(self, service: Service) -> None:
        if any(self.counts(service).values()):
            raise Conflict(f"{service.name} has data already", "add --replace; what is there now is kept for 7 days")

    def _copied(self, service: Service, journal: TaskJournal, container_id: str) -> None:
        """The data of now, in a server of another version. Raises ServiceError when a row is missing there."""
        own = self._containers.running(service)
        with journal.stage("Copying the data"):
            self.copy(service, own, service, container_id, journal.gone)
        with journal.stage("Comparing the rows"):
            before = self._room.lifecycle.counts(service, own)
            after = self._room.lifecycle.counts(service, container_id)
        if wrong := sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)):
            raise ServiceError(
                f"the copy differs in {', '.join(wrong[:5])}", "nothing was changed; try again, or report it"
            )
        journal.detail(f"{sum(before.values()):,} rows in {len(before)} tables are equal")

    @contextmanager
    def _quiet(self, service: Service, by: Identity, journal: TaskJournal) -> Iterator[None]:
        """No app writes to what is replaced: visitors wait, and the server is out of the apps' networks meanwhile."""
        with self._apps.waiting(service, by, journal):
            self._containers.leave_all(service)
            try:
                yield
            except BaseException:
                self._containers.join_all(self._store.service(service.id))
                raise


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _until(chunks: Iterable[bytes], events: tuple[threading.Event, ...]) -> Iterator[bytes]:
    """Ends with an error when one of the events is set: half a dump is no dump."""
    for chunk in chunks:
        if any(event.is_set() for event in events):
            raise ServiceError("the data did not come to their end", "nothing was changed; try again")
        yield chunk
    if any(event.is_set() for event in events):
        raise ServiceError("the data did not come to their end", "nothing was changed; try again")
