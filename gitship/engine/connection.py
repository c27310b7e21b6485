"""The one connection to a Docker engine, made by the first call: docker-py and the plain wire, of the same version."""

from __future__ import annotations

import threading
from typing import Any

from docker import APIClient
from docker.constants import DEFAULT_DOCKER_API_VERSION

from gitship.engine.base import Spare
from gitship.engine.faults import translated
from gitship.engine.spare import NoSpare
from gitship.engine.wire import Wire
from gitship.errors import EngineError


class Connection:
    """Safe from any thread. ``timeout_s`` bounds every plain call; ``spare`` gives room on the engine's disk.

    Raises ConfigError when ``host`` is neither unix:// nor tcp://.
    """

    def __init__(self, host: str, timeout_s: float) -> None:
        self.wire = Wire(host, timeout_s)
        self.spare: Spare = NoSpare()
        self._client: APIClient | None = None
        self._connecting = threading.Lock()

    def close(self) -> None:
        """Closes idle connections; the next call makes a new one."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None

    def client(self) -> APIClient:
        """docker-py's client. Raises EngineError."""
        client = self._client
        if client is None:
            # not under the lock: callers of a Docker that hangs would wait for each other's time-outs in turn
            with translated(self.wire.host, "be connected to"):
                client = APIClient(
                    self.wire.host,
                    version=api_version(self.wire.json("GET", "/version")),
                    # an int by its annotations only; requests takes fractions
                    timeout=self.wire.timeout_s,  # type: ignore[arg-type]
                )
            with self._connecting:
                self._client = client = self._client or client
        return client

    @property
    def api(self) -> str:
        """What paths of the Engine API begin with. Raises EngineError."""
        return f"/v{self.client().api_version}"


def api_version(version: Any) -> str:
    """The newest API version that both sides know, or Docker's oldest when that is newer than docker-py.

    ``version`` is what /version answers. Raises EngineError when that is not Docker's.
    """
    if not isinstance(version, dict) or "ApiVersion" not in version:
        raise EngineError("what answers is not Docker", "see host in [docker] on the server")
    newest = min(str(version["ApiVersion"]), DEFAULT_DOCKER_API_VERSION, key=_parts)
    return max(newest, str(version.get("MinAPIVersion", newest)), key=_parts)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
