"""Connection to the Docker engine, opened by the first call: docker-py and plain HTTP.

Docker may be exchanged for another while gitship runs (an upgrade in place), which may know other versions of the API.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from docker import APIClient
from requests import PreparedRequest, Response

from gitship.engine import data_directories
from gitship.engine.api_versions import api_version, other_path, says_other_version
from gitship.engine.data_directories import DataDirectories
from gitship.engine.docker_http import DockerHttp
from gitship.engine.errors import refused, translated
from gitship.engine.interface import ReserveSpace
from gitship.engine.retry_when_full import NoReserveSpace


class EngineConnection:
    """Safe from any thread. ``timeout_s`` bounds every plain call; ``spare`` gives room on the engine's disk.

    Raises ConfigError when ``host`` is neither unix:// nor tcp://.
    """

    def __init__(self, host: str, timeout_s: float) -> None:
        self.wire = DockerHttp(host, timeout_s, self.renegotiated)
        self.spare: ReserveSpace = NoReserveSpace()
        self._client: APIClient | None = None
        self._places: DataDirectories | None = None
        self._connecting = threading.Lock()

    def close(self) -> None:
        """Closes idle connections; the next call makes a new one and asks for Docker's version."""
        with self._connecting:
            self._places = None
            if self._client is not None:
                self._client.close()
                self._client = None

    def client(self) -> APIClient:
        """docker-py's client. Raises EngineError."""
        client = self._client
        if client is None:
            # not under the lock: callers of a Docker that hangs would wait for each other's time-outs in turn
            with translated(self.wire.host, "be connected to"):
                version = api_version(self.wire.json("GET", "/version"))
                client = _Client(self.wire.host, version, self.wire.timeout_s, self.renegotiated)
            with self._connecting:
                self._client = client = self._client or client
        return client

    def renegotiated(self, version: str) -> str:
        """The API version to speak after Docker has refused ``version``. Raises EngineError."""
        with self._connecting:
            client = self._client
        if client is not None and client.api_version == version:  # nobody else has asked meanwhile
            self.close()
        return self.client().api_version

    @property
    def api(self) -> str:
        """What paths of the Engine API begin with. Raises EngineError."""
        return f"/v{self.client().api_version}"

    def places(self) -> DataDirectories:
        """Where Docker keeps what it has; asked once as long as Docker runs. Raises EngineError."""
        found = self._places
        if found is None:
            # in Docker's own newest version: older than 1.46 does not tell containerd's address
            info = self.wire.json("GET", "/info")
            if not isinstance(info, dict) or "DockerRootDir" not in info:
                raise refused("tell its data directory", "it has none" if info is None else str(info)[:200])
            found = self._places = data_directories.of(info, self.wire.host)
        return found


class _Client(APIClient):
    """docker-py's, which makes a call again in the version that Docker speaks now."""

    def __init__(self, host: str, version: str, timeout_s: float, renegotiated: Callable[[str], str]) -> None:
        # an int by its annotations only; requests takes fractions
        super().__init__(host, version=version, timeout=timeout_s)  # type: ignore[arg-type]
        self._renegotiated = renegotiated

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        answer = super().send(request, **kwargs)
        if answer.status_code != 400 or not says_other_version(answer.content):
            return answer
        body_can_be_sent_again = request.body is None or isinstance(request.body, str | bytes)
        path = other_path(request.path_url, self._renegotiated) if body_can_be_sent_again else None
        if path is None:
            return answer
        assert request.url is not None
        request.url = request.url.removesuffix(request.path_url) + path
        return super().send(request, **kwargs)
