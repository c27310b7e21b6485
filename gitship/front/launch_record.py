"""Record of how the running varnishd was started, so that its ports stay the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gitship.config_values import Address
from gitship.front.atomic_file import write_atomically


@dataclass(frozen=True, slots=True)
class Launch:
    """``http`` and ``admin`` are really bound; ``wanted_port`` is what was asked for, 0 for any.

    ``tls`` is the listener for the proxy that speaks TLS, as varnishd's -a wants it.
    """

    http: Address
    admin: Address
    memory_bytes: int
    wanted_port: int
    tls: str = ""  # varnishds of earlier gitships have none

    def serves(self, http: Address, memory_bytes: int, tls: str) -> bool:
        """True when a varnishd that was started so is what these settings ask for."""
        started = (self.http.host, self.wanted_port, self.memory_bytes, self.tls)
        return started == (http.host, http.port, memory_bytes, tls)


def read(path: Path) -> Launch | None:
    """None when there is none, or it is damaged: then varnishd is simply started anew."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        http, admin = Address(**data["http"]), Address(**data["admin"])
        return Launch(http, admin, data["memory_bytes"], data["wanted_port"], data.get("tls", ""))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(path: Path, launch: Launch) -> None:
    write_atomically(path, json.dumps(asdict(launch)) + "\n")
