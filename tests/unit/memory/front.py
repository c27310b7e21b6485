"""Varnish in memory: which VCL is loaded, which has which label, and what was purged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front.cache_settings import Purge
from gitship.front.front import AppFront, Front
from gitship.front.pause_vcl import Pause


class MemoryPauses:
    """Keeps in mind who is paused; no request waits."""

    def __init__(self) -> None:
        self._paused: dict[str, Pause] = {}

    def begin(self, slug: str, number: int, until: float) -> None:
        self._paused[slug] = Pause(Path(f"/pause-{number}"), "0" * 32, until)

    def hold(self, slug: str, host: str) -> None:
        pass

    def of(self, slug: str) -> Pause | None:
        return self._paused.get(slug)

    def end(self, slug: str) -> None:
        self._paused.pop(slug, None)


class MemoryFront(Front):
    """``nonsense`` in an app's own VCL is what it does not take; without ``rates`` it has no module for them."""

    def __init__(self, port: int = 80) -> None:
        self.port = port
        self.rates = True
        self.loaded: dict[str, AppFront] = {}
        self.labels: dict[str, str] = {}
        self.table: Mapping[str, str] = {}
        self.purged: list[tuple[str, Purge]] = []
        self.removed: list[str] = []
        self.pauses: Any = MemoryPauses()
        self.canaries: Any = SimpleNamespace(label=lambda slug, vcl: None)
        self._number = 0
        self._hold = threading.RLock()

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)

    @property
    def workdir(self) -> Path:
        raise FrontError("Varnish has no directory")

    def alive(self) -> bool:
        return True

    def ensure_running(self) -> None:
        pass

    def limits_rates(self) -> bool:
        return self.rates

    @contextmanager
    def holding(self, app_id: int) -> Iterator[None]:
        with self._hold:
            yield

    def load(self, app: AppFront) -> str:
        if "nonsense" in app.gate.vcl:
            raise FrontError("Varnish refuses the app's own VCL:\nnonsense (line 1", "`vcl:show`")
        self._number += 1
        name = f"{app.slug}-{self._number}"
        self.loaded[name] = app
        return name

    def label(self, slug: str, vcl_name: str) -> str | None:
        old, self.labels[slug] = self.labels.get(slug), vcl_name
        return old

    def labelled(self, slug: str) -> str | None:
        return self.labels.get(slug)

    def discard(self, vcl_name: str) -> None:
        self.loaded.pop(vcl_name, None)

    def unlabelled(self, slug: str, release: str | None = None) -> list[str]:
        return [
            name
            for name, app in self.loaded.items()
            if app.slug == slug and release in (None, app.release) and name != self.labels.get(slug)
        ]

    def remove(self, slug: str) -> None:
        self.removed.append(slug)
        self.labels.pop(slug, None)

    def busy(self, vcl_name: str) -> int:
        return 0

    def sockets(self, vcl_names: Sequence[str]) -> int:
        return 0

    def hosts(self) -> dict[str, str]:
        return dict(self.table)

    def bring_hosts(self, hosts: Callable[[], Mapping[str, str]]) -> bool:
        before, self.table = self.table, hosts()
        return self.table != before

    def purge(self, owner: str, purge: Purge) -> None:
        self.purged.append((owner, purge))
