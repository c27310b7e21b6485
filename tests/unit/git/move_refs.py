"""A push's host that agrees to everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from gitship.errors import GitshipError
from gitship.git.refs import MOVED_MEANWHILE, RefUpdate
from gitship.git.repository import Repository


class MoveRefs:
    """A host that agrees to everything and only moves the refs; all or none when the push is atomic."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def check(self, updates: Sequence[RefUpdate], options: Sequence[str]) -> Mapping[str, str]:
        return {}

    def admitted(self) -> AbstractContextManager[None]:
        return nullcontext()

    def accept(
        self,
        updates: Sequence[RefUpdate],
        options: Sequence[str],
        progress: Callable[[str], None],
        gone: threading.Event,
    ) -> Mapping[str, str]:
        if any(update.atomic for update in updates):
            return self._repository.compare_and_set_all(updates)
        reasons: dict[str, str] = {}
        for update in sorted(updates, key=lambda u: u.new is not None):  # deletions make room: a, then a/b
            try:
                if not self._repository.compare_and_set(update.ref, update.old, update.new):
                    reasons[update.ref] = MOVED_MEANWHILE
            except GitshipError as error:
                reasons[update.ref] = error.message
        return reasons
