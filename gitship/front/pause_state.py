"""Pauses of apps in this process; they end when gitship stops."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front.pause_request import PauseRequest
from gitship.front.pause_vcl import Pause


class PauseState:
    """By slug; safe from any thread."""

    def __init__(self, directory: Path, group: int | None, varnish: Callable[[], Address]) -> None:
        """Sockets are in ``directory``, for ``group`` (None: this user only); ``varnish`` is where requests arrive."""
        self._directory = directory
        self._group = group
        self._varnish = varnish
        self._lock = threading.Lock()
        self._paused: dict[str, tuple[Pause, PauseRequest]] = {}

    def begin(self, slug: str, number: int, until: float) -> None:
        """VCLs of the app that are loaded from now on, until that moment, make requests wait, once ``hold`` is called.

        ``number`` tells the pause from those of other apps.
        """
        path = self._directory / f"pause-{number}.sock"
        try:
            pause = Pause(path, secrets.token_hex(16), until)
        except ValueError:
            raise FrontError(f"the path {path} is too long for a socket", "choose a shorter data_dir") from None
        hold = PauseRequest(pause, self._group)
        with self._lock:
            self._paused[slug] = (pause, hold)

    def hold(self, slug: str, host: str) -> None:
        """Visitors wait from now on, also when Varnish has lost its worker since; ``host`` is one of the app's."""
        found = self._paused.get(slug)
        if found is not None and found[1].lost:
            found[1].establish(self._varnish(), host)

    def holds(self, slug: str) -> bool:
        """True while visitors wait; False also before ``hold``, and when Varnish has hung up."""
        found = self._paused.get(slug)
        return found is not None and not found[1].lost

    def of(self, slug: str) -> Pause | None:
        found = self._paused.get(slug)
        return found[0] if found else None

    def end(self, slug: str) -> None:
        """Lets everybody go, at once; the VCL that serves is still that of the pause."""
        with self._lock:
            found = self._paused.pop(slug, None)
        if found is not None:
            found[1].end()
