"""Problems of the last reconciler round by app, stored for `gitship doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from gitship.per_app_errors import PerAppErrors
from gitship.store import Store

TROUBLES = "troubles"  # a setting of the server: [app, what is wrong with it] each
MOST = 50
MOST_CHARS = 300


class Problems:
    """Safe from any thread."""

    def __init__(self, store: Store, aparts: Sequence[PerAppErrors]) -> None:
        self._store = store
        self._aparts = aparts

    def write(self) -> None:
        """As it is now; nothing is written while it is the same."""
        found = [[app, _printable(text)] for apart in self._aparts for app, text in apart.troubles()]
        now = sorted(found)[:MOST] or None
        if self._store.server_setting(TROUBLES) != now:
            self._store.set_server_setting(TROUBLES, now)


def _printable(text: str) -> str:
    """On a terminal: what Docker said may have an app's own words in it."""
    return "".join(c if c.isprintable() else " " for c in text)[:MOST_CHARS]
