"""ps:list and ps:events: how containers are, what they use, and what happened to them."""

from __future__ import annotations

import time
from typing import Annotated, Any

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.listing import NOTHING, Format, duration, moment, show, size, version
from gitship.errors import UsageError
from gitship.model import Role
from gitship.operations.processes import ProcessStatus
from gitship.store.container_events import KEPT_PER_APP

MaybeApp = Annotated[str | None, Parameter(name="APP", help="the app's name; else all apps")]
Count = Annotated[int, Parameter(name=("-n", "--lines"), metavar="N", help="how many of the newest")]


def percent(value: float | None) -> str:
    """``12.5 %``."""
    return NOTHING if value is None else f"{value:.1f} %"


@command(
    "ps:list",
    Role.VIEWER,
    "an app's containers, how they are and what they use; without an app those of all",
    columns=(
        Column("app", "the app", json_only=True),
        Column("process", "the process type", json_only=True),
        Column("container", "the container's name"),
        Column("release", "the release it runs", json_only=True),
        Column("status", "created, running, restarting, exited, paused, dead, missing, or crash loop"),
        Column("health", "starting, healthy or unhealthy, when the image has a HEALTHCHECK"),
        Column("cpu_percent", "processor time in the last seconds, 100 for one processor", percent),
        Column("memory_bytes", "memory without file cache that is not in use", size),
        Column("memory_limit_bytes", "most memory it may use, null for no limit", size),
        Column("address", "its address in the app's network"),
        Column("port", "where it listens, null when it gets no traffic"),
        Column("restarts", "how often it was started again after a crash"),
        Column("ooms", "how often a process in it was killed because it ran out of memory"),
        Column("uptime", "seconds since it started", duration),
        Column("started_at", "since when it runs", json_only=True),
    ),
    details="What a container uses is null when Docker runs on another machine, and cpu_percent in its first seconds.",
    examples=("ps:list shop", "ps:list shop --format json", "ps:list"),
    aliases=("ps",),
)
def list_processes(app: MaybeApp = None, /, *, context: Ctx, format: Format = "table") -> None:
    apps = context.apps() if app is None else [context.app(app)]
    rows = [_row(found.name, status) for found in apps for status in context.operations.processes(found)]
    show(context, rows, format, empty="nothing runs")


def _row(app: str, status: ProcessStatus) -> dict[str, Any]:
    return {
        "app": app,
        "process": status.process,
        "container": status.container,
        "release": status.release,
        "status": status.status,
        "health": status.health,
        "cpu_percent": status.figures.cpu_percent,
        "memory_bytes": status.figures.memory_bytes,
        "memory_limit_bytes": status.figures.limit_bytes,
        "address": status.address,
        "port": status.port,
        "restarts": status.restarts,
        "ooms": status.ooms,
        "uptime": None if status.started_at is None else max(0, int(time.time() - status.started_at)),
        "started_at": moment(status.started_at),
    }


@command(
    "ps:events",
    Role.VIEWER,
    "what happened to an app's live containers, oldest first: crashes, out of memory, restarts",
    columns=(
        Column("at", "when"),
        Column("container", "the container's name"),
        Column("process", "the process type", json_only=True),
        Column("release", "the release it ran", version),
        Column("kind", "crashed, oom, crash_loop, restarted or unhealthy", json_only=True),
        Column("exit_code", "how it ended, null when it did not or nobody saw it", json_only=True),
        Column("text", "what happened"),
    ),
    details=f"A container that gitship itself ends, in a deploy or by ps:stop, is no event. The last {KEPT_PER_APP} of "
    "an app are kept.",
    examples=("ps:events shop", "ps:events shop -n 5 --format json"),
)
def list_events(app: AppName, /, *, context: Ctx, lines: Count = 50, format: Format = "table") -> None:
    if not 1 <= lines <= KEPT_PER_APP:
        raise UsageError(f"-n {lines} is out of range", f"1 to {KEPT_PER_APP} events")
    found = context.app(app)
    rows = [
        {
            "at": moment(event.at),
            "container": event.container,
            "process": event.process,
            "release": event.release,
            "kind": event.kind.value,
            "exit_code": event.exit_code,
            "text": event.text,
        }
        for event in context.store.container_events(found.id, limit=lines)
    ]
    show(context, rows, format, empty="nothing has happened")
