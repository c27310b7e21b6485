"""Logs of the containers of an app."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from gitship.engine.types import LogLine
from gitship.errors import NotFound
from gitship.logs.stream import LogReader, LogSelection
from gitship.model import App
from gitship.operations.shared import Shared

NEVER = threading.Event()


class Logs:
    """Raises GitshipError with a hint."""

    def __init__(self, shared: Shared, tails: LogReader) -> None:
        self._store = shared.store
        self._tails = tails

    def read(
        self,
        app: App,
        *,
        process: str | None = None,
        tail: int = 100,
        since: float | None = None,
        follow: bool = False,
        stop: threading.Event = NEVER,
        matches: Callable[[str], bool] | None = None,
        release: int | None = None,
    ) -> Iterator[LogLine]:
        """The last ``tail`` matching lines of each live container, and what happened to them, interleaved by time.

        With ``follow`` also all that come, of later releases too, until ``stop`` is set; NotFound when the app is
        destroyed. With ``release`` (its number) those of all containers that it has had, as far as they are kept.
        """
        found = self._store.app_by_id(app.id)
        wanted = LogSelection(process, tail, since, matches)
        if release is not None:
            return self._tails.of_release(found, release, wanted, stop)
        containers = self._store.containers(found.id)
        if process is not None and found.live_release is not None and process not in {c.process for c in containers}:
            raise NotFound(f"no '{process}' of {found.name} is running", "see `ps:list`")
        read = self._tails.live if follow else self._tails.past
        return read(found, wanted, stop)
