"""Dumps of services within a backup of the whole server, and services made again from them on a bare machine.

A dump is files below DIRECTORY of the data directory, as the archive's other entries are: pieces, and last WHOLE,
without which nothing is made of it.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from gitship.backup.stream import stalled
from gitship.engine import volume_archive
from gitship.engine.interface import Engine
from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import GitshipError, NotFound
from gitship.model import GITSHIP
from gitship.model.backups import RowCounts
from gitship.model.services import Service, ServiceState, ServiceTask
from gitship.services.fetch_image import ServiceImages
from gitship.services.lifecycle import ServiceLifecycle
from gitship.services.service_container import ServiceContainers
from gitship.services.tasks import ServiceTasks, TaskJournal
from gitship.store import Store

log = logging.getLogger("gitship.services")
DIRECTORY = "service-dumps"
WHOLE = "whole.json"
PIECE_BYTES = 4 << 20
DUMP_STALL_S = 240.0


class ServerDumps:
    """Safe from any thread."""

    def __init__(
        self, store: Store, engine: Engine, tasks: ServiceTasks, images: ServiceImages, containers: ServiceContainers,
        lifecycle: ServiceLifecycle, data_dir: Path,
    ) -> None:  # fmt: skip
        self._store = store
        self._engine = engine
        self._tasks = tasks
        self._images = images
        self._containers = containers
        self._lifecycle = lifecycle
        self._data_dir = data_dir

    def pieces(self, gone: threading.Event, failed: list[str]) -> Iterator[tuple[str, bytes]]:
        """Names below the data directory, each with its content. To ``failed`` is added whose dump is not whole.

        Raises WaitInterrupted when ``gone`` is set.
        """
        for service in self._store.services():
            stuck = threading.Event()  # a dump that waits for a lock in its database must not end those of the others
            try:
                yield from stalled(self._dumped(service, stuck), DUMP_STALL_S, stuck, service.name, gone)
            except GitshipError as error:
                log.warning("%s is not in the backup: %s", service.name, error.message)
                failed.append(f"{service.name}: {error.message}")

    def _dumped(self, service: Service, gone: threading.Event) -> Iterator[tuple[str, bytes]]:
        if self._containers.engine_of(service).dump is None:  # it keeps nothing that lasts
            return
        with self._lifecycle.dumped(service, self._containers.running(service), gone) as (chunks, counts):
            for number, piece in enumerate(volume_archive.gathered(chunks, PIECE_BYTES)):
                yield f"{DIRECTORY}/{service.id}/{number:06}", piece
            rows = counts()
        about = {"version": service.version, "before": rows.before, "after": rows.after}
        yield f"{DIRECTORY}/{service.id}/{WHOLE}", json.dumps(about).encode()

    def waiting(self) -> list[Service]:
        """Services whose dump came with a restored backup and that are not made again yet."""
        found = []
        for place in sorted(self._data_dir.glob(f"{DIRECTORY}/*/{WHOLE}")):
            try:
                service = self._store.service(int(place.parent.name))
            except (NotFound, ValueError):
                shutil.rmtree(place.parent, ignore_errors=True)
                continue
            if service.state is ServiceState.READY:
                found.append(service)
        return found

    def begin(self, service: Service) -> ServiceTask:
        """Makes it again from its dump, with its links. Raises Conflict while another task of it runs."""
        return self._tasks.begin(service, "restore", GITSHIP, lambda journal: self._bring(service, journal))

    def _bring(self, service: Service, journal: TaskJournal) -> None:
        place = self._data_dir / DIRECTORY / str(service.id)
        about = json.loads((place / WHOLE).read_bytes())
        for volume in self._store.service_volumes(service.id):
            if not self._engine.volumes.exists(volume.name):  # of the machine of before
                self._store.forget_volume(volume.name)
        now = self._store.service(service.id)
        engine = self._containers.engine_of(now)
        image = engine.reference(about["version"])
        image_id = self._images.fetch(image, journal)

        def fill(container_id: str) -> None:
            restore = self._containers.action(now, "restore")
            with journal.stage(f"Restoring {now.name}"):
                chunks = (piece.read_bytes() for piece in sorted(place.glob("[0-9]*")))
                self._containers.actions.write(
                    container_id, restore, self._containers.values(now), chunks, journal.gone
                )

        self._lifecycle.bring(now, about["version"], image, image_id, journal, fill)
        now = self._store.service(service.id)
        counts = self._lifecycle.counts(now, self._containers.running(now))
        if wrong := RowCounts(about["before"], about["after"]).differing(counts):
            journal.line(f" !     rows differ from those of the backup in {', '.join(wrong[:5])}")
        shutil.rmtree(place)
        journal.line(f"=====> {now.label} is back, with {sum(counts.values()):,} rows")


def revive(dumps: ServerDumps, tasks: ServiceTasks, engine: Engine, stop: threading.Event, look_s: float) -> None:
    """Makes every service again whose dump is there, one after the other. Raises nothing for one that fails.

    What fails stays there, and is tried again at the next start.
    """
    todo = {service.id: service for service in dumps.waiting()}
    while todo and not stop.is_set():
        try:
            engine.ping()
            task = dumps.begin(next(iter(todo.values())))
        except GitshipError:  # Docker is not up yet, or the reconciler has tried to start it
            stop.wait(look_s)
            continue
        service = todo.pop(task.subject.owner)
        try:
            tasks.follow(task, lambda line: None, stop)
        except (GitshipError, WaitInterrupted) as error:
            log.warning("%s was not made again from the backup: %s", service.name, error)
