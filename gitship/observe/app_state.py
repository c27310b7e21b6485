"""State of an app in one word, for the status page and uptime."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gitship.appsettings import MAINTENANCE, STOPPED
from gitship.model import WEB, App, Container, Deploy, DeployState
from gitship.model.traffic import Traffic
from gitship.observe.status_facts import RUNNING, StatusFacts
from gitship.routing.pause import ServerPauses
from gitship.store import Store

UNANSWERED_S = 30.0  # what visitors got in so long says whether anybody answers them
FEWEST_UNANSWERED = 3  # one request that took too long is no outage


class AppState(StrEnum):
    """What a visitor gets, unless a deploy is under way."""

    LIVE = "live"
    DEPLOYING = "deploying"
    DEGRADED = "degraded"
    DOWN = "down"
    STOPPED = "stopped"
    ASLEEP = "asleep"  # scaled to nothing
    MAINTENANCE = "maintenance"
    PAUSED = "paused"
    FAILED = "failed"  # its first deploy: nothing is live
    NEVER = "never deployed"

    @property
    def up(self) -> bool:
        """True when visitors are answered by the app; those who wait in a pause will be."""
        return self in (AppState.LIVE, AppState.DEGRADED, AppState.PAUSED)

    @property
    def off(self) -> bool:
        """True when its owner wants visitors to get something else."""
        return self in (AppState.STOPPED, AppState.ASLEEP, AppState.MAINTENANCE)


def unanswered(traffic: Mapping[int, Traffic]) -> set[int]:
    """The apps, by id, most of whose visitors of the last UNANSWERED_S got an error page, though a container may run.

    What old pages in the cache answered is answered.
    """
    return {
        app_id for app_id, t in traffic.items() if t.failed >= FEWEST_UNANSWERED and 2 * t.failed >= t.requests - t.own
    }


@dataclass(frozen=True, slots=True)
class Words:
    """What ``StatusFacts.containers`` has said, None while Docker is silent; then the containers from before it."""

    said: Mapping[str, str] | None = None
    asked_for: frozenset[str] = frozenset()

    @classmethod
    def ask(cls, store: Store, facts: StatusFacts) -> Words:
        """Raises EngineError."""
        asked_for = frozenset(container.id for container in store.containers())
        return cls(facts.containers(), asked_for)

    def of(self, container: Container) -> str:
        """Docker's word; "" while it is not known, as of a container that is younger than Docker's answer."""
        if self.said is None:
            return ""
        return self.said.get(container.id, "missing" if container.id in self.asked_for else "")

    def well(self, containers: Iterable[Container]) -> tuple[int, int]:
        """How many of them are well, and how many there are; what is not known counts as well."""
        found = [self.of(container) for container in containers]
        return sum(word in (RUNNING, "") for word in found), len(found)


class AppStates:
    """Reads what all apps share once, then says of each how it is."""

    def __init__(
        self, store: Store, pauses: ServerPauses, words: Words, unanswered: Collection[int] = (), *,
        front_answers: bool = True,
    ) -> None:  # fmt: skip
        """``front_answers`` is what ``StatusFacts`` says; ``unanswered`` are ids, by the function above."""
        self._pauses = pauses
        self._words = words
        self._unanswered = unanswered
        self._front_answers = front_answers
        self._stopped = store.apps_with_setting(STOPPED)
        self._maintenance = store.apps_with_setting(MAINTENANCE)
        self._containers: dict[int, list[Container]] = {}
        for container in store.containers():
            self._containers.setdefault(container.app_id, []).append(container)

    def containers(self, app: App) -> list[Container]:
        """Those that shall be live."""
        return self._containers.get(app.id, [])

    def of(self, app: App, newest: Deploy | None) -> AppState:
        """A canceled or superseded deploy says nothing of the app; one that drains has switched visitors already."""
        if newest and not newest.state.ended and not newest.state.switched:
            return AppState.DEPLOYING
        if app.live_release is None:
            return AppState.FAILED if newest and newest.state is DeployState.FAILED else AppState.NEVER
        return self.for_visitors(app)

    def for_visitors(self, app: App) -> AppState:
        """Of an app that has a live release, whatever is being deployed."""
        if app.id in self._stopped:
            return AppState.STOPPED
        if app.id in self._maintenance:
            return AppState.MAINTENANCE
        if not self._front_answers:
            return AppState.DOWN
        if self._pauses.paused(app):
            return AppState.PAUSED
        containers = self.containers(app)
        if not containers:
            return AppState.ASLEEP
        running, wanted = self._words.well(containers)
        web_running, web_wanted = self._words.well(c for c in containers if c.process == WEB)
        if running == 0 or (web_wanted and web_running == 0):
            return AppState.DOWN
        if app.id in self._unanswered:
            return AppState.DOWN
        return AppState.LIVE if running == wanted else AppState.DEGRADED
