"""Data of the status page from Docker, Varnish and git."""

from __future__ import annotations

import functools
import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

from gitship.containers import http_request
from gitship.containers.http_request import Timeout, numeric
from gitship.engine import types
from gitship.engine.interface import Engine
from gitship.engine.types import LogLine
from gitship.errors import GitshipError, NotFound
from gitship.front.front import Front
from gitship.front.tcp_ports import reachable
from gitship.git.repository import Commit, Repositories
from gitship.model import App, Container

RUNNING = "running"
UNHEALTHY = "unhealthy"
KEPT_COMMITS = 2000
FRONT_TIMEOUT_S = 5.0
NO_HOST = "gitship.invalid"  # no app's: what Varnish says to it is counted for none (RFC 6761, 6.4)


class StatusFacts(Protocol):
    """Everything here may take long: not for an event loop."""

    def containers(self) -> Mapping[str, str]:
        """The state of every container by its id, in one call: Docker's word, or unhealthy. Raises EngineError."""
        ...

    def front_answers(self) -> bool:
        """False when visitors get nothing at all, whatever app they want."""
        ...

    def commit(self, app: App, sha: str) -> Commit | None:
        """None when the repository does not have it any more."""
        ...

    def log(
        self, container: Container, *, tail: int, since: float | None, follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:  # fmt: skip
        """One container's lines, in its own order. Raises NotFound when it is gone."""
        ...


class ServerFacts:
    """From Docker and the repositories of this server."""

    def __init__(self, engine: Engine, front: Front, repositories: Repositories, server_id: str) -> None:
        self._engine = engine
        self._front = front
        self._repositories = repositories
        self._server_id = server_id
        self._commit = functools.lru_cache(KEPT_COMMITS)(self._read_commit)  # a commit never changes

    def containers(self) -> Mapping[str, str]:
        """See ``StatusFacts.containers``."""
        states = self._engine.list({types.LABEL_SERVER: self._server_id})
        return {s.id: UNHEALTHY if s.health == UNHEALTHY and s.status == RUNNING else s.status for s in states}

    def front_answers(self) -> bool:
        """See ``StatusFacts.front_answers``. Asks as a visitor does: Varnish's control port waits while it compiles."""
        try:
            address = self._front.address
            patience = Timeout(time.monotonic() + FRONT_TIMEOUT_S)
            to = numeric(reachable(address.host), address.port)
            with http_request.request("HEAD", to, "/", {"Host": NO_HOST}, patience):
                pass
        except (GitshipError, OSError, http.client.HTTPException):
            return False
        return True

    def commit(self, app: App, sha: str) -> Commit | None:
        """See ``StatusFacts.commit``."""
        try:
            return self._commit(app.name, sha)
        except NotFound:
            return None

    def log(
        self, container: Container, *, tail: int, since: float | None, follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:  # fmt: skip
        """See ``StatusFacts.log``."""
        return self._engine.logs(container.id, tail=tail, since=since, follow=follow, stop=stop)

    def _read_commit(self, name: str, sha: str) -> Commit:
        return self._repositories.open(name).commit(sha)
