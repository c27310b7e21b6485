"""Fetches the owner's chosen pages into the cache of a new release before it gets visitors."""

from __future__ import annotations

import dataclasses
import http.client
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from gitship.config import Settings
from gitship.containers import http_request
from gitship.containers.http_request import Timeout, WaitInterrupted, numeric
from gitship.deploy import output
from gitship.deploy.rollout import Rollout
from gitship.errors import GitshipError
from gitship.front.front import AppFront, Front
from gitship.front.gate import OPEN
from gitship.front.tcp_ports import reachable
from gitship.routing.desired_state import DesiredState
from gitship.routing.urls import urls
from gitship.store import Store

MOST_S = 10.0  # for all pages together
ONE_S = 5.0
PARALLEL = 4
MOST_HOSTS = 5
MOST_BYTES = 256 << 20  # of a page
TOLD = 5  # failures


@dataclass(frozen=True, slots=True)
class WarmedPages:
    """How many of ``pages`` are in the cache now; ``failures`` say why others are not, a sentence each."""

    pages: int
    failures: tuple[str, ...]

    def __str__(self) -> str:
        return f"Warmed {self.pages - len(self.failures)} of {self.pages} pages"


class CacheWarmer:
    """Never raises: a page that is not in the cache costs its first visitor a little time, no more."""

    def __init__(self, settings: Settings, store: Store, front: Front) -> None:
        self._settings = settings
        self._store = store
        self._front = front
        self._wanted = DesiredState(store, settings.domain)

    def before_the_switch(self, rollout: Rollout) -> None:
        """Pages of another release than the live one's are fetched before anybody asks for them."""
        app, previous, journal = rollout.app, rollout.previous, rollout.job.journal
        wanted = self._wanted.after(app, rollout.release, rollout.wanted, stopped=rollout.stopped, before=None)
        there = previous is not None and self._wanted.cache_key(app, previous) == wanted.cache_key
        if not wanted.cache.warm or not wanted.backends or there:
            return
        began = time.monotonic()
        found = urls(self._store, self._settings, app, self._front.address.port)
        warmed = self._warm(wanted, found, rollout.job.cancel)
        journal.line(output.headline(str(warmed), time.monotonic() - began))
        for failure in warmed.failures[:TOLD]:
            journal.detail(failure)

    def _warm(self, wanted: AppFront, found: Sequence[str], cancel: threading.Event) -> WarmedPages:
        """Fetches the paths from ``wanted``, at each of the URLs ``found``, where no visitor gets to it."""
        pages = [(urlsplit(url).netloc, path) for url in found[:MOST_HOSTS] for path in wanted.cache.warm]
        deadline = time.monotonic() + MOST_S
        try:
            vcl = self._front.load(dataclasses.replace(wanted, gate=OPEN, before=None))
            try:
                with (
                    self._front.trial(vcl) as headers,
                    ThreadPoolExecutor(PARALLEL, thread_name_prefix="warm") as pool,
                ):
                    runs = [pool.submit(self._fetch, host, path, headers, deadline, cancel) for host, path in pages]
                    failures = [failure for run in runs if (failure := run.result()) is not None]
            finally:
                self._front.discard(vcl)
        except GitshipError as error:
            failures = [error.message] * len(pages)
        return WarmedPages(len(pages), tuple(failures))

    def _fetch(
        self, host: str, path: str, headers: dict[str, str], deadline: float, cancel: threading.Event
    ) -> str | None:
        """What went wrong."""
        limit = min(deadline, time.monotonic() + ONE_S)
        address = self._front.address
        to = numeric(reachable(address.host), address.port)
        sent = {"Host": host, "User-Agent": "gitship-warm", "Accept-Encoding": "gzip", **headers}
        late = f"{path} was not fetched: out of time"
        try:
            patience = Timeout(limit, (cancel,))
            with http_request.request("GET", to, path, sent, patience, most_bytes=MOST_BYTES) as response:
                while response.read(1 << 16):
                    pass
        except WaitInterrupted:
            return late
        except (OSError, http.client.HTTPException) as error:
            return late if time.monotonic() >= deadline else f"{path} at {host}: {error or type(error).__name__}"
        if response.status >= 400:
            return f"{path} at {host} answered {response.status}"
        if response.headers.get("X-Cache") == "pass":
            return f"{path} at {host} cannot be cached: the app does not allow it"
        return None
