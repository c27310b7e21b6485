"""Host directories mounted by apps: checks that they do not overlap.

Who may write in a directory can put a symbolic link in the place of one that lies in it, and Docker follows it when it
mounts that one, to wherever it leads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gitship.appfiles import mounts
from gitship.errors import Conflict, NotFound
from gitship.store import Store


@dataclass(frozen=True, slots=True)
class Granted:
    """A directory, as it was without symbolic links when it was given to an app."""

    source: str
    read_only: bool


class HostDirectories:
    """Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ensure_apart(self, source: str, *, read_only: bool) -> None:
        """Raises Conflict when the directory must not be given to an app beside those that apps have."""
        if above := self.writable_above(source):
            raise Conflict(
                f"{source} lies in {above}, where an app may write: it could replace it with a link",
                "choose a directory outside it, or mount the one above --read-only",
            )
        below = next((g.source for g in self._granted() if _within(g.source, source)), None)
        if below and not read_only:
            raise Conflict(
                f"{below} lies in {source}, which an app mounts: whoever may write above it could replace it with "
                "a link",
                "add --read-only, or choose a directory that contains no other app's",
            )

    def writable_above(self, source: str) -> str | None:
        """A directory in which an app may write, and in which this one lies."""
        return next((g.source for g in self._granted() if not g.read_only and _within(source, g.source)), None)

    def _granted(self) -> Iterator[Granted]:
        """What is set for every app, and what live releases still have."""
        for app in self._store.apps():
            for wanted in mounts.stored(self._store.app_settings(app.id)):
                if wanted.host:
                    yield Granted(wanted.source, wanted.read_only)
            if app.live_release is None:
                continue
            try:
                release = self._store.release(app.live_release)
            except NotFound:  # the app was destroyed just now
                continue
            yield from (Granted(mount.source, mount.read_only) for mount in release.mounts if mount.host)


def _within(path: str, directory: str) -> bool:
    return path != directory and Path(path).is_relative_to(directory)
