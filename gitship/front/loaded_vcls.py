"""VCLs loaded in Varnish: load, label, discard, and save for the next varnishd.

What is loaded and labelled is asked of Varnish each time, never remembered, so a restart of either side, or a second
gitship, cannot make this wrong. A switch asks only for its own label: the list takes 12 ms at 1000 apps.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gitship.errors import FrontError
from gitship.front import compiled_vcls, varnishd
from gitship.front.app_vcl import (
    APP_PREFIX,
    UNAVAILABLE,
    AppFront,
    app_vcl,
    digest,
    digest_of,
    for_version,
    label_name,
    vcl_name,
)
from gitship.front.canary_vcl import canary_label
from gitship.front.custom_vcl import refusal
from gitship.front.host_table_vcl import TOP_PREFIX
from gitship.front.pause_vcl import Pause
from gitship.front.state_files import BootFiles
from gitship.front.varnish_cli import Gone, InUse, LoadedVcl, VarnishCli
from gitship.front.vcl_labels import VclLabels, canaries, serving, table_in_use, targets
from gitship.front.visitor_limits import MODULE_CHECK

CHECK_PREFIX = "check_"
PRUNE_EVERY = 100  # switches; each leaves a compiled VCL of 120 KB behind
CACHED_PART = 16  # the largest response that is cached: this part of the cache

log = logging.getLogger("gitship.front")


class LoadedVcls:
    """``lock`` is held by whoever reads the state and then changes it; methods that change something take it."""

    def __init__(
        self,
        control: VarnishCli,
        files: BootFiles,
        directory: Path,
        memory_bytes: int,
        pause_of: Callable[[str], Pause | None],
        proxy: Path | None,
    ) -> None:
        """``memory_bytes`` is the size of the cache; ``pause_of`` tells the pause that the app of a slug is in.

        ``proxy`` is the socket of what websockets go through; None: there are none.
        """
        self.lock = threading.RLock()
        self.labels = VclLabels(control)
        self._control = control
        self._files = files
        self._directory = directory
        self._largest_cached_bytes = memory_bytes // CACHED_PART
        self._pause_of = pause_of
        self._proxy = proxy
        self._pending: set[str] = set()  # loaded by this gitship, not labelled yet
        self._saved = False  # everything that a label leads to is written down; only then one label is enough
        self._last_ms = 0
        self._switches = 0
        self._rates = False
        self._version = functools.cache(varnishd.version)

    def loaded(self) -> list[LoadedVcl]:
        return self._control.loaded()

    def load(self, app: AppFront) -> str:
        """See ``Front.load``."""
        app = self._adapted(app)
        name = vcl_name(app, self._milliseconds())
        with self.lock:
            self._pending.add(name)
        text = for_version(app_vcl(app, name, self._largest_cached_bytes), self._version())
        try:
            self._control.inline(name, text)
        except BaseException as error:
            with self.lock:
                self._pending.discard(name)
            if isinstance(error, FrontError) and app.gate.vcl:
                raise refusal(error.message, text) from None
            raise
        return name

    def load_as(self, prefix: str, text_of: Callable[[str], str]) -> str:
        """Compiles and loads what is no app's; ``text_of`` makes it for a name that begins with ``prefix``."""
        name = f"{prefix}{self._milliseconds()}"
        self._control.inline(name, text_of(name))
        return name

    def label(self, slug: str, vcl_name: str) -> str | None:
        """See ``Front.label``."""
        with self.lock:
            label, saved = label_name(slug), self._saved
            before = self._control.led_to(label) or targets(self._control.loaded()).get(slug)
            self.lead(label, vcl_name)
            if saved and before is not None and self._files.lead(label, before, vcl_name, self._control.text):
                self._saved = True
            else:
                self.save()
            self._switches += 1
            if self._switches % PRUNE_EVERY == 0:
                compiled_vcls.prune(self._directory)
            return before if before not in (vcl_name, UNAVAILABLE) else None

    def lead(self, label: str, vcl_name: str) -> None:
        """The ``label`` leads to ``vcl_name`` from now on. Not written down."""
        with self.lock:
            self._saved = False
            self._control.command("vcl.label", label, vcl_name)
            self._pending.discard(vcl_name)

    def bring(self, app: AppFront, labelled: str | None) -> None:
        """The app's label, which leads to ``labelled`` now, leads to what ``app`` says. Not written down."""
        app = self._adapted(app)
        if self.is_right(app, labelled):
            return
        self.lead(label_name(app.slug), self.load(app))

    def is_right(self, app: AppFront, labelled: str | None) -> bool:
        """Whether the VCL ``labelled`` does what ``app`` says."""
        if labelled is None:
            return False
        return digest_of(self.text(labelled)) == digest(self._adapted(app), self._largest_cached_bytes)

    def text(self, vcl_name: str) -> str:
        """The source of a loaded VCL."""
        return self._control.text(vcl_name)

    def discard(self, vcl_name: str) -> None:
        """See ``Front.discard``."""
        with self.lock:
            self._pending.discard(vcl_name)
            with suppress(InUse, Gone):
                self._control.discard(vcl_name)

    def discard_all(self, names: Iterable[str]) -> None:
        for name in names:
            self._control.discard(name)

    def discard_unneeded(self) -> None:
        """All VCLs of apps and tables of hosts that nobody is led to, and nobody will be."""
        loaded = self._control.loaded()
        needed = {*serving(loaded), *self._pending}
        self.discard_all(
            v.name
            for v in loaded
            if v.name.startswith((APP_PREFIX, TOP_PREFIX)) and not (v.active or v.discarded or v.name in needed)
        )

    def save(self) -> None:
        """Writes what the next varnishd shall have: what is loaded now."""
        loaded = self._control.loaded()
        table = table_in_use(loaded)
        if table is not None:
            retired = self.labels.retired(loaded)
            labels = {label_name(slug): name for slug, name in targets(loaded).items() if slug not in retired}
            named = self.labels.canaries(loaded)  # the table does not compile without them
            labels |= {canary_label(slug): name for slug, name in canaries(loaded).items() if slug in named}
            self._files.write(labels, table, self._control.text)
            self._saved = True

    def limits_rates(self) -> bool:
        """See ``Front.limits_rates``."""
        with self.lock:
            if not self._rates:
                with suppress(FrontError):
                    name = self.load_as(CHECK_PREFIX, lambda _: MODULE_CHECK)
                    self._rates = True
                    self._control.discard(name)
            return self._rates

    def _adapted(self, app: AppFront) -> AppFront:
        """With its pause and the way of its websockets, and without a limit that would keep it from being loaded."""
        app = replace(app, pause=self._pause_of(app.slug), proxy=self._proxy)
        if app.gate.limits.rate is None or self.limits_rates():
            return app
        log.warning("%s: its rate limit does not count, Varnish has no vsthrottle (varnish-modules)", app.app)
        return replace(app, gate=replace(app.gate, limits=replace(app.gate.limits, rate=None)))

    def _milliseconds(self) -> int:
        with self.lock:
            self._last_ms = max(self._last_ms + 1, int(time.time() * 1000))
            return self._last_ms
