"""Mounts of an app: parses SOURCE:PATH and computes the mounts of a release's processes. Pure."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from dataclasses import dataclass

from gitship.appsettings import MOUNT, VOLUME, MountSource
from gitship.errors import DeployError, UsageError
from gitship.model import Mount, Process, Release
from gitship.store.settings import AppSettings

VOLUME_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
PATH_CHARS = 1024
# What the kernel and Docker themselves put into a container.
RESERVED = ("/proc", "/sys", "/dev")
RESERVED_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/sbin/docker-init")


@dataclass(frozen=True, slots=True)
class DeclaredMount:
    """``source`` is a volume's name or a directory of the host; ``processes`` None means every type."""

    source: str
    path: str
    read_only: bool = False
    processes: tuple[str, ...] | None = None

    @property
    def host(self) -> bool:
        return self.source.startswith("/")

    @property
    def setting(self) -> MountSource:
        """As it is kept under ``MOUNT`` and the path."""
        return MountSource(self.source, self.read_only, self.processes)


def parse(text: str) -> tuple[str, str]:
    """Source and path of ``data:/var/lib/shop`` or ``/srv/photos:/photos``. Raises UsageError."""
    if not text.isprintable():
        raise UsageError("SOURCE:PATH has characters that cannot be shown", "for instance data:/var/lib/shop")
    source, colon, path = text.partition(":")
    if not colon or not source or not path:
        raise UsageError(f"'{text[:200]}' is not SOURCE:PATH", "for instance data:/var/lib/shop")
    if ":" in path:
        raise UsageError(f"'{text[:200]}' has more than SOURCE:PATH", "for a read-only mount, add `--read-only`")
    if source.startswith("/"):
        return _clean(source), container_path(path)
    return volume_name(source), container_path(path)


def volume_name(text: str) -> str:
    if not VOLUME_NAME.fullmatch(text):
        raise UsageError(
            f"'{text[:80]}' is neither a volume's name nor an absolute path",
            "a name has letters, digits, '-', '_' and '.', at most 64, beginning and ending with a letter or digit",
        )
    return text


def container_path(text: str) -> str:
    """``text`` without a slash at its end. Raises UsageError when nothing can be mounted there."""
    path = _clean(text)
    if path == "/":
        raise UsageError("cannot mount at /", "choose a directory, for instance /data")
    if path in RESERVED_FILES or any(path == root or path.startswith(f"{root}/") for root in RESERVED):
        raise UsageError(f"{path} is a system directory in every container", "choose another path, for instance /data")
    return path


def _clean(text: str) -> str:
    path = text.rstrip("/") or "/"
    if not path.startswith("/") or len(path) > PATH_CHARS:
        raise UsageError(f"'{text[:200]}' is not an absolute path", "for instance /data")
    if path != posixpath.normpath(path) or path.startswith("//"):
        raise UsageError(f"'{text[:200]}' has '.', '..' or a double '/' in it", "write the path without")
    return path


def stored(settings: AppSettings) -> list[DeclaredMount]:
    """All that are set, by path. Raises DamagedSetting."""
    return [DeclaredMount(m.source, path, m.read_only, m.processes) for path, m in settings.all(MOUNT).items()]


def attached(processes: tuple[Process, ...], settings: AppSettings) -> tuple[Process, ...]:
    """The processes of a new release with what is to be mounted now. Raises DeployError when that is gone."""
    volumes, wanted = settings.all(VOLUME), stored(settings)
    for mount in wanted:
        if not mount.host and mount.source not in volumes:  # it was destroyed in the moment in which it was mounted
            raise DeployError(
                f"the volume '{mount.source}' for {mount.path} has been destroyed",
                "mount it again, or `storage:unmount`",
            )
    return tuple(
        dataclasses.replace(
            process,
            mounts=tuple(
                Mount(w.source, w.path, w.read_only, "" if w.host else volumes[w.source])
                for w in wanted
                if w.processes is None or process.type in w.processes
            ),
        )
        for process in processes
    )


def found_again(target: Release, settings: AppSettings) -> tuple[Process, ...]:
    """The processes of an older release with its mounts, on the volumes as they are now.

    Raises DeployError when one is gone.
    """
    volumes = settings.all(VOLUME)
    for mount in target.mounts:
        if not mount.host and volumes.get(mount.source) is None:
            raise DeployError(
                f"{target.label} has the volume '{mount.source}' at {mount.path}, which has been destroyed",
                f"go back to a release without it, or create it again: storage:mount {mount.source}:{mount.path}",
            )
    return tuple(
        dataclasses.replace(
            process,
            mounts=tuple(m if m.host else dataclasses.replace(m, volume=volumes[m.source]) for m in process.mounts),
        )
        for process in target.processes
    )
