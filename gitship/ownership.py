"""Determines the app and role of a container: found by labels, confirmed by the store.

Live containers stand in the store by Docker's id. Any other is gitship's own when its labels are under this server's
seal (see ``engine.label_hmac``), which no image has; those that a gitship from before the seals has made are known by
their name, which the store has with their address from before they were made until after they are gone. What is
neither is a stranger's, whatever its labels say: gitship neither touches it nor believes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from gitship.engine import types
from gitship.engine.types import ContainerState
from gitship.store import Store

PROCESS, ONE_OFF, HELPER = "process", "one-off", "helper"
_ONE_OFF_NAME = re.compile(r".+\.run\.(?:cron-)?[0-9]+\.v[0-9]+")


class Ownership:
    """Safe from any thread. Each method takes any containers, and leaves out strangers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, states: Iterable[ContainerState]) -> dict[int, list[ContainerState]]:
        """By the app's id, also of apps that are gone."""
        return self._by_app(states, lambda state, live: True)

    def processes(self, states: Iterable[ContainerState]) -> dict[int, list[ContainerState]]:
        """Those of apps' processes, and of release commands; one that somebody runs by hand is a stranger."""
        return self._by_app(states, lambda state, live: live or _kind(state) == PROCESS)

    def one_offs(self, states: Iterable[ContainerState]) -> dict[int, list[ContainerState]]:
        return self._by_app(states, lambda state, live: not live and _kind(state) == ONE_OFF)

    def _by_app(
        self, states: Iterable[ContainerState], wanted: Callable[[ContainerState, bool], bool]
    ) -> dict[int, list[ContainerState]]:
        live = {container.id: container.app_id for container in self._store.containers()}
        found: dict[int, list[ContainerState]] = {}
        for state in states:
            if not wanted(state, state.id in live):
                continue
            app_id = live.get(state.id) or self._of_another(state)
            if app_id is not None:
                found.setdefault(app_id, []).append(state)
        return found

    def _of_another(self, state: ContainerState) -> int | None:
        """The app of one that is not live."""
        if sealed(state):
            return number_in(state.labels.get(types.LABEL_APP_ID))
        return self._store.app_of_container_name(state.name)


def helpers(states: Iterable[ContainerState]) -> list[ContainerState]:
    """Those through which volumes are read and written."""
    return [state for state in states if sealed(state) and _kind(state) == HELPER]


def sealed(state: ContainerState) -> bool:
    """gitship gave this very container its labels."""
    return types.LABEL_SERVER in state.labels


def number_in(text: str | None) -> int | None:
    """A whole number of at most 18 digits; None of anything else."""
    return int(text) if text and re.fullmatch("[0-9]{1,18}", text) else None


def _kind(state: ContainerState) -> str:
    """What it is when it is gitship's own; of one without a seal the name tells."""
    if not sealed(state):
        return ONE_OFF if _ONE_OFF_NAME.fullmatch(state.name) else PROCESS
    if types.LABEL_ONE_OFF in state.labels:
        return ONE_OFF
    if types.LABEL_HELPER in state.labels:
        return HELPER
    return PROCESS if types.LABEL_PROCESS in state.labels else ""
