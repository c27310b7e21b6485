"""Which services could be upgraded, as far as this machine knows: no registry is asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.model.services import Service
from gitship.services.engine_file import ServiceEngine


@dataclass(frozen=True, slots=True)
class UpgradeDue:
    """``version`` is what `services:upgrade` takes; ``same``: it is the one that runs, with a newer image."""

    version: str
    same: bool

    @property
    def why(self) -> str:
        return f"a newer image of {self.version} is in Docker" if self.same else f"{self.version} is available"


def upgrade_due(service: Service, engine: ServiceEngine | None, image_here: str) -> UpgradeDue | None:
    """``image_here`` is the id that its image's name has in Docker now, "" for none; another one was pulled since.

    Otherwise the newest version of its engine's file counts, unless gitship cannot bring the data there.
    """
    if image_here and service.image_id and image_here != service.image_id:
        return UpgradeDue(service.version, same=True)
    if engine is None or engine.upgrade == "none":
        return None
    newest = max(engine.versions, key=_numbers)
    if _numbers(newest) > _numbers(engine.major(service.version)):
        return UpgradeDue(newest, same=False)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
