"""Cache of pages just rendered, shared by viewers with the same rights."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

KEPT_S = 1.0
MOST = 50


class PageCache:
    """Used on the event loop. A key names all that a page depends on: who may see what, by which address, and so on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: dict[Hashable, tuple[float, bytes]] = {}

    def find(self, key: Hashable, seconds: float = KEPT_S) -> bytes | None:
        """One that is not older than ``seconds``."""
        made_at, page = self._pages.get(key, (0.0, b""))
        return page if page and self._clock() - made_at < seconds else None

    def keep(self, key: Hashable, page: bytes) -> None:
        if len(self._pages) >= MOST:
            self._pages.clear()
        self._pages[key] = self._clock(), page
