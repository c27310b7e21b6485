"""Keeps WAL of services on its way to their targets, and tells when it is not: a thread for each, and one that looks.

A target that hangs holds up its own service only. What is too late is told by the thread that looks, which waits for no
target.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from gitship.errors import GitshipError, NotFound
from gitship.model import Topic
from gitship.model.backups import BackupSchedule, WalArchive
from gitship.model.services import Service, ServiceState
from gitship.per_app_errors import PerAppErrors
from gitship.services.wal_shipping import WalShipping
from gitship.store import Store

log = logging.getLogger("gitship.services")
LOOK_S = 10.0
STOP_S = 5.0


class WalArchiver:
    """Owns the threads ``wal`` and ``wal-NAME``. ``now`` is the time of day, in epoch seconds."""

    def __init__(self, store: Store, shipping: WalShipping, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._shipping = shipping
        self._now = now
        self._apart = PerAppErrors()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="wal", daemon=True)
        self._under_way: dict[int, threading.Thread] = {}  # by service

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is half sent is not there, and is sent again by the next gitship."""
        self._gone.set()
        deadline = time.monotonic() + STOP_S
        for thread in (self._thread, *list(self._under_way.values())):
            if thread.is_alive():
                thread.join(max(0.1, deadline - time.monotonic()))

    def _loop(self) -> None:
        while not self._gone.is_set():
            try:
                self.tick()
            except Exception:
                log.exception("looking at WAL")
            self._gone.wait(LOOK_S)

    def tick(self) -> None:
        """Begins what is to be sent, and tells what is late. What is wrong with one service holds up no other."""
        with self._apart.round():
            for schedule in self._store.backup_schedules():
                if schedule.point_in_time and self._store.open_wal_archive(schedule.subject.owner) is None:
                    with self._apart.part("", f"WAL of service {schedule.subject.owner}"):
                        self._reopen(schedule)
            for archive in self._store.wal_archives():
                with self._apart.part("", f"WAL of {archive.service}"):
                    if archive.closed_at is None:
                        self._begin(archive)
                    if archive.closed_at is None or (archive.hint and archive.told_at is None):
                        self._tell(archive.id)

    def _reopen(self, schedule: BackupSchedule) -> None:
        service = self._store.service(schedule.subject.owner)
        if service.state is ServiceState.READY:
            self._store.open_archive(service, schedule)

    def _begin(self, archive: WalArchive) -> None:
        under_way = self._under_way.get(archive.service_id)
        if under_way is None or not under_way.is_alive():
            thread = threading.Thread(target=self._ship, args=(archive,), name=f"wal-{archive.service}", daemon=True)
            self._under_way[archive.service_id] = thread
            thread.start()

    def _ship(self, archive: WalArchive) -> None:
        try:
            self._shipping.ship(archive, self._gone)
        except GitshipError as error:
            if error.message != archive.reason:
                log.warning("WAL of %s: %s", archive.service, error.message)
        except Exception as error:
            if not self._gone.is_set():
                log.exception("WAL of %s", archive.service)
                self._store.change_wal_archive(archive.id, reason=f"internal error: {error!r:.200}")

    def _tell(self, archive_id: int) -> None:
        """Once of a hole, and once when it becomes late; again only after it was well in between."""
        with self._store.transaction():
            archive = self._store.wal_archive(archive_id)
            late = archive.behind(self._now())
            if archive.closed_at is not None:
                text = f"there is a gap: {archive.reason}; {archive.hint}" if archive.hint else ""
            else:
                text = f"WAL has not come to {archive.target} for {late / 60:.0f} min: {archive.reason}" if late else ""
            if text and archive.told_at is None:
                self._announce(archive, f"point in time: {text}")
                log.warning("%s: %s", archive.service, text)
            if bool(text) != (archive.told_at is not None):
                self._store.change_wal_archive(archive.id, told_at=self._now() if text else None)

    def _announce(self, archive: WalArchive, text: str) -> None:
        try:
            service: Service = self._store.service(archive.service_id)
        except NotFound:  # it was destroyed
            return
        apps = {link.app_id for link in self._store.service_links(service_id=service.id)}
        self._store.announce_backup(Topic.BACKUP_FAILED, service.subject, text, apps)
