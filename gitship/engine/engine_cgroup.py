"""Finds the cgroup of the Docker engine, by which the firewall recognises its requests.

A Dockerfile's `ADD http://...` is fetched by dockerd in the machine's own network, where no rule for containers counts.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from pathlib import Path

from gitship.engine.container_cgroups import mounts

SERVICE = "system.slice/docker.service"  # with socket activation the socket is systemd's, and tells nothing of dockerd
OWN = ".service"  # a session's group, say, has other programs in it, which may well speak to gitship
INIT = 1
ANSWER_S = 2.0
_CREDENTIALS = struct.Struct("3i")


def find(host: str, proc: Path = Path("/proc")) -> str:
    """Its path in the hierarchy of version 2, without the first slash; "" when it has none of its own."""
    pid = _pid(host)
    path = _path(pid, proc) if pid not in (None, INIT) else ""
    if not path and pid == INIT:
        path = SERVICE
    with suppress(OSError, KeyError):
        if path and (Path(mounts(proc / "self" / "mountinfo")[""][1]) / path).is_dir():
            return path
    return ""


def _pid(host: str) -> int | None:
    """Of who listens at the engine's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(host.removeprefix("unix://"))
            told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return None
    return int(_CREDENTIALS.unpack(told)[0])


def _path(pid: int | None, proc: Path) -> str:
    with suppress(OSError):
        for line in (proc / str(pid) / "cgroup").read_text().splitlines():
            if line.startswith("0::"):
                path = line.removeprefix("0::").strip("/")
                return path if path.endswith(OWN) else ""
    return ""
