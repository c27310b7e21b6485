"""Unix socket server on which Varnish sends requests to gitship."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from gitship.errors import FrontError


def listen(path: Path, group: int | None) -> socket.socket:
    """Nobody may connect but this user and Varnish, in ``group`` (None: as this user). Raises FrontError."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)  # of a gitship that was killed
        listener.bind(str(path))
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(0o600 if group is None else 0o660)
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise FrontError(f"cannot listen on {path}: {error.strerror or error}", "check data_dir") from None
    return listener
