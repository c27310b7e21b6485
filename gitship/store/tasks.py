"""Tasks: what is done to services, and backups; one at a time of each subject."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from gitship.errors import NotFound
from gitship.model import App
from gitship.model.backups import BackupSubject, SubjectKind
from gitship.model.services import ServiceTask, TaskState
from gitship.store.backups import GONE, OF, BackupRecords

KEPT_TASKS = 200  # of one subject
_TASK = "id, subject, owner, volume, name, kind, by, state, started_at, finished_at, reason, hint, apps"


class TaskRecords(BackupRecords):
    """What was done, and what is."""

    def begin_task(self, subject: BackupSubject, kind: str, by: str, about: App | None = None) -> ServiceTask:
        """``about`` is the app that it is about, beside those that are linked."""
        apps = {subject.owner} if subject.kind is SubjectKind.VOLUME else set()
        apps |= {about.id} if about is not None else set()
        with self.transaction() as db:
            if subject.kind is SubjectKind.SERVICE:
                apps |= {link.app_id for link in self.service_links(service_id=subject.owner)}
            made = db.execute(
                "INSERT INTO tasks (subject, owner, volume, name, kind, by, state, started_at, apps)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *subject.columns, subject.name, kind, by, TaskState.RUNNING, time.time(), json.dumps(sorted(apps)),
                ),
            ).lastrowid  # fmt: skip
            db.execute(
                f"DELETE FROM tasks WHERE {OF} AND id NOT IN"
                f" (SELECT id FROM tasks WHERE {OF} ORDER BY id DESC LIMIT ?)",
                (*subject.columns, *subject.columns, KEPT_TASKS),
            )
        return self.service_task(made or 0)

    def end_task(self, task_id: int, state: TaskState, reason: str = "", hint: str = "") -> None:
        with self.transaction() as db:
            db.execute(
                "UPDATE tasks SET state = ?, finished_at = ?, reason = ?, hint = ? WHERE id = ?",
                (state, time.time(), reason, hint, task_id),
            )

    def service_task(self, task_id: int) -> ServiceTask:
        """Raises NotFound."""
        row = self._row(f"SELECT {_TASK} FROM tasks WHERE id = ?", task_id)
        if row is None:
            raise NotFound(f"no task {task_id}", "see `services:info NAME`")
        return _task(row)

    def service_tasks(self, service_id: int | None = None, *, running: bool = False) -> list[ServiceTask]:
        """Those of a service, or all; the newest first."""
        where, values = "1", ()
        if service_id is not None:
            where, values = OF, BackupSubject(SubjectKind.SERVICE, service_id).columns  # type: ignore[assignment]
        if running:
            where, values = f"{where} AND state = ?", (*values, TaskState.RUNNING)  # type: ignore[assignment]
        return [_task(row) for row in self._rows(f"SELECT {_TASK} FROM tasks WHERE {where} ORDER BY id DESC", *values)]

    def newest_service_tasks(self) -> dict[int, ServiceTask]:
        """The last one of each service, by the service's id."""
        newest = "SELECT max(id) FROM tasks WHERE subject = ? GROUP BY owner"
        rows = self._rows(f"SELECT {_TASK} FROM tasks WHERE id IN ({newest})", SubjectKind.SERVICE)
        return {task.subject.owner: task for task in map(_task, rows)}

    def prune_tasks(self, before: float) -> set[int]:
        """Forgets those of what is gone that ended ``before`` (epoch seconds); the ids that stay."""
        with self.transaction() as db:
            db.execute(f"DELETE FROM tasks AS gone WHERE finished_at < ? AND {GONE}", (before,))
            return {int(row[0]) for row in db.execute("SELECT id FROM tasks")}


def _task(row: Any) -> ServiceTask:
    kind, owner, volume, name = row[1:5]
    made = ServiceTask(row[0], BackupSubject(SubjectKind(kind), owner, volume, name), *row[5:])
    return dataclasses.replace(made, state=TaskState(made.state), apps=frozenset(json.loads(row[12])))
