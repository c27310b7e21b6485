"""Tasks: what is done to a service, and backups, one at a time of each; they go on when the client has gone.

What only reads a service's data (READING) may take long, and so goes on beside what leaves its server alone (BESIDE);
anything else is refused meanwhile. The record in the store says what runs; the lines are in a file, which whoever
follows a task reads.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.containers.attach_client import ClientLeft
from gitship.deploy import output
from gitship.deploy.journal import hand_over
from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import Conflict, GitshipError, ServiceError
from gitship.model import App, Identity
from gitship.model.backups import BackupSubject
from gitship.model.services import Service, ServiceTask, TaskState
from gitship.store import Store

log = logging.getLogger("gitship.services")
LOOK_S = 0.3
LINE_BYTES = 400  # of most lines
STOP_S = 15.0
GONE_S = 30 * 86_400.0  # of the tasks of what is gone
HELD_S = 30.0  # of a look by the reconciler, which may have to start the server
INTERRUPTED = "gitship was stopped in the middle of it"
READING = frozenset({"backup", "verify"})
BESIDE = frozenset({"link", "unlink", "promote"})


class TaskJournal:
    """The lines of one task, and ``gone``, which is set when gitship stops: what waits for long gives up then."""

    def __init__(self, path: Path) -> None:
        self.gone = threading.Event()
        self.ended = threading.Event()
        self.error: GitshipError | None = None
        self.news = threading.Condition()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        with self._lock, suppress(OSError, ValueError):  # a full disk costs the line, not the task
            self._file.write(text.rstrip("\n").replace("\n", " ") + "\n")
            self._file.flush()
        with self.news:
            self.news.notify_all()

    def detail(self, text: str) -> None:
        self.line(output.detail(text))

    @contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """A line with the seconds that the block took; before it, when it fails."""
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.line(output.headline(text))
            raise
        self.line(output.headline(text, time.monotonic() - began))

    def close(self) -> None:
        self.ended.set()
        with self._lock, suppress(OSError):
            self._file.close()
        with self.news:
            self.news.notify_all()


Work = Callable[[TaskJournal], None]


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task of this gitship."""

    task: ServiceTask
    journal: TaskJournal
    thread: threading.Thread

    def goes_beside(self, kind: str) -> bool:
        """A task of that kind may begin while this one runs."""
        return (self.task.kind in READING and kind in BESIDE) or (self.task.kind in BESIDE and kind in READING)


class ServiceTasks:
    """Safe from any thread."""

    def __init__(self, store: Store, logs: Path) -> None:
        self._store = store
        self._logs = logs
        self._lock = threading.Lock()
        self._running: dict[BackupSubject, list[RunningTask]] = {}
        self._held: set[BackupSubject] = set()  # services that the reconciler looks at
        self._freed = threading.Condition(self._lock)
        self._gone = threading.Event()

    def begin(
        self, of: Service | BackupSubject, kind: str, by: Identity, work: Work, *, about: App | None = None
    ) -> ServiceTask:
        """Runs ``work`` in a thread of its own. ``about`` is the app that it is about, beside those that are linked.

        Raises Conflict while a task runs that it may not go beside.
        """
        subject = _subject(of)
        with self._lock:
            if self._gone.is_set():
                raise Conflict("the server is stopping", "try again when it is back")
            self._freed.wait_for(lambda: subject not in self._held, HELD_S)
            if subject in self._held:
                raise Conflict(f"{subject.name} is being repaired", "try again in a moment")
            for other in self._running.get(subject, ()):
                if not other.goes_beside(kind):
                    raise Conflict(
                        f"{subject.name} is busy: {other.task.kind}, by {other.task.by}",
                        f"to see it: {subject.log_command}",
                    )
            task = self._store.begin_task(subject, kind, by.key_name, about)
            try:
                journal = TaskJournal(self._path(task.id))
            except OSError as error:
                reason = f"cannot write the task's log: {error.strerror}"
                self._store.end_task(task.id, TaskState.FAILED, reason)
                raise GitshipError(reason, "see whether the server's disk is full") from error
            thread = threading.Thread(
                target=self._run, args=(task, journal, work), name=f"{subject.kind}-{subject.owner}", daemon=True
            )
            self._running.setdefault(subject, []).append(RunningTask(task, journal, thread))
        thread.start()
        return task

    @contextmanager
    def idle(self, of: Service | BackupSubject) -> Iterator[bool]:
        """True, and no task begins within the block; False while one runs."""
        subject = _subject(of)
        with self._lock:
            mine = subject not in self._running and subject not in self._held and not self._gone.is_set()
            if mine:
                self._held.add(subject)
        try:
            yield mine
        finally:
            if mine:
                with self._lock:
                    self._held.discard(subject)
                    self._freed.notify_all()

    def running(self, of: Service | BackupSubject) -> bool:
        with self._lock:
            return _subject(of) in self._running

    def runs(self, task: ServiceTask) -> bool:
        with self._lock:
            return any(other.task.id == task.id for other in self._running.get(task.subject, ()))

    def follow(self, task: ServiceTask, write: Callable[[str], None], left: threading.Event) -> ServiceTask:
        """Hands over every line until the task's end, or until ``left``. Raises what has ended it."""
        with self._lock:
            found = [other for other in self._running.get(task.subject, ()) if other.task.id == task.id]
        journal = found[0].journal if found else None
        position = 0
        while not left.is_set():
            over = journal is None or journal.ended.is_set()
            position = hand_over(self._path(task.id), position, write)
            if over or journal is None:
                break
            with journal.news:
                if not journal.ended.is_set():
                    journal.news.wait(LOOK_S)
        now = self._store.service_task(task.id)
        if now.state is TaskState.FAILED:
            raise GitshipError(now.reason, now.hint)
        return now

    def lines(self, task: ServiceTask, most: int) -> list[str]:
        """The last ones that it has printed so far."""
        try:
            with self._path(task.id).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - most * LINE_BYTES))
                return file.read().decode("utf-8", "replace").splitlines()[-most:]
        except OSError:
            return []

    def printed(self, task: ServiceTask) -> int:
        """Bytes so far: a number that goes up with each line."""
        try:
            return self._path(task.id).stat().st_size
        except OSError:
            return 0

    def stop(self) -> None:
        """Whoever waits for long gives up; what is left half is put right by the next start."""
        self._gone.set()
        with self._lock:
            running = [task for tasks in self._running.values() for task in tasks]
        for task in running:
            task.journal.gone.set()
        deadline = time.monotonic() + STOP_S
        for task in running:
            task.thread.join(max(0.1, deadline - time.monotonic()))

    def settle_interrupted(self) -> None:
        """What an earlier gitship was in the middle of has ended."""
        for task in self._store.service_tasks(running=True):
            self._store.end_task(task.id, TaskState.FAILED, INTERRUPTED, "what was half done is undone; try again")

    def prune(self, now: float) -> None:
        """Forgets what was done long ago to what is gone; the logs of what is forgotten go, too."""
        with self._lock, suppress(OSError):  # no task begins meanwhile, whose log would be nobody's
            kept = self._store.prune_tasks(now - GONE_S)
            for path in self._logs.glob("*.log"):
                if path.stem.isdecimal() and int(path.stem) not in kept:
                    path.unlink(missing_ok=True)

    def _run(self, task: ServiceTask, journal: TaskJournal, work: Work) -> None:
        state, reason, hint = TaskState.DONE, "", ""
        lines: tuple[str, ...] = ()
        try:
            work(journal)
        except GitshipError as error:
            state, reason, hint = TaskState.FAILED, error.message, error.hint
            lines = error.lines if isinstance(error, ServiceError) else ()
        except (WaitInterrupted, ClientLeft):
            state, reason, hint = TaskState.FAILED, INTERRUPTED, "try again when it is back"
        except Exception as error:
            log.exception("%s of %s", task.kind, task.subject.name)
            state, reason, hint = TaskState.FAILED, f"internal error: {error!r:.200}", "the server's log has it"
        for text in lines:
            if text not in reason:
                journal.detail(text)
        try:
            if state is TaskState.FAILED:
                log.warning("%s of %s failed: %s", task.kind, task.subject.name, reason)
            with suppress(GitshipError):
                self._store.end_task(task.id, state, reason, hint)
        finally:
            with self._lock:
                left = [other for other in self._running[task.subject] if other.task.id != task.id]
                if left:
                    self._running[task.subject] = left
                else:
                    del self._running[task.subject]
            journal.close()

    def _path(self, task_id: int) -> Path:
        return self._logs / f"{task_id}.log"


def _subject(of: Service | BackupSubject) -> BackupSubject:
    return of.subject if isinstance(of, Service) else of
