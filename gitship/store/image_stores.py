"""Records which image store Docker uses."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from gitship.store.database import Database

_KEY = "image_store"


@dataclass(frozen=True, slots=True)
class KnownImageStore:
    """``since``: epoch seconds of when it was first seen; ``before``: the one until then, empty for the first."""

    name: str
    since: float
    before: str = ""


class ImageStores(Database):
    """One at a time; the one before is kept beside it."""

    def image_store(self) -> KnownImageStore | None:
        row = self._row("SELECT value FROM meta WHERE key = ?", _KEY)
        return parsed(row[0]) if row else None

    def set_image_store(self, known: KnownImageStore) -> None:
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEY, json.dumps(asdict(known))))


def parsed(value: str) -> KnownImageStore:
    """As ``set_image_store`` wrote it."""
    return KnownImageStore(**json.loads(value))
