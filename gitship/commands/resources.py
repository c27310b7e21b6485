"""resources: limits of memory, CPU and processes of an app's containers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from gitship.appfiles import overrides
from gitship.appfiles.gitship_toml import MIN_MEMORY, ProcessLimits
from gitship.appfiles.overrides import Overrides
from gitship.appsettings import BUILDS, EVERY, LIMIT, RUN
from gitship.console.apply_settings import NoRestart, OneProcess, change, note_pending, process_type
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.follow_deploy import Detach
from gitship.console.listing import Format, show
from gitship.console.sizes import shown_memory
from gitship.errors import GitshipError, UsageError
from gitship.model import App, Role
from gitship.schema import Value

MEMORY, CPUS, PIDS, READ_ONLY = "memory_bytes", "cpus", "pids", "read_only"
MOST_PIDS = 4_000_000  # the kernel's own limit on 64 bits is 2^22
ALL = "all"  # how every process is called in a listing

Memory = Annotated[
    str | None, Parameter(name="--memory", metavar="SIZE", help="the memory limit, for example 512m or 2g")
]
Cpus = Annotated[float | None, Parameter(name="--cpus", metavar="N", help="the CPU limit, for example 0.5")]
ReadOnly = Annotated[
    bool, Parameter(name="--read-only", help="containers may write only to their volumes, /tmp and /run")
]
Writable = Annotated[bool, Parameter(name="--writable", help="containers may write anywhere, despite gitship.toml")]
Pids = Annotated[int | None, Parameter(name="--pids", metavar="N", help="the limit of processes and threads")]


@command(
    "resources:limit",
    Role.DEPLOYER,
    "limit the resources of an app's containers, and deploy",
    details="Without --process a limit applies to one-off containers and every process type without a limit of "
    "its own by command. Both override gitship.toml. `--process run` limits one-off containers: `run`, "
    "cron, and the commands of a deploy; it applies to the next one, without a deploy. `--process build` "
    "limits builds by the classic builder; BuildKit is limited for the whole server by "
    "docker.build_memory and docker.build_cpus. A process type named run or build shares these limits. "
    "With --read-only the containers' root file system is read-only; /tmp and /run are in memory, up to "
    "256 MiB each, and count towards the memory limit.",
    examples=(
        "resources:limit shop --memory 512m",
        "resources:limit shop --process worker --cpus 0.5 --pids 200",
        "resources:limit shop --process run --memory 1g",
        "resources:limit shop --read-only",
    ),
)
def limit(
    app: AppName,
    /,
    *,
    context: Ctx,
    process: OneProcess = None,
    memory: Memory = None,
    cpus: Cpus = None,
    pids: Pids = None,
    read_only: ReadOnly = False,
    writable: Writable = False,
    no_restart: NoRestart = False,
    detach: Detach = False,
) -> None:
    values: dict[str, Any] = {}
    if memory is not None:
        values[MEMORY] = _option("--memory", memory).size(MIN_MEMORY)
    if cpus is not None:
        values[CPUS] = _option("--cpus", cpus).number(0.01, 1024)
    if pids is not None:
        values[PIDS] = _option("--pids", pids).whole(1, MOST_PIDS)
    if read_only and writable:
        raise UsageError("--read-only and --writable exclude each other", "give one of them")
    if read_only or writable:
        values[READ_ONLY] = read_only
    if not values:
        raise UsageError("nothing to limit", "give --memory, --cpus, --pids or --read-only")
    found = context.app(app)
    whose = EVERY if process is None else _whose(context, found, process, values)
    _refuse_more_than_there_is(context, values)
    changes = LIMIT.to({f"{whose}.{name}": value for name, value in values.items()})
    change(context, found, changes, detach=detach, no_restart=no_restart)


def _whose(context: Context, app: App, process: str, values: dict[str, Any]) -> str:
    """The process type, or what else can be limited under such a name."""
    if process == RUN:
        return process
    if process != BUILDS or any(p.type == process for p in context.operations.tuning.processes(app)):
        return process_type(context, app, process)
    if context.settings.docker.builder != "classic":
        raise GitshipError(
            "BuildKit has no limit per app",
            "an admin can limit all builds together with build_memory and build_cpus in [docker] on the server",
        )
    if PIDS in values or READ_ONLY in values:
        raise UsageError("builds can be limited only in memory and CPUs", "give --memory or --cpus")
    return process


def _option(name: str, value: Any) -> Value:
    return Value("resources:limit", name, value)


def _refuse_more_than_there_is(context: Ctx, values: dict[str, Any]) -> None:
    there = context.operations.tuning.capacity()
    if values.get(CPUS, 0) > there.cpus:
        raise GitshipError(f"{values[CPUS]:g} CPUs are more than the machine has", f"the machine has {there.cpus}")
    if values.get(MEMORY, 0) > there.memory_bytes:
        raise GitshipError(
            f"{shown_memory(values[MEMORY])} is more memory than the machine has",
            f"the machine has {there.memory_bytes >> 20}m",
        )


@command(
    "resources:unset",
    Role.DEPLOYER,
    "remove limits set by command",
    details="Without --process, removes all of the app's limits. gitship.toml applies again.",
    examples=("resources:unset shop", "resources:unset shop --process worker"),
)
def unset(
    app: AppName,
    /,
    *,
    context: Ctx,
    process: OneProcess = None,
    no_restart: NoRestart = False,
    detach: Detach = False,
) -> None:
    found = context.app(app)
    keys = [
        k for k in LIMIT.keys(context.store.app_settings(found.id).values) if process in (None, k.rpartition(".")[0])
    ]
    change(context, found, LIMIT.to(dict.fromkeys(keys)), detach=detach, no_restart=no_restart)


def _for_every(process: str, limits: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return {} if process == BUILDS else limits.get(EVERY, {})


def _others(own: Overrides, used: Collection[str]) -> dict[str, dict[str, Any]]:
    """The limits of one-off containers and builds, where there are any."""
    found = {RUN: overrides.limits_of_one_offs(own), BUILDS: overrides.limits_of_builds(own)}
    return {
        name: {MEMORY: limits.memory_bytes, CPUS: limits.cpus, PIDS: limits.pids, READ_ONLY: bool(limits.read_only)}
        for name, limits in found.items()
        if limits != ProcessLimits() and name not in used and EVERY not in used
    }


@command(
    "resources:show",
    Role.VIEWER,
    "show the limits of each process type's containers",
    columns=(
        Column(
            "process",
            f"the process type; run for one-offs, build for builds, {ALL} for every one, before the first push",
        ),
        Column(MEMORY, "memory limit in bytes, null for none", shown_memory),
        Column(CPUS, "CPU limit, null for none"),
        Column(PIDS, "limit of processes and threads, null for none"),
        Column(READ_ONLY, "true if containers may write only to their volumes, /tmp and /run"),
        Column("by_command", "the limits set by command; others come from gitship.toml"),
    ),
    examples=("resources:show shop", "resources:show shop --format json"),
    aliases=("resources",),
)
def show_resources(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    tuning = context.operations.tuning
    limits = tuning.overrides(found).limits
    used = {
        p.type: {MEMORY: p.memory_bytes, CPUS: p.cpus, PIDS: p.pids, READ_ONLY: p.read_only}
        for p in tuning.processes(found)
    }
    if not used:  # only what is set is known
        used = {
            process: {MEMORY: None, CPUS: None, PIDS: None, READ_ONLY: False, **values}
            for process, values in limits.items()
        }
    rows = [
        {
            "process": ALL if process == EVERY else process,
            **values,
            "by_command": sorted(
                name.removesuffix("_bytes") for name in {*limits.get(process, {}), *_for_every(process, limits)}
            ),
        }
        for process, values in (used | _others(tuning.overrides(found), used)).items()
    ]
    show(context, rows, format, empty="no limits")
    note_pending(context, found)
