"""Varnish as gitship sees it: which app is served by which VCL, and which host leads to which app.

What is loaded and labelled is asked of Varnish each time (vcl.list: 12 ms at 1000 apps), never remembered, so a restart
of either side, or a second gitship, cannot make this wrong.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from gitship.configvalues import Address
from gitship.errors import FrontError
from gitship.front import challenges, compiled
from gitship.front.cache import Purge
from gitship.front.control import Loaded
from gitship.front.custom import refusal
from gitship.front.hold import Hold
from gitship.front.hosts import TOP_PREFIX, top_vcl
from gitship.front.labels import Labels, canaries, serving, table_in_use, targets
from gitship.front.limits import MODULE_CHECK
from gitship.front.pause import Pause
from gitship.front.ports import reachable
from gitship.front.server import Server
from gitship.front.side import Share, canary_label
from gitship.front.sockets import open_sockets
from gitship.front.trial import Trial
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

CHECK_PREFIX = "check_"
PRUNE_EVERY = 100  # switches; each leaves a compiled VCL of 160 KB behind
CACHED_PART = 16  # the largest response that is cached: this part of the cache

log = logging.getLogger("gitship.front")


class Front:
    """Safe from any thread. Every method raises FrontError when Varnish refuses or does not answer in time."""

    def __init__(
        self, http: Address, directory: Path, memory_bytes: int, busiest: Callable[[], Sequence[str]] = tuple
    ) -> None:
        """``http`` is where visitors arrive (port 0: any free one); everything is kept in ``directory`` (absolute).

        ``busiest`` tells the slugs of the apps that a new Varnish shall have first.
        """
        self._server = Server(http, directory, memory_bytes, lambda: [label_name(slug) for slug in busiest()])
        self._control = self._server.control
        self._files = self._server.files
        self._labels = Labels(self._control)
        self._largest_cached_bytes = memory_bytes // CACHED_PART
        self._lock = threading.RLock()  # what reads the state and then changes it
        self._pending: set[str] = set()  # loaded by this gitship, not labelled yet
        self._last_ms = 0
        self._switches = 0
        self._trial = Trial(self._labels, self._lock, self._server.trial_token)
        self._holds: dict[int, threading.Lock] = {}
        self._shares: dict[str, Share] = {}  # a canary never outlives the gitship that watches it
        self._directory = directory
        self._rates = False
        self._paused: dict[str, tuple[Pause, Hold]] = {}

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

    @property
    def workdir(self) -> Path:
        """Varnish's own directory, in which its log is found."""
        return self._server.workdir

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
        app = self._adapted(app)
        name = vcl_name(app, self._milliseconds())
        with self._lock:
            self._pending.add(name)
        text = app_vcl(app, name, self._largest_cached_bytes)
        try:
            self._control.inline(name, text)
        except BaseException as error:
            with self._lock:
                self._pending.discard(name)
            if isinstance(error, FrontError) and app.gate.vcl:
                raise refusal(error.message, text) from None
            raise
        return name

    @contextmanager
    def trial(self, vcl_name: str) -> Iterator[dict[str, str]]:
        """Meanwhile requests with these headers, and no visitor's, get to a VCL that is loaded and not labelled.

        One at a time on the whole server. Raises FrontError when another one takes too long.
        """
        with self._trial.of(vcl_name) as headers:
            yield headers

    def label(self, slug: str, vcl_name: str) -> str | None:
        """Switches visitors to ``vcl_name`` (atomic, under 1 ms) and writes that down; the VCL before, still loaded."""
        with self._lock:
            loaded = self._control.loaded()
            before = targets(loaded).get(slug)
            self._control.command("vcl.label", label_name(slug), vcl_name)
            self._pending.discard(vcl_name)
            self._save([*loaded, Loaded(label_name(slug), False, False, 0, vcl_name)])  # asked for once: 12 ms
            self._switches += 1
            if self._switches % PRUNE_EVERY == 0:
                compiled.prune(self._directory)
            return before if before not in (vcl_name, UNAVAILABLE) else None

    def labelled(self, slug: str) -> str | None:
        """The VCL that serves the app; None when there is none of its own."""
        return self.apps().get(slug)

    def apps(self) -> dict[str, str]:
        """Slug -> VCL that serves it."""
        return {slug: name for slug, name in targets(self._control.loaded()).items() if name != UNAVAILABLE}

    def unlabelled(self, slug: str, release: str | None = None) -> list[str]:
        """VCLs of the app (of that release only) that serve no new visitor, but may still have requests in flight."""
        loaded = self._control.loaded()
        own = re.compile(rf"{APP_PREFIX}{re.escape(slug)}_{release or 'v[0-9]+'}_[0-9]+")
        wanted = serving(loaded)
        return [vcl.name for vcl in loaded if own.fullmatch(vcl.name) and vcl.name not in wanted]

    def busy(self, vcl_name: str) -> int:
        """Threads at work in that VCL: one or two per request in flight, two per open websocket; 0 when it is gone."""
        return sum(vcl.busy for vcl in self._control.loaded() if vcl.name == vcl_name)

    def sockets(self, vcl_names: Sequence[str]) -> int:
        """Websockets that are open in those VCLs. Each counts twice in ``busy``."""
        return open_sockets(self._server.workdir, vcl_names)

    def discard(self, vcl_name: str) -> None:
        """Unloads it; what is in flight in it still ends well. Nothing happens when it is gone or still labelled."""
        with self._lock:
            self._pending.discard(vcl_name)
            loaded = self._control.loaded()
            if vcl_name not in serving(loaded):
                self._discard(v.name for v in loaded if v.name == vcl_name and not v.discarded)

    def remove(self, slug: str) -> None:
        """Takes the app out: its hosts (which get the 404 page) and its VCL. Nothing happens when it is gone."""
        with self._lock:
            self._shares.pop(slug, None)
            table = self._labels.hosts(table_in_use(self._control.loaded()))
            self.set_hosts({host: s for host, s in table.items() if s != slug})
            self._labels.retire(slug)
            self._end_canary(slug)

    # -- a canary: a second VCL of an app, for a share of its visitors

    def canary(self, slug: str) -> str | None:
        """The VCL that serves the app's canary, if there is one."""
        vcl = canaries(self._control.loaded()).get(slug)
        return None if vcl == UNAVAILABLE else vcl

    def label_canary(self, slug: str, vcl_name: str) -> str | None:
        """The canary's visitors have ``vcl_name`` from now on (atomic); the canary's VCL before, still loaded."""
        with self._lock:
            before = canaries(self._control.loaded()).get(slug)
            self._control.command("vcl.label", canary_label(slug), vcl_name)
            self._pending.discard(vcl_name)
            self._save()
            return before if before not in (vcl_name, UNAVAILABLE) else None

    def share(self, slug: str, share: Share) -> None:
        """From now on that share of the app's visitors is led to the VCL of ``label_canary``, and stays there."""
        with self._lock:
            self._shares[slug] = share
            self.set_hosts(self._labels.hosts(table_in_use(self._control.loaded())))

    def end_share(self, slug: str) -> str | None:
        """All visitors have the app's own VCL again; the canary's, in which there may be requests in flight."""
        with self._lock:
            self._shares.pop(slug, None)
            self.set_hosts(self._labels.hosts(table_in_use(self._control.loaded())))
            return self._end_canary(slug)

    def purge(self, owner: str, purge: Purge) -> None:
        """From the next request on, what fits is forgotten in the cache of the app whose objects ``owner`` marks."""
        self._control.command(*purge.ban(owner))

    def limits_rates(self) -> bool:
        """True when Varnish has the module for it; found out by loading a small VCL (25 ms), until it has."""
        with self._lock:
            if not self._rates:
                name = f"{CHECK_PREFIX}{self._milliseconds()}"
                with suppress(FrontError):
                    self._control.inline(name, MODULE_CHECK)
                    self._rates = True
                    self._control.discard(name)
            return self._rates

    # -- pauses: only this gitship knows of them, so they end with it

    def pause(self, slug: str, number: int, until: float) -> None:
        """VCLs of the app that are loaded from now on, until that moment, make requests wait, once ``hold`` is called.

        ``number`` tells the pause from those of other apps.
        """
        path = self._directory / f"pause-{number}.sock"
        try:
            pause = Pause(path, secrets.token_hex(16), until)
        except ValueError:
            raise FrontError(f"the path {path} is too long for a socket", "choose a shorter data_dir") from None
        hold = Hold(pause, self._server.group)
        with self._lock:
            self._paused[slug] = (pause, hold)

    def hold(self, slug: str, host: str) -> None:
        """Visitors wait from now on, also when Varnish has lost its worker since; ``host`` is one of the app's."""
        found = self._paused.get(slug)
        if found is not None and found[1].lost:
            found[1].establish(replace(self.address, host=reachable(self.address.host)), host)

    def pause_of(self, slug: str) -> Pause | None:
        found = self._paused.get(slug)
        return found[0] if found else None

    def resume(self, slug: str) -> None:
        """Lets everybody go, at once; the VCL that serves is still that of the pause."""
        with self._lock:
            found = self._paused.pop(slug, None)
        if found is not None:
            found[1].end()

    # -- all apps

    def hosts(self) -> dict[str, str]:
        """Host name -> slug, as it is served now."""
        return self._labels.hosts(table_in_use(self._control.loaded()))

    def bring_hosts(self, hosts: Callable[[], Mapping[str, str]]) -> bool:
        """As ``set_hosts``, with what is wanted at that very moment; True when it was not so already."""
        with self._lock:
            wanted = hosts()
            before = self.hosts()
            self.set_hosts(wanted)
            return before != wanted

    def wrong(self, apps: Sequence[AppFront]) -> list[str]:
        """Slugs of those whose visitors get something else than this now."""
        labels = targets(self._control.loaded())
        return [app.slug for app in apps if not self._is_right(self._adapted(app), labels.get(app.slug))]

    def set_hosts(self, hosts: Mapping[str, str]) -> None:
        """``hosts`` (host name -> slug) is all that is served; a slug without a VCL gets one that says so."""
        with self._lock:
            loaded = self._control.loaded()
            table = table_in_use(loaded)
            new = set(hosts.values()) - (targets(loaded).keys() - self._labels.retired(loaded))
            for slug in sorted(new):
                self._label_first(slug)
            self._trial.settle()  # before the table names its label
            if not any(vcl.name == challenges.LABEL for vcl in loaded):  # a varnishd from before there was HTTPS
                self._answer({})
            text = top_vcl(hosts, self._server.trial_token(), self._shares)
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
            self._trial.settle()
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
            for slug in canaries(self._control.loaded()).keys() - self._shares.keys():
                self._labels.end_canary(slug)
            self._labels.sweep()
            self._save()
            loaded = self._control.loaded()
            needed = {*serving(loaded), *self._pending}
            self._discard(
                v.name
                for v in loaded
                if v.name.startswith((APP_PREFIX, TOP_PREFIX)) and not (v.active or v.discarded or v.name in needed)
            )
        if failed:
            raise failed[0]

    # -- within, under the lock

    def _bring(self, app: AppFront, labelled: str | None) -> None:
        app = self._adapted(app)
        if self._is_right(app, labelled):
            return
        name = self.load(app)
        self._control.command("vcl.label", label_name(app.slug), name)
        self._pending.discard(name)

    def _is_right(self, app: AppFront, labelled: str | None) -> bool:
        if labelled is None:
            return False
        return digest_of(self._control.text(labelled)) == digest(app, self._largest_cached_bytes)

    def _adapted(self, app: AppFront) -> AppFront:
        """With its pause, and without a limit that would keep it from being loaded."""
        app = replace(app, pause=self.pause_of(app.slug))
        if app.gate.limits.rate is None or self.limits_rates():
            return app
        log.warning("%s: its rate limit does not count, Varnish has no vsthrottle (varnish-modules)", app.app)
        return replace(app, gate=replace(app.gate, limits=replace(app.gate.limits, rate=None)))

    def _label_first(self, slug: str) -> None:
        name = slug.replace("_", ".")  # App.slug backwards
        app = AppFront(slug, name, "v0", cache_key="none", backends=(), verify_token="")
        self._bring(app, None)

    def _end_canary(self, slug: str) -> str | None:
        vcl = self._labels.end_canary(slug)
        self._labels.sweep()
        self._save()
        return vcl

    def _answer(self, answers: Mapping[str, str]) -> None:
        name = f"{challenges.PREFIX}{self._milliseconds()}"
        self._control.inline(name, challenges.vcl(name, answers))
        self._control.command("vcl.label", challenges.LABEL, name)
        old = [v for v in self._control.loaded() if v.name.startswith(challenges.PREFIX) and v.name != name]
        self._discard(v.name for v in old if not v.discarded)

    def _discard(self, names: Iterable[str]) -> None:
        for name in names:
            self._control.discard(name)

    def _save(self, loaded: list[Loaded] | None = None) -> None:
        """Writes what the next varnishd shall have: what is ``loaded``, of which the last word counts."""
        if loaded is None:
            loaded = self._control.loaded()
        table = table_in_use(loaded)
        if table is not None:
            retired = self._labels.retired(loaded)
            labels = {label_name(slug): name for slug, name in targets(loaded).items() if slug not in retired}
            named = self._labels.canaries(loaded)  # the table does not compile without them
            labels |= {canary_label(slug): name for slug, name in canaries(loaded).items() if slug in named}
            self._files.write(labels, table, self._control.text)

    def _milliseconds(self) -> int:
        with self._lock:
            self._last_ms = max(self._last_ms + 1, int(time.time() * 1000))
            return self._last_ms
