"""Locks on an app's containers, for deploys, the reconciler and destroying the app.

Without it the reconciler would find a container gone that somebody is just removing, and make it anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gitship.errors import Conflict, DeployCanceled, NotFound
from gitship.model import App

TIMEOUT_S = 120.0  # longer than the reconciler needs for one app while Docker answers
LOOK_S = 0.2


class Claims:
    """Per app one claim, and beside it any number that ``join``, until the app ends. Safe from any thread.

    An app's id is never given twice, so one that has ended stays so. ``timeout_s`` is for whoever waits.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._claimed: set[int] = set()
        self._joined: dict[int, int] = {}
        self._ending: set[int] = set()

    @contextmanager
    def held(self, app_id: int, given_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """The claim, waited for. Raises Conflict when that takes too long, DeployCanceled once ``given_up()``."""
        self._take(app_id, self._timeout_s, given_up)
        try:
            yield
        finally:
            self._give_back(app_id)

    @contextmanager
    def at_once(self, app_id: int) -> Iterator[bool]:
        """True with the claim, False when somebody has it."""
        with self._changed:
            free = app_id not in self._claimed
            if free:
                self._claimed.add(app_id)
        try:
            yield free
        finally:
            if free:
                self._give_back(app_id)

    @contextmanager
    def joined(self, app: App) -> Iterator[None]:
        """While a container is made that no deploy owns: nobody destroys the app meanwhile. Raises NotFound."""
        with self._changed:
            if app.id in self._ending:
                raise NotFound(f"{app.name} is being destroyed", "see `apps:list`")
            self._joined[app.id] = self._joined.get(app.id, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._joined[app.id] -= 1
                self._changed.notify_all()

    def is_joined(self, app_id: int) -> bool:
        """Somebody is just making such a container."""
        with self._changed:
            return bool(self._joined.get(app_id))

    @contextmanager
    def ending(self, app_id: int, *, wait: bool = True) -> Iterator[None]:
        """The claim, and nobody joins any more. When the block fails all is as before. Raises Conflict."""
        timeout_s = self._timeout_s if wait else 0.0
        with self._changed:
            if app_id in self._ending:
                raise Conflict("the app is already being destroyed", "see `apps:list`")
            self._ending.add(app_id)
        try:
            self._take(app_id, timeout_s, lambda: False)
            try:
                self._until_alone(app_id, timeout_s)
                yield
            finally:
                self._give_back(app_id)
        except BaseException:
            with self._changed:
                self._ending.discard(app_id)
            raise

    def _take(self, app_id: int, timeout_s: float, given_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while app_id in self._claimed:
                if given_up():
                    raise DeployCanceled("canceled while waiting for the app's containers")
                if time.monotonic() > deadline:
                    raise Conflict("another operation is using the app's containers", "try again in a moment")
                self._changed.wait(LOOK_S)
            self._claimed.add(app_id)

    def _give_back(self, app_id: int) -> None:
        with self._changed:
            self._claimed.discard(app_id)
            self._changed.notify_all()

    def _until_alone(self, app_id: int, timeout_s: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: not self._joined.get(app_id), timeout_s):
                raise Conflict("a command in one of the app's containers is just starting", "try again in a moment")
