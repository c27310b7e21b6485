"""Container spec of a one-off: labels, name and limits. Pure."""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gitship.appfiles.gitship_toml import ProcessLimits
from gitship.containers.attach_client import AttachedClient
from gitship.containers.container_starter import environment, labels
from gitship.engine import types
from gitship.engine.types import ContainerSpec, ContainerState
from gitship.errors import NotFound, nearest
from gitship.model import App, Identity, Release
from gitship.oneoff.programs import OneOff, ProgramCommand
from gitship.ownership import number_in

PROCESS = "run"
ATTACHED, DETACHED = "attached", "detached"
LABEL_COMMAND = f"{types.LABEL_ONE_OFF}.command"
LABEL_BY = f"{types.LABEL_ONE_OFF}.by"
LABEL_STARTED = f"{types.LABEL_ONE_OFF}.started"  # epoch seconds
LABEL_ENDS = f"{types.LABEL_ONE_OFF}.ends"  # epoch seconds, or "" for no limit
SHOWN_COMMAND_CHARS = 200
NO_LIMITS = ProcessLimits()
_NUMBER = re.compile(r".+\.run\.([0-9]{1,12})\.v[0-9]+")


@dataclass(frozen=True, slots=True)
class Task:
    """The cron run that a detached one-off is: whoever waits for its end knows it by ``run_id``."""

    entry: str
    run_id: int


@dataclass(frozen=True, slots=True)
class ContainerEnding:
    """How a container ended; ``code`` None when it is gone and nobody saw; ``by_hand``: somebody asked for its end."""

    code: int | None
    late: bool = False
    out_of_memory: bool = False
    by_hand: bool = False


def made_of(
    app: App,
    release: Release,
    name: str,
    command: ProgramCommand,
    network: str,
    address: str,
    server_id: str,
    by: Identity,
    client: AttachedClient | None,
    limits: ProcessLimits = NO_LIMITS,
    linked: Mapping[str, str] = MappingProxyType({}),
) -> ContainerSpec:
    """``client`` is who sits at it, None for a detached one; ``linked`` the environment by the app's links."""
    pty = client.pty if client is not None else None
    now = time.time()
    words = _resolved(command, release)
    return ContainerSpec(
        name=name,
        image_id=release.image_id,
        network=network,
        command=words,
        entrypoint=release.entrypoint if command.entrypoint is None else command.entrypoint,
        env={**environment(app, release, None, linked), **({"TERM": pty.term} if pty else {}), **command.env},
        labels={
            **labels(server_id, app, release, PROCESS),
            types.LABEL_ONE_OFF: DETACHED if client is None else ATTACHED,
            LABEL_COMMAND: shlex.join(command.words)[:SHOWN_COMMAND_CHARS],
            LABEL_BY: by.key_name,
            LABEL_STARTED: str(now),
            LABEL_ENDS: str(now + command.timeout_s) if command.timeout_s else "",
        },
        address=address,
        restart=False,
        memory_bytes=limits.memory_bytes,
        cpus=limits.cpus,
        pids=limits.pids,
        stdin=client is not None,
        terminal=(pty.columns, pty.rows) if pty else None,
        mounts=release.mounts,
        read_only=bool(limits.read_only),
        capabilities=release.capabilities,
    )


def _resolved(command: ProgramCommand, release: Release) -> tuple[str, ...] | None:
    """The words, or what the process type runs that they name; None for the image's own command."""
    process = release.process(command.words[0]) if len(command.words) == 1 and command.entrypoint is None else None
    return process.command if process else command.words


def shown(state: ContainerState) -> OneOff:
    """What its labels say of it, which gitship itself wrote."""
    return OneOff(
        name=state.name,
        command=state.labels.get(LABEL_COMMAND, ""),
        release=number_in(state.labels.get(types.LABEL_RELEASE)) or 0,
        attached=state.labels.get(types.LABEL_ONE_OFF) == ATTACHED,
        by=state.labels.get(LABEL_BY, ""),
        status=state.status,
        started_at=_time(state.labels.get(LABEL_STARTED)) or 0.0,
        ends_at=ends_at(state),
    )


def ends_at(state: ContainerState) -> float | None:
    """Epoch seconds, or None for no limit."""
    return _time(state.labels.get(LABEL_ENDS))


def _time(text: str | None) -> float | None:
    """None of what is no time."""
    return float(text) if text and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text) else None


def left_s(state: ContainerState) -> float:
    """Seconds until its limit, inf for none; never more than it had, though the clock be set back meanwhile."""
    end = ends_at(state)
    if end is None:
        return math.inf
    return max(0.0, min(end - time.time(), end - shown(state).started_at))


def number_of(name: str) -> int:
    """3 of ``shop.run.3.v12``; 0 for another name."""
    match = _NUMBER.fullmatch(name)
    return int(match[1]) if match else 0


def chosen(name: str, known: Sequence[str]) -> str | None:
    """The full name that is meant by it, or by its short form ``run.3`` or ``3``."""
    short = name if name.startswith(f"{PROCESS}.") else f"{PROCESS}.{name}"
    return next((n for n in reversed(known) if n == name or re.search(rf"\.{re.escape(short)}\.v[0-9]+$", n)), None)


def no_run(app: str, name: str, known: Sequence[str], hint: str) -> NotFound:
    near = nearest(name, known)
    return NotFound(f"{app} has no one-off container '{name[:80]}'", f"did you mean '{near}'?" if near else hint)
