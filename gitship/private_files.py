"""Creates files and directories that only gitship's user may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from gitship.config import Settings

UMASK = 0o077
THROUGH = 0o711  # a directory through which varnishd's own user has to get, and in which it has nothing to list


@contextmanager
def to_others() -> Iterator[None]:
    """What this process, and what it starts, makes meanwhile."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def what_is_there(settings: Settings) -> None:
    """Closes the directories that an earlier gitship has left open, and so what is in them. Raises OSError."""
    hooks = settings.hooks_dir
    points = [place for place in hooks.iterdir() if place.is_dir()] if hooks.is_dir() else []
    for directory in (settings.repositories, settings.logs, hooks, *points):
        if not directory.is_symlink() and directory.is_dir():
            mode = directory.stat().st_mode & 0o7777
            if mode & UMASK:
                directory.chmod(mode & ~UMASK)
