"""Submits deploys: creates the record and journal, queues it, and follows it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gitship.config import Settings
from gitship.deploy.job import Job, Request
from gitship.deploy.journal import DeployJournal, follow, log_file
from gitship.deploy.queue import DeployQueue
from gitship.events import Bus
from gitship.model import App, Deploy, Identity
from gitship.operations.app_lock import ensure_unlocked
from gitship.store import Store


class Jobs:
    """Submits jobs. Safe from any thread."""

    def __init__(self, settings: Settings, store: Store, bus: Bus, queue: DeployQueue) -> None:
        self._settings = settings
        self._store = store
        self._bus = bus
        self.queue = queue
        self._journals: dict[int, DeployJournal] = {}
        self._lock = threading.Lock()

    def submit(self, app: App, request: Request, by: Identity) -> Deploy:
        """Queues a deploy; its record. What is asked for is what the deploy does: nobody adds to it later.

        Raises Conflict when the app is locked, NotFound or NoPermission when it, or the right to it, is gone.
        """
        with self._store.acting(app, by) as app:
            ensure_unlocked(self._store, app)
            deploy = self._store.create_deploy(
                app.id, request.kind, by.key_name,
                cause=request.cause, commit=request.commit, ref=request.ref, old=request.old,
            )  # fmt: skip
        journal = DeployJournal(deploy, app, self._store, self._bus, self._settings.logs)
        with self._lock:
            self._journals = {i: j for i, j in self._journals.items() if not j.ended.is_set()}
            self._journals[deploy.id] = journal
        self.queue.submit(Job(app, request, journal, (by,)))
        return journal.deploy

    def follow(self, deploy: Deploy, write: Callable[[str], None], gone: threading.Event) -> Deploy:
        """Hands over every output line from the beginning until the end (or ``gone``); the record as it is then."""

        def is_over() -> bool:
            with self._lock:
                journal = self._journals.get(deploy.id)
            return journal.answered.is_set() if journal else True

        path = log_file(self._settings.logs, deploy.app_id, deploy.id)
        follow(path, self._bus, deploy.id, is_over, write, gone)
        return self._store.deploy(deploy.id)
