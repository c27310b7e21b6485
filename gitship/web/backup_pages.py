"""Page and JSON of backups on a schedule: of services, of volumes, and of the whole server."""

from __future__ import annotations

from typing import Any

from gitship.deploy.deploy_json import iso
from gitship.operations.backup_schedules import ScheduleStatus
from gitship.web.api import JsonHandler
from gitship.web.page import Page


class BackupsPage(Page):
    """All that the key may know of."""

    async def get(self) -> None:
        found = await self.in_background(self.services.operations.backup_schedules.all, self.me)
        self.render("backups.html", schedules=found)

    head = get


class BackupsHandler(JsonHandler):
    async def get(self) -> None:
        found = await self.in_background(self.services.operations.backup_schedules.all, self.me)
        self.write({"schedules": [_json(one) for one in found]})

    head = get


def _json(status: ScheduleStatus) -> dict[str, Any]:
    schedule = status.schedule
    return {
        "name": schedule.subject.name,
        "kind": schedule.subject.kind.value,
        "schedule": schedule.schedule,
        "target": schedule.target,
        "keep": schedule.keep,
        "next_at": iso(status.next_at) if status.next_at is not None else None,
        "verified_backup_at": iso(status.last_verified) if status.last_verified is not None else None,
        "overdue": status.overdue,
    }
