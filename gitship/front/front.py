"""Varnish as gitship sees it: which app is served by which VCL, and which host leads to which app.

What is loaded and labelled is asked of Varnish each time (vcl.list: 12 ms at 1000 apps), never remembered, so a restart
of either side, or a second gitship, cannot make this wrong.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from gitship.config import Address
from gitship.errors import FrontError
from gitship.front import challenges
from gitship.front.hosts import TOP_PREFIX, top_vcl
from gitship.front.labels import Labels, table_in_use, targets
from gitship.front.server import Server
from gitship.front.vcl import (
    APP_PREFIX,
    UNAVAILABLE,
    AppFront,
    Backend,
    app_vcl,
    digest,
    digest_of,
    label_name,
    vcl_name,
)

__all__ = ["AppFront", "Backend", "Front"]

CACHED_PART = 16  # the largest response that is cached: this part of the cache

log = logging.getLogger("gitship.front")


class Front:
    """Safe from any thread. Every method raises FrontError when Varnish refuses or does not answer in time."""

    def __init__(self, http: Address, directory: Path, memory_bytes: int) -> None:
        """``http`` is where visitors arrive (port 0: any free one); everything is kept in ``directory`` (absolute)."""
        self._server = Server(http, directory, memory_bytes)
        self._control = self._server.control
        self._files = self._server.files
        self._labels = Labels(self._control)
        self._largest_cached_bytes = memory_bytes // CACHED_PART
        self._lock = threading.RLock()  # what reads the state and then changes it
        self._pending: set[str] = set()  # loaded by this gitship, not labelled yet
        self._last_ms = 0
        self._holds: dict[int, threading.Lock] = {}

    # -- the process

    def ensure_running(self) -> None:
        """Starts varnishd with the state on disk, or takes over the one that runs; starts it anew for other settings.

        Raises FrontError that names who holds the port.
        """
        with self._lock:
            self._server.ensure_running()

    def stop(self) -> None:
        """Ends varnishd: no site is served any more. The state on disk stays for the next start."""
        with self._lock:
            self._server.stop()

    def close(self) -> None:
        """Lets go of Varnish, which serves on."""
        self._control.close()

    def alive(self) -> bool:
        """True when varnishd runs, answers, and serves."""
        return self._server.alive()

    @property
    def address(self) -> Address:
        """Where visitors arrive, with the real port; it stays the same over a restart of varnishd."""
        return self._server.address

    # -- one app

    @contextmanager
    def holding(self, app_id: int) -> Iterator[None]:
        """For whoever reads what an app is, loads a VCL of it and labels that: no other such change comes between.

        Waits for as long as the other change takes, which is bounded by the time-outs of what it does.
        """
        with self._lock:
            hold = self._holds.setdefault(app_id, threading.Lock())
        with hold:
            yield

    def load(self, app: AppFront) -> str:
        """Compiles and loads the app's VCL beside the one that serves; its name. Nothing is switched, nothing written.

        Raises FrontError with the compiler's message.
        """
        name = vcl_name(app, self._milliseconds())
        with self._lock:
            self._pending.add(name)
        try:
            self._control.inline(name, app_vcl(app, name, self._largest_cached_bytes))
        except BaseException:
            with self._lock:
                self._pending.discard(name)
            raise
        return name

    def label(self, slug: str, vcl_name: str) -> str | None:
        """Switches visitors to ``vcl_name`` (atomic, under 1 ms) and writes that down; the VCL before, still loaded."""
        with self._lock:
            before = self.labelled(slug)
            self._control.command("vcl.label", label_name(slug), vcl_name)
            self._pending.discard(vcl_name)
            self._save()
            return before if before != vcl_name else None

    def labelled(self, slug: str) -> str | None:
        """The VCL that serves the app; None when there is none of its own."""
        return self.apps().get(slug)

    def apps(self) -> dict[str, str]:
        """Slug -> VCL that serves it."""
        return {slug: name for slug, name in targets(self._control.loaded()).items() if name != UNAVAILABLE}

    def unlabelled(self, slug: str) -> list[str]:
        """VCLs of the app that serve no new visitor, but may still have requests in flight."""
        loaded = self._control.loaded()
        own = re.compile(rf"{APP_PREFIX}{re.escape(slug)}_v[0-9]+_[0-9]+")
        serving = set(targets(loaded).values())
        return [vcl.name for vcl in loaded if own.fullmatch(vcl.name) and vcl.name not in serving]

    def busy(self, vcl_name: str) -> int:
        """Threads at work in that VCL: one or two per request in flight, two per open websocket; 0 when it is gone."""
        return sum(vcl.busy for vcl in self._control.loaded() if vcl.name == vcl_name)

    def discard(self, vcl_name: str) -> None:
        """Unloads it; what is in flight in it still ends well. Nothing happens when it is gone or still labelled."""
        with self._lock:
            self._pending.discard(vcl_name)
            loaded = self._control.loaded()
            if vcl_name not in targets(loaded).values():
                self._discard(v.name for v in loaded if v.name == vcl_name and not v.discarded)

    def remove(self, slug: str) -> None:
        """Takes the app out: its hosts (which get the 404 page) and its VCL. Nothing happens when it is gone."""
        with self._lock:
            table = self._labels.hosts(table_in_use(self._control.loaded()))
            self.set_hosts({host: s for host, s in table.items() if s != slug})
            self._labels.retire(slug)
            self._labels.sweep()
            self._save()

    # -- all apps

    def set_hosts(self, hosts: Mapping[str, str]) -> None:
        """``hosts`` (host name -> slug) is all that is served; a slug without a VCL gets one that says so."""
        with self._lock:
            loaded = self._control.loaded()
            table = table_in_use(loaded)
            new = set(hosts.values()) - (targets(loaded).keys() - self._labels.retired(loaded))
            for slug in sorted(new):
                self._label_first(slug)
            if not any(vcl.name == challenges.LABEL for vcl in loaded):  # a varnishd from before there was HTTPS
                self._answer({})
            text = top_vcl(hosts)
            if table is not None and self._control.text(table) == text.strip():
                if new:
                    self._save()
                return
            name = f"{TOP_PREFIX}{self._milliseconds()}"
            self._control.inline(name, text)
            self._control.command("vcl.use", name)
            self._save()
            self._discard(v.name for v in loaded if v.name.startswith(TOP_PREFIX) and not v.discarded)
            self._labels.sweep()

    def answer_challenges(self, answers: Mapping[str, str]) -> None:
        """``answers`` (token -> answer) is all that Varnish tells a certificate authority from now on."""
        with self._lock:
            self._answer(answers)

    def reload(self, apps: Sequence[AppFront], hosts: Mapping[str, str]) -> None:
        """Brings Varnish to exactly this state; an app whose VCL is right already is not touched.

        An app whose VCL cannot be loaded keeps what it has, and the first such error is raised at the end.
        """
        failed: list[FrontError] = []
        with self._lock:
            labels = targets(self._control.loaded())
            for app in apps:
                try:
                    self._bring(app, labels.get(app.slug))
                except FrontError as error:
                    log.error("%s: %s", app.app, error.message)
                    failed.append(error)
            self.set_hosts(hosts)
            for slug in labels.keys() - {a.slug for a in apps} - set(hosts.values()):
                self._labels.retire(slug)
            self._labels.sweep()
            self._save()
            loaded = self._control.loaded()
            needed = {*targets(loaded).values(), *self._pending}
            self._discard(
                v.name
                for v in loaded
                if v.name.startswith((APP_PREFIX, TOP_PREFIX)) and not (v.active or v.discarded or v.name in needed)
            )
        if failed:
            raise failed[0]

    # -- within, under the lock

    def _bring(self, app: AppFront, labelled: str | None) -> None:
        if labelled is not None and digest_of(self._control.text(labelled)) == digest(app, self._largest_cached_bytes):
            return
        name = self.load(app)
        self._control.command("vcl.label", label_name(app.slug), name)
        self._pending.discard(name)

    def _label_first(self, slug: str) -> None:
        name = slug.replace("_", ".")  # App.slug backwards
        app = AppFront(slug, name, "v0", cache_key="none", backends=(), verify_token="")
        self._bring(app, None)

    def _answer(self, answers: Mapping[str, str]) -> None:
        name = f"{challenges.PREFIX}{self._milliseconds()}"
        self._control.inline(name, challenges.vcl(name, answers))
        self._control.command("vcl.label", challenges.LABEL, name)
        old = [v for v in self._control.loaded() if v.name.startswith(challenges.PREFIX) and v.name != name]
        self._discard(v.name for v in old if not v.discarded)

    def _discard(self, names: Iterable[str]) -> None:
        for name in names:
            self._control.command("vcl.discard", name)

    def _save(self) -> None:
        loaded = self._control.loaded()
        table = table_in_use(loaded)
        if table is not None:
            retired = self._labels.retired(loaded)
            apps = {slug: name for slug, name in targets(loaded).items() if slug not in retired}
            self._files.write(apps, table, self._control.text)

    def _milliseconds(self) -> int:
        with self._lock:
            self._last_ms = max(self._last_ms + 1, int(time.time() * 1000))
            return self._last_ms
