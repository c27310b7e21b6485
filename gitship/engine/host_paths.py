"""Host directories that may be mounted: those below the setting ``docker.host_paths``.

Never, whatever the setting says: what rules the engine or gitship itself, as a container that has Docker's socket, its
files or gitship's keys owns the machine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gitship.errors import GitshipError, NotFound, UsageError

SETTING = "docker.host_paths"
ENGINES = tuple(
    map(Path, ("/run/docker.sock", "/run/containerd", "/run/docker", "/var/lib/docker", "/var/lib/containerd"))
)


def resolved(path: str, allowed: Sequence[Path], private: Sequence[Path] = ()) -> str:
    """The directory without symbolic links, so that none leads out. Raises GitshipError.

    ``private`` are further files and directories that no container may have, nor what they lie in.
    """
    if not allowed:
        raise GitshipError("host directories cannot be mounted on this server", f"allow them in its setting {SETTING}")
    if not path.startswith("/") or ".." in Path(path).parts:
        raise UsageError(f"'{path[:200]}' is not an absolute path", "without '..', for instance /srv/data/shop")
    real = os.path.realpath(path)
    if not any(Path(real).is_relative_to(os.path.realpath(root)) for root in allowed):
        leads = "" if real == path.rstrip("/") else f", which is {real},"
        raise GitshipError(
            f"{path[:200]}{leads} is not below an allowed directory",
            f"{SETTING} has: {', '.join(map(str, allowed))}",
        )
    for place in map(Path, map(os.path.realpath, (*ENGINES, *private))):
        if place.is_relative_to(real) or Path(real).is_relative_to(place):
            raise GitshipError(
                f"{path[:200]} cannot be mounted: access to {place} would give control of the server",
                "choose a directory without files of Docker or gitship",
            )
    if not Path(real).is_dir():
        raise NotFound(f"there is no directory {path[:200]} on the server", f"create it: mkdir -p {path[:200]}")
    return real
