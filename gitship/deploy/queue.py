"""Deploy queue: one deploy per app at a time, apps in parallel. Deploys outlive their clients.

A newer push supersedes the queued one, a newer config change the queued change; anything else waits its turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gitship.deploy.job import Job
from gitship.errors import GitshipError
from gitship.model import DeployKind, DeployState
from gitship.store import Store

log = logging.getLogger("gitship.deploy")
SUPERSEDED_BY_NEWER = frozenset({DeployKind.PUSH, DeployKind.CONFIG})
STOP_TIMEOUT_S = 10.0
STOPPING = "the server is stopping; try again when it is back"


class DeployQueue:
    """Runs jobs by ``run`` (which never raises), one thread per app that has work."""

    def __init__(self, run: Callable[[Job], None], *, cancel_running: bool) -> None:
        """``cancel_running``: a newer push ends the running one (setting ``deploy.on_new_push = "cancel"``)."""
        self._run = run
        self._cancel_running = cancel_running
        self._lock = threading.Lock()
        self._waiting: dict[int, list[Job]] = {}
        self._running: dict[int, Job] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._closed: dict[int, str] = {}  # app id -> why it takes no jobs
        self._stopping = False

    def submit(self, job: Job) -> None:
        """Queues the job; ends those that it makes pointless."""
        superseded: list[Job] = []
        refused = self._place(job, superseded)
        if refused is not None:
            _end(job, DeployState.CANCELED, refused)
        for old in superseded:
            _end(old, DeployState.SUPERSEDED, "a newer one replaced it in the queue")

    def _place(self, job: Job, superseded: list[Job]) -> str | None:
        """Puts it into the queue, and those it replaces into ``superseded``; why the app takes none, else None."""
        with self._lock:
            refused = STOPPING if self._stopping else self._closed.get(job.app_id)
            if refused is not None:
                return refused
            waiting = self._waiting.setdefault(job.app_id, [])
            if job.kind in SUPERSEDED_BY_NEWER:
                superseded += [j for j in waiting if j.kind is job.kind and _replaces(job, j)]
                waiting[:] = [j for j in waiting if j not in superseded]
                if job.kind is DeployKind.CONFIG:  # the newer change must not lose the older one
                    for older in superseded:
                        job = job.carrying(older)
            waiting.append(job)
            running = self._running.get(job.app_id)
            cancel = self._cancel_running and running is not None and running.kind is DeployKind.PUSH is job.kind
            if cancel and running is not None and not running.deploy.state.switched:
                running.superseded.set()
                running.cancel.set()
            job.journal.update(state=DeployState.QUEUED)
            if running is not None or len(waiting) > 1:
                job.journal.detail("waiting for the previous deploy to finish")
            self._ensure_thread(job.app_id)
        return None

    def cancel(self, app_id: int) -> Job | None:
        """Ends the app's newest waiting job, else the running one unless visitors have it already."""
        with self._lock:
            waiting = self._waiting.get(app_id)
            job = waiting.pop() if waiting else None
            if job is None:
                job = self._running.get(app_id)
                if job is None or job.deploy.state.switched:
                    return None
                job.cancel.set()
                return job
        _end(job, DeployState.CANCELED, "canceled while waiting")
        return job

    def clear(self, app_id: int, reason: str, timeout_s: float) -> bool:
        """Cancels everything of an app; True when its thread has ended within ``timeout_s``."""
        with self._lock:
            waiting = self._waiting.pop(app_id, [])
            running = self._running.get(app_id)
            thread = self._threads.get(app_id)
        for job in waiting:
            _end(job, DeployState.CANCELED, reason)
        if running is not None:
            running.cancel.set()
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    @contextmanager
    def closed(self, app_id: int, reason: str, timeout_s: float) -> Iterator[bool]:
        """The app's deploys are canceled, and it gets none until the block has failed. False when one goes on."""
        with self._lock:
            self._closed[app_id] = reason
        try:
            yield self.clear(app_id, reason, timeout_s)
        except BaseException:
            with self._lock:
                self._closed.pop(app_id, None)
            raise

    def recheck(self, store: Store) -> None:
        """Cancels what runs without a right to it, now that keys, or what they may use, have changed.

        Its commit would fail in any case; but until then its code would run, and get at what the app has. What waits is
        looked at when its turn comes.
        """
        with self._lock:
            running = [job for job in self._running.values() if not job.deploy.state.switched]
        for job in running:
            try:
                job.confirm(store)
            except GitshipError:
                job.cancel.set()

    def running(self, app_id: int) -> Job | None:
        with self._lock:
            return self._running.get(app_id)

    def stop(self) -> None:
        """Cancels what has not switched yet, waits for the rest."""
        with self._lock:
            self._stopping = True
            apps = set(self._threads)
            for job in self._running.values():  # all at once: one that ends late must not keep the others running
                job.cancel.set()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for app_id in apps:
            if not self.clear(app_id, STOPPING, max(0.1, deadline - time.monotonic())):
                log.warning("deploy of app %d did not end in time", app_id)

    def _ensure_thread(self, app_id: int) -> None:
        if app_id not in self._threads:
            thread = threading.Thread(target=self._work, args=(app_id,), name=f"deploy-{app_id}", daemon=True)
            self._threads[app_id] = thread
            thread.start()

    def _work(self, app_id: int) -> None:
        while True:
            with self._lock:
                self._running.pop(app_id, None)
                waiting = self._waiting.get(app_id)
                if not waiting:
                    self._waiting.pop(app_id, None)
                    del self._threads[app_id]
                    return
                job = self._running[app_id] = waiting.pop(0)
            try:
                with job.journal.traced():
                    self._run(job)
            except Exception:  # it never raises; if it does all the same, the app must not be stuck for good
                log.exception("deploy %d", job.deploy.id)
                _end(job, DeployState.FAILED, "internal error: the server's log has it")


def _replaces(newer: Job, older: Job) -> bool:
    """A build of the live commit again (it has no ref) must not take the place of a push that brings a newer one."""
    return newer.deploy.ref is not None or older.deploy.ref is None


def _end(job: Job, state: DeployState, reason: str) -> None:
    job.journal.line(f" !     {state}: {reason}")
    job.journal.update(state=state, reason=reason, finished_at=time.time())
    job.journal.close()
