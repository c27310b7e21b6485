"""Lock of the data directory: one server each."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitship.errors import Conflict, GitshipError

NAME = "serve.lock"


@contextmanager
def claimed(data_dir: Path) -> Iterator[None]:
    """Nobody else serves, or restores into, this data directory meanwhile. Raises Conflict when somebody does."""
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(data_dir / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise GitshipError(f"{data_dir} belongs to another user", "run this as root, or as that user") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"gitship is already running on {data_dir}", "stop it first: systemctl stop gitship, or end its process"
            ) from None
        yield
    finally:
        os.close(handle)
