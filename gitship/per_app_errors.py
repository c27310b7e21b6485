"""Error isolation between apps: run each app's part of a task so that one failure does not stop the rest.

A failure is logged when it is new, however often the round comes again, and stands here as that app's until the part
goes well or there is no such part any more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gitship.errors import GitshipError

log = logging.getLogger("gitship.per_app_errors")
INTERNAL = "internal error"
INTERNAL_HINT = "the server's log has it"


class PerAppErrors:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._troubles: dict[tuple[str, str], GitshipError] = {}
        self._met: set[tuple[str, str]] = set()  # since the round began

    @contextmanager
    def part(self, app: str, what: str, failed: list[GitshipError] | None = None) -> Iterator[None]:
        """What is done for ``app`` ("" for none) within; ``what`` tells it from other parts. Raises nothing.

        To ``failed`` is added why it failed, with the app's name.
        """
        try:
            yield
        except Exception as error:
            self._failed(app, what, error, failed)
        else:
            with self._lock:
                self._troubles.pop((app, what), None)

    @contextmanager
    def round(self) -> Iterator[None]:
        """Around all parts of one look, by one thread at a time: a failure that was not met again is forgotten."""
        with self._lock:
            self._met = set()
        yield
        with self._lock:
            self._troubles = {key: error for key, error in self._troubles.items() if key in self._met}

    def troubles(self) -> list[tuple[str, str]]:
        """(app, what is wrong with it), by app."""
        with self._lock:
            return sorted((app, f"{what}: {error.message}") for (app, what), error in self._troubles.items())

    def _failed(self, app: str, what: str, error: Exception, failed: list[GitshipError] | None) -> None:
        known = isinstance(error, GitshipError)
        told = error if isinstance(error, GitshipError) else GitshipError(f"{INTERNAL}: {error!r:.200}", INTERNAL_HINT)
        said = f"{app}: {what}" if app else what
        if failed is not None:
            failed.append(GitshipError(f"{said}: {told.message}", told.hint))
        with self._lock:
            self._met.add((app, what))
            before, self._troubles[app, what] = self._troubles.get((app, what)), told
        if before is None or before.message != told.message:
            hint = f" ({told.hint})" if told.hint else ""
            log.warning("%s: %s%s", said, told.message, hint, exc_info=None if known else error)
