"""Cache of commit subjects and authors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor

from gitship.git.repository import Commit
from gitship.model import App
from gitship.observe.status_facts import StatusFacts

MOST_KEPT = 5000

Known = Mapping[str, Commit]


class Commits:
    """Used on the event loop."""

    def __init__(self, facts: StatusFacts, work: Executor) -> None:
        self._facts = facts
        self._work = work
        self._kept: dict[tuple[int, str], Commit] = {}

    async def of(self, wanted: Iterable[tuple[App, str | None]]) -> Known:
        """By id; those that no repository has any more are left out."""
        pairs = {(app.id, sha): (app, sha) for app, sha in wanted if sha}
        missing = [pair for key, pair in pairs.items() if key not in self._kept]
        if missing:
            found = await asyncio.get_running_loop().run_in_executor(self._work, self._read, missing)
            if len(self._kept) > MOST_KEPT:
                self._kept.clear()
            self._kept.update(found)
        return {sha: self._kept[key] for key, (_, sha) in pairs.items() if key in self._kept}

    def _read(self, pairs: list[tuple[App, str]]) -> dict[tuple[int, str], Commit]:
        read = [(app, sha, self._facts.commit(app, sha)) for app, sha in pairs]
        return {(app.id, sha): commit for app, sha, commit in read if commit}
