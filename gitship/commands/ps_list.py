"""ps:list and ps:events: containers with their resource use, and their crashes and restarts."""

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
from gitship.operations.ps import ProcessStatus
from gitship.store.container_events import KEPT_PER_APP

MaybeApp = Annotated[str | None, Parameter(name="APP", help="the app's name (default: all apps)")]
Count = Annotated[int, Parameter(name=("-n", "--lines"), metavar="N", help="number of entries")]


def percent(value: float | None) -> str:
    """``12.5 %``."""
    return NOTHING if value is None else f"{value:.1f} %"


@command(
    "ps:list",
    Role.VIEWER,
    "list containers with their state and resource use",
    columns=(
        Column("app", "the app", json_only=True),
        Column("process", "the process type", json_only=True),
        Column("container", "the container's name"),
        Column("release", "the release it runs", json_only=True),
        Column("status", "created, running, restarting, exited, paused, dead, missing, or crash loop"),
        Column("health", "starting, healthy or unhealthy, if the image has a HEALTHCHECK"),
        Column("cpu_percent", "CPU use in the last seconds, 100 for one CPU", percent),
        Column("memory_bytes", "memory in use, without inactive file cache", size),
        Column("memory_limit_bytes", "its memory limit, null for none", size),
        Column("address", "its address in the app's network"),
        Column("port", "the port it listens on, null if it gets no traffic"),
        Column("restarts", "restarts after a crash"),
        Column("ooms", "out-of-memory kills"),
        Column("uptime", "seconds since it started", duration),
        Column("started_at", "when it started", json_only=True),
    ),
    details="Resource use is null if Docker runs on another machine; cpu_percent also in a container's first seconds.",
    examples=("ps:list shop", "ps:list shop --format json", "ps:list"),
    aliases=("ps",),
)
def list_processes(app: MaybeApp = None, /, *, context: Ctx, format: Format = "table") -> None:
    apps = context.apps() if app is None else [context.app(app)]
    rows = [_row(found.name, status) for found in apps for status in context.operations.ps.processes(found)]
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
    "list events of an app's live containers, oldest first: crashes, out of memory, restarts",
    columns=(
        Column("at", "when"),
        Column("container", "the container's name"),
        Column("process", "the process type", json_only=True),
        Column("release", "the release it ran", version),
        Column("kind", "crashed, oom, crash_loop, restarted or unhealthy", json_only=True),
        Column("exit_code", "its exit code, null if it did not end or the code is unknown", json_only=True),
        Column("text", "what happened"),
    ),
    details="A container that gitship stops itself, in a deploy or by ps:stop, is not an event. The last "
    f"{KEPT_PER_APP} of an app are kept.",
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
    show(context, rows, format, empty="no events")
