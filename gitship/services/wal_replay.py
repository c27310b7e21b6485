"""Takes a restored base to a point in time: its server asks for WAL, file by file, and gets it from the target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gitship.backup.targets import BackupTarget
from gitship.errors import NotFound, ServiceError
from gitship.model.services import Service
from gitship.services import wal_names
from gitship.services.service_container import ServiceContainers
from gitship.services.tasks import TaskJournal
from gitship.services.wal_shipping import WalShipping

MOST_LINE = 200


@dataclass(frozen=True, slots=True)
class ReplayGoal:
    """What goes on from a base. ``database`` is its name in there; ``at`` is in epoch seconds.

    ``last`` is the newest segment that has come to the target; "" when nobody here knows.
    """

    folder: str
    database: str
    at: float
    target_id: int
    last: str = ""


class WalReplay:
    """Safe from any thread."""

    def __init__(self, containers: ServiceContainers, shipping: WalShipping) -> None:
        self._containers = containers
        self._shipping = shipping

    def replay(
        self, service: Service, container_id: str, place: BackupTarget, goal: ReplayGoal, journal: TaskJournal
    ) -> None:
        """In a container that has the base and runs no server. Raises GitshipError; nothing is of use then."""
        action = self._containers.action(service, "base_replay")
        values = self._containers.values(service) | {"source": goal.database, "time": f"{goal.at:.6f}"}
        given = 0
        with self._containers.actions.read(container_id, action, values, journal.gone) as said:
            for name in _lines(said):
                given += self._give(service, container_id, place, goal, name, journal)
        journal.detail(f"{given} WAL segments were replayed")

    def _give(
        self, service: Service, container_id: str, place: BackupTarget, goal: ReplayGoal, name: str,
        journal: TaskJournal,
    ) -> bool:  # fmt: skip
        """False when there is no such file. Raises ServiceError for one that has been there."""
        give, values = self._containers.action(service, "base_give"), self._containers.values(service)
        if wal_names.FILE.fullmatch(name):
            try:
                with self._shipping.read(goal.folder, place, name) as chunks:
                    self._containers.actions.write(container_id, give, values, chunks, journal.gone)
            except NotFound:
                if wal_names.SEGMENT.fullmatch(name) and name <= goal.last:  # else it would pass for the end of WAL
                    raise ServiceError(
                        f"the target has lost the WAL segment {name}", "restore a time before it; see its backups"
                    ) from None
            else:
                return True
        self._containers.actions.write(container_id, give, values, (), journal.gone)
        return False


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Raises ServiceError when one is longer than a name can be."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("ascii", "replace")
        if len(rest) > MOST_LINE:
            raise ServiceError("the server asks for no file that has a name", "check its engine's file")
