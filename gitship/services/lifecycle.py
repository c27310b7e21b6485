"""Life of a service: made, restarted, given other data or another version, destroyed.

The record says what should run: a container of ``image_id`` on ``volume``. Whatever puts other data in the place of a
service's own fills a volume of its own first, in a server of its own, and the record changes last: until then a gitship
that is killed, or a server that does not start, has changed nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.errors import GitshipError, NotFound, ServiceError
from gitship.model.backups import RowCounts
from gitship.model.services import Service, ServiceState
from gitship.services.actions import ServiceActions
from gitship.services.fetch_image import ServiceImages
from gitship.services.links import ServiceLinks
from gitship.services.measures import counts
from gitship.services.placeholders import SNAPSHOT
from gitship.services.service_container import ServerVolume, ServiceContainers, of_now
from gitship.services.service_volumes import ServiceVolumes
from gitship.services.superuser import SuperuserPasswords
from gitship.services.tasks import TaskJournal
from gitship.store import Store

log = logging.getLogger("gitship.services")
ACTION_S = 300.0
IDLE = ("sh", "-c", "sleep 86400")
NOW: Mapping[str, str] = {}  # the data as they are, of no snapshot
Fill = Callable[[str], None]  # brings data into the server, or the volume, of a container by its id


@dataclass(slots=True)
class Beside:
    """A server beside the service's own; ``adopted``: it is that now, and goes on."""

    container: str
    adopted: bool = False


class ServiceLifecycle:
    """Safe from any thread, one task of a service at a time (see ``ServiceTasks``)."""

    def __init__(
        self, store: Store, engine: Engine, addresses: Addresses, images: ServiceImages, containers: ServiceContainers,
        volumes: ServiceVolumes, links: ServiceLinks, superusers: SuperuserPasswords,
    ) -> None:  # fmt: skip
        self._store = store
        self._engine = engine
        self._addresses = addresses
        self._images = images
        self._containers = containers
        self._volumes = volumes
        self._links = links
        self._superusers = superusers
        self._actions: ServiceActions = containers.actions
        self.removed: Callable[[], None] = lambda: None  # the room sets it

    # -- made and removed

    def create(
        self, service: Service, journal: TaskJournal, fill: Fill | None = None, *, before_start: bool = False
    ) -> None:
        """``fill`` brings data into the new server. Nothing of it stays when it fails."""
        try:
            image_id = self._images.fetch(service.image, journal)
            self.bring(service, service.version, service.image, image_id, journal, fill, before_start=before_start)
        except BaseException:
            with _left_to_reconciler(service):
                self.remove(self._store.service(service.id))
            raise

    def remove(self, service: Service) -> None:
        """With its data, for good. Each step may be taken again; the record goes last. Raises GitshipError."""
        self._store.change_service(service.id, state=ServiceState.DESTROYING)
        service = self._store.service(service.id)
        for link in self._store.service_links(service_id=service.id):
            self._containers.leave(service, link, service.container)
            self._store.delete_link(link.id)
        self._containers.end_others(service)
        self._engine.remove_network(self._addresses.service_name(service))
        self._images.release(service)
        self._volumes.remove_all(service)
        self._store.delete_service(service.id)
        self.removed()

    # -- running

    def run(self, service: Service, gone: threading.Event) -> None:
        """A new container serves the data of the record; the one before, if any, has ended first."""
        self._containers.engine_of(service)  # without its file nothing could take the place of what runs
        if service.volume and not self._engine.volumes.exists(service.volume):
            raise ServiceError(
                f"the volume of {service.name} is gone from Docker: it is not started empty",
                f"restore a backup: backups:restore {service.name}",
            )
        self._containers.end_others(service)
        container_id = self._containers.make(service, of_now(service), linked=True)
        self._store.change_service(service.id, container=container_id)
        self._containers.start(service, container_id, gone)
        self._superusers.settle(self._store.service(service.id))

    def restart(self, service: Service, journal: TaskJournal) -> None:
        with journal.stage(f"Restarting {service.name}"):
            self.run(service, journal.gone)

    def resize(self, service: Service, memory_bytes: int, journal: TaskJournal) -> None:
        """Goes back to what it had when the server does not start with that."""
        self._store.change_service(service.id, memory_bytes=memory_bytes)
        try:
            with journal.stage(f"Restarting {service.name} with {memory_bytes >> 20} MB"):
                self.run(self._store.service(service.id), journal.gone)
        except GitshipError:
            self._store.change_service(service.id, memory_bytes=service.memory_bytes)
            journal.line(f" !     it goes on with {service.memory_bytes >> 20} MB")
            self.run(self._store.service(service.id), journal.gone)
            raise

    def change_version(self, service: Service, version: str, image: str, image_id: str, journal: TaskJournal) -> None:
        """Another version on the same data, as engines allow within a major; back when it does not start."""
        self._store_placed(service, ServerVolume(service.volume, version, image_id), image)
        try:
            with journal.stage(f"Starting {service.engine} {version}"):
                self.run(self._store.service(service.id), journal.gone)
        except GitshipError:
            journal.line(f" !     {version} did not start: {service.version} again")
            self._store_placed(service, of_now(service), service.image)
            self.run(self._store.service(service.id), journal.gone)
            raise

    def move(self, service: Service, version: str, image: str, image_id: str, journal: TaskJournal) -> None:
        """Another major on a copy of the data: the one before cannot read what the newer has made of them.

        Its server is away meanwhile; it starts again on the data of before when this fails.
        """
        service = self._settled(service)
        try:
            with self._volumes.scratch(service, version, image, image_id) as placed:
                with journal.stage("Copying the data"):
                    self._containers.end_others(service)
                    self._volumes.copy(service, placed, journal.gone)
                self._replace(service, placed, image, journal, None)
        except GitshipError:
            if self._store.service(service.id).volume == service.volume:
                journal.line(f" !     {version} did not start: {service.version} again")
                self.run(service, journal.gone)
            raise

    def go_back(self, service: Service, journal: TaskJournal) -> None:
        """To the data, and the version, of before the last upgrade, load or restore. Raises NotFound.

        When that does not start, what runs now goes on, and both stay.
        """
        kept = self._volumes.kept(service)
        if not kept:
            raise NotFound(f"{service.name} has nothing to go back to", "old data are kept for 7 days")
        old = kept[-1]
        before = self._settled(service)
        password = old.root_password or before.root_password
        self._store_placed(before, ServerVolume(old.name, old.version, old.image_id), old.image, root_password=password)
        try:
            with journal.stage(f"Starting {service.engine} {old.version}"):
                self.run(self._store.service(service.id), journal.gone)
                now = self._store.service(service.id)
                self._links.renew(now, now.container)
        except GitshipError:
            journal.line(f" !     the data of before did not start: those of now again, with {before.version}")
            self._store_placed(before, of_now(before), before.image, root_password=before.root_password)
            self._store.note_volume(old)
            self.run(self._store.service(service.id), journal.gone)
            raise

    # -- servers beside the service's own

    def bring(
        self, service: Service, version: str, image: str, image_id: str, journal: TaskJournal, fill: Fill | None, *,
        before_start: bool = False,
    ) -> None:  # fmt: skip
        """Other data, or the first: a new server, which ``fill`` fills, takes the place of the one before, if any.

        The data of before are kept for a while, to go back to. Until the record changes nothing has.
        """
        service = self._settled(service)
        with self._volumes.scratch(service, version, image, image_id) as placed:
            self._replace(service, placed, image, journal, fill, before_start=before_start)

    def _replace(
        self, service: Service, placed: ServerVolume, image: str, journal: TaskJournal, fill: Fill | None, *,
        before_start: bool = False,
    ) -> None:  # fmt: skip
        with self.beside(service, placed, journal, fill, before_start=before_start) as beside:
            self._links.renew(service, beside.container)
            new = {"state": ServiceState.READY, "container": beside.container, "next_root_password": ""}
            self._volumes.take(service, placed, image, **new)
            beside.adopted = True
        now = self._store.service(service.id)
        self._containers.join_all(now)
        self._containers.end_others(now, keep=now.container)
        self._images.hold(now)

    @contextmanager
    def beside(
        self, service: Service, placed: ServerVolume, journal: TaskJournal, fill: Fill | None = None, *,
        before_start: bool = False,
    ) -> Iterator[Beside]:  # fmt: skip
        """A server on that volume, which no app reaches, with the service's database; it ends with the block.

        ``before_start``: ``fill`` is for a volume, and not for a running server.
        """
        before_start = before_start or self._containers.engine_of(service).restore_before_start
        if fill is not None and before_start:
            self._filled_before_start(service, placed, fill)
        beside = Beside(self._containers.make(service, placed, linked=False))
        try:
            with journal.stage(f"Starting {service.engine} {placed.version}"):
                self._containers.start(service, beside.container, journal.gone)
                self._create_inside(service, beside.container)
            if fill is not None and not before_start:
                try:
                    fill(beside.container)
                except ServiceError:
                    self._containers.ensure_up(service, beside.container)  # if it is not, that is the reason
                    raise
                self._create_inside(service, beside.container)  # what was restored gets the rights of what is made
            yield beside
        finally:
            if not beside.adopted:
                with _left_to_reconciler(service):
                    self._containers.end(service, beside.container)

    def _settled(self, service: Service) -> Service:
        """With the password that its data have, if its server can be asked: they may be gone back to."""
        with suppress(GitshipError):
            return self._superusers.settle(service)
        return service

    def _create_inside(self, service: Service, container_id: str) -> None:
        """Its database and the owner of that, unless they are there."""
        engine = self._containers.engine_of(service)
        self._actions.output(container_id, engine.create, self._containers.values(service), ACTION_S)

    def _filled_before_start(self, service: Service, placed: ServerVolume, fill: Fill) -> None:
        """By a container of the same image that runs no server."""
        container_id = self._containers.make(service, placed, linked=False, command=IDLE)
        try:
            self._engine.start(container_id)
            fill(container_id)
        finally:
            with _left_to_reconciler(service):
                self._engine.remove(container_id)

    def counts(self, service: Service, container_id: str, snapshot: Mapping[str, str] = NOW) -> dict[str, int]:
        """Rows by table, or what its engine calls so; empty when the engine cannot tell."""
        engine = self._containers.engine_of(service)
        if engine.count is None:
            return {}
        values = {**self._containers.values(service), **snapshot}
        return counts(self._actions.output(container_id, engine.count, values, ACTION_S))

    @contextmanager
    def dumped(
        self, service: Service, container_id: str, gone: threading.Event
    ) -> Iterator[tuple[Iterator[bytes], Callable[[], RowCounts]]]:
        """The dump as it is made, and, when it was read to its end, the rows in it.

        They are those of the dump's own snapshot, if its engine has such; otherwise of before and after it.
        """
        engine, values = self._containers.engine_of(service), self._containers.values(service)
        action = self._containers.action(service, "dump")
        with ExitStack() as held:
            snapshot = NOW
            if engine.snapshot is not None:
                name = held.enter_context(self._actions.holding(container_id, engine.snapshot, values, gone))
                snapshot = {SNAPSHOT: name}
            before = self.counts(service, container_id, snapshot)
            with self._actions.read(container_id, action, {**values, **snapshot}, gone) as chunks:
                yield (
                    chunks,
                    lambda: (
                        RowCounts.exact(before) if snapshot else RowCounts(before, self.counts(service, container_id))
                    ),
                )

    def clear(self, service: Service) -> list[str]:
        """Removes volumes that are not needed any more, and lets their images go; the volumes' names."""
        before = self._images.needed(service)
        gone = self._volumes.clear(service)
        if gone:
            self._images.hold(service, before)
        return gone

    def _store_placed(self, service: Service, placed: ServerVolume, image: str, **columns: object) -> None:
        before = self._images.needed(self._store.service(service.id))
        self._volumes.take(service, placed, image, **columns)
        self._images.hold(self._store.service(service.id), before)


@contextmanager
def _left_to_reconciler(service: Service) -> Iterator[None]:
    """What cannot be cleared away now is logged: what matters is how that came about."""
    try:
        yield
    except GitshipError as error:
        log.warning("%s: %s; the reconciler will remove it", service.name, error.message)
