"""Differences between an app's wanted and actual containers, and the action for each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from gitship.engine.types import ContainerState
from gitship.model import Container

DOWN = frozenset({"created", "exited", "dead"})  # Docker does not start these by itself


class RepairAction(StrEnum):
    """What is done, as an order; ``done`` is the same when it has been done."""

    START = "start"
    MAKE = "make anew"
    DRAIN = "drain"
    REMOVE = "remove"
    RELOAD = "reload"
    END = "end"

    @property
    def done(self) -> str:
        return _DONE[self]


_DONE = {
    RepairAction.START: "started",
    RepairAction.MAKE: "made anew",
    RepairAction.DRAIN: "draining",
    RepairAction.REMOVE: "removed",
    RepairAction.RELOAD: "reloaded",
    RepairAction.END: "ended",
}


@dataclass(frozen=True, slots=True)
class Change:
    """``subject`` is what is changed (a container, a network, a deploy), ``why`` a few words; ``app`` may be ""."""

    app: str
    action: RepairAction
    subject: str
    why: str

    @property
    def text(self) -> str:
        """``started shop.web.1.v3: exited``."""
        return f"{self.action.done} {self.subject}: {self.why}"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """``container`` is the live one that is meant; of what nobody wants there is only a ``state``."""

    change: Change
    container: Container | None
    state: ContainerState | None


def discrepancies(
    app: str,
    live: Iterable[Container],
    actual: Iterable[ContainerState],
    spared: Callable[[ContainerState], bool],
) -> list[Discrepancy]:
    """``live`` is what the store wants, ``actual`` all there is of the app; ``spared`` tells what has another owner."""
    present = {state.id: state for state in actual}
    found = []
    for container in live:
        state = present.pop(container.id, None)
        if state is None:
            found.append(_amiss(app, RepairAction.MAKE, "it was missing", container, None))
        elif state.status in DOWN:
            found.append(_amiss(app, RepairAction.START, f"it was {state.status}", container, state))
        elif _lost_its_address(container, state):
            why = f"it had {state.address or 'no address'} and not {container.address}"
            found.append(_amiss(app, RepairAction.MAKE, why, container, state))
    for state in present.values():
        if not spared(state):
            change = Change(app, RepairAction.DRAIN, state.name, "it was not in use")
            found.append(Discrepancy(change, None, state))
    return found


def _lost_its_address(container: Container, state: ContainerState) -> bool:
    """One that Docker is just starting again has none for a moment."""
    if state.address:
        return state.address != container.address
    return state.status == "running"


def _amiss(app: str, action: RepairAction, why: str, container: Container, state: ContainerState | None) -> Discrepancy:
    return Discrepancy(Change(app, action, container.name, why), container, state)
