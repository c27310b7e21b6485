"""Directories of the host that containers may have: those of the setting ``docker.host_paths`` and what is below."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gitship.errors import GitshipError, NotFound

SETTING = "docker.host_paths"


def resolved(path: str, allowed: Sequence[Path]) -> str:
    """The directory without symbolic links, so that none leads out. Raises GitshipError."""
    if not allowed:
        raise GitshipError(
            "directories of the host cannot be mounted on this server", f"list them in its setting {SETTING}"
        )
    if not path.startswith("/") or ".." in Path(path).parts:
        raise GitshipError(f"'{path[:200]}' is not an absolute path", "without '..', for instance /srv/data/shop")
    real = os.path.realpath(path)
    if not any(Path(real).is_relative_to(os.path.realpath(root)) for root in allowed):
        leads = "" if real == path.rstrip("/") else f", which is {real},"
        raise GitshipError(
            f"{path[:200]}{leads} is not below a directory that may be mounted",
            f"{SETTING} has: {', '.join(map(str, allowed))}",
        )
    if not Path(real).is_dir():
        raise NotFound(f"there is no directory {path[:200]} on the server", f"make it there: mkdir -p {path[:200]}")
    return real
