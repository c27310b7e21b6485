"""Loads a VCL without switching to it, so that gitship can verify it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gitship.errors import FrontError
from gitship.front.host_table_vcl import TRIAL_HEADER
from gitship.front.vcl_labels import VclLabels

WAIT_S = 20.0


class Preview:
    """One at a time on the whole server; ``lock`` is held while the label moves, ``token`` tells gitship's requests."""

    def __init__(self, labels: VclLabels, lock: threading.RLock, token: Callable[[], str]) -> None:
        self._labels = labels
        self._lock = lock
        self._token = token
        self._turn = threading.Lock()
        self._vcl: str | None = None

    @contextmanager
    def of(self, vcl_name: str) -> Iterator[dict[str, str]]:
        """See ``Front.trial``."""
        if not self._turn.acquire(timeout=WAIT_S):
            raise FrontError("another app is being verified", "the next deploy tries it again")
        try:
            self.lead_to(vcl_name)
            yield {TRIAL_HEADER: self._token()}
        finally:
            try:
                self.lead_to(None)
            finally:
                self._turn.release()

    def settle(self) -> None:
        """The label is there and leads where it should: a gitship that was killed may have left it elsewhere."""
        with self._lock:
            self._labels.try_out(self._vcl)

    def lead_to(self, vcl_name: str | None) -> None:
        with self._lock:
            self._vcl = vcl_name
            self._labels.try_out(vcl_name)
