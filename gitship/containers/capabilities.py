"""Privileges that an admin granted to an app: capabilities and host directories. Pure.

A release shows what its containers were made with. Whoever makes a container asks here at that moment, because no older
release, and no live one, may bring back what was taken away since. A capability that is gone is left out; a directory
that is gone is an error, because a program would go on writing into a container that is thrown away.
"""

from __future__ import annotations

import dataclasses

from gitship.appfiles import mounts
from gitship.appsettings import CAPABILITY
from gitship.engine.hardening import ADDABLE
from gitship.errors import DeployError
from gitship.model import Mount, Process, Release
from gitship.store.settings import AppSettings


def stored(settings: AppSettings) -> tuple[str, ...]:
    """Capabilities, in order; what this version of gitship gives to nobody is left out."""
    return tuple(name for name, given in settings.all(CAPABILITY).items() if given and name in ADDABLE)


def attached(processes: tuple[Process, ...], settings: AppSettings) -> tuple[Process, ...]:
    """The processes of a new release with the capabilities that are granted now."""
    return tuple(dataclasses.replace(process, capabilities=stored(settings)) for process in processes)


def still(app: str, release: Release, settings: AppSettings, otherwise: str) -> Release:
    """The release with what the app may still have of it.

    Raises DeployError with the first directory of the host that it may not have any more; ``otherwise`` is what to do
    when that is meant.
    """
    for mount in taken_away(release, settings):
        raise DeployError(
            f"{release.label} mounts the host directory {mount.source} at {mount.path}, which {app} may no longer use",
            f"an admin can mount it again: {again(app, mount)}; {otherwise}",
        )
    capabilities = stored(settings)
    processes = tuple(
        dataclasses.replace(process, capabilities=tuple(c for c in process.capabilities if c in capabilities))
        for process in release.processes
    )
    return dataclasses.replace(release, processes=processes)


def live(app: str, release: Release, settings: AppSettings) -> Release:
    """As ``still``, for further containers of a release that is live, or becomes it."""
    return still(app, release, settings, f"without it: ps:restart {app}")


def taken_away(release: Release, settings: AppSettings) -> list[Mount]:
    """The directories of the host that the release has and the app may not have any more."""
    given = {(wanted.source, wanted.path): wanted for wanted in mounts.stored(settings) if wanted.host}
    return [
        mount
        for process in release.processes
        for mount in process.mounts
        if mount.host and not _has(given.get((mount.source, mount.path)), process, mount)
    ]


def again(app: str, mount: Mount) -> str:
    return f"storage:mount {app} {mount.source}:{mount.path}{' --read-only' if mount.read_only else ''}"


def _has(given: mounts.DeclaredMount | None, process: Process, mount: Mount) -> bool:
    if given is None or (given.read_only and not mount.read_only):
        return False
    return given.processes is None or process.type in given.processes
