"""Front of all apps, in Varnish: which VCL serves each app, and which host belongs to which app."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gitship.config_values import Address
from gitship.front.app_vcl import APP_PREFIX, UNAVAILABLE, AppFront, label_name
from gitship.front.backend_vcl import Backend, LocalBackend
from gitship.front.cache_settings import Purge
from gitship.front.canary_routes import CanaryRoutes
from gitship.front.loaded_vcls import LoadedVcls
from gitship.front.pause_state import PauseState
from gitship.front.preview import Preview
from gitship.front.routes import Routes
from gitship.front.tcp_ports import reachable
from gitship.front.varnish_service import VarnishService
from gitship.front.vcl_labels import serving, targets
from gitship.front.websocket_count import open_sockets
from gitship.front.websockets import Websockets

__all__ = ["AppFront", "Backend", "Front", "LocalBackend"]

WEBSOCKETS = "websockets"  # the directory of their proxy, ``Settings.websockets_dir``


class Front:
    """Safe from any thread. Every method raises FrontError when Varnish refuses or does not answer in time.

    ``canaries`` and ``pauses`` are those of the apps.
    """

    def __init__(
        self, http: Address, directory: Path, memory_bytes: int, busiest: Callable[[], Sequence[str]] = tuple
    ) -> None:
        """``http`` is where visitors arrive (port 0: any free one); everything is kept in ``directory`` (absolute).

        ``busiest`` tells the slugs of the apps that a new Varnish shall have first.
        """
        self._server = VarnishService(http, directory, memory_bytes, lambda: [label_name(slug) for slug in busiest()])
        self._control = self._server.control
        self.pauses = PauseState(
            directory, self._server.group, lambda: replace(self.address, host=reachable(self.address.host))
        )
        self._websockets = Websockets(directory / WEBSOCKETS, self._server.group)
        self._programs = LoadedVcls(
            self._control, self._server.files, directory, memory_bytes, self.pauses.of, self._websockets.path
        )
        self._lock = self._programs.lock
        token = self._server.trial_token
        self._trial = Preview(self._programs.labels, self._lock, token)
        self._routes = Routes(self._control, self._programs, self._trial, token)
        self.canaries = CanaryRoutes(self._programs, self._routes)
        self._holds: dict[int, threading.Lock] = {}

    # -- the process

    def ensure_running(self) -> None:
        """Starts varnishd with the state on disk, or takes over the one that runs; starts it anew for other settings.

        So, too, the proxy of websockets, but what is wrong with that is only logged. Raises FrontError that names who
        holds the port.
        """
        with self._lock:
            self._server.ensure_running()
        self._websockets.bring()

    def bring_websockets(self) -> bool:
        """Starts their proxy when it is gone, or logs why it can't; True when it was gone and runs again."""
        return self._websockets.bring()

    def takes_websockets(self) -> bool:
        """True when websockets are let through; they are answered 503 otherwise."""
        return self._websockets.alive()

    def stop(self) -> None:
        """Ends varnishd and the proxy of websockets: no site is served any more. What is on disk stays for the next
        start.
        """
        with self._lock:
            self._server.stop()
        self._websockets.stop()

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
        return self._programs.load(app)

    @contextmanager
    def trial(self, vcl_name: str) -> Iterator[dict[str, str]]:
        """Meanwhile requests with these headers, and no visitor's, get to a VCL that is loaded and not labelled.

        One at a time on the whole server. Raises FrontError when another one takes too long.
        """
        with self._trial.of(vcl_name) as headers:
            yield headers

    def label(self, slug: str, vcl_name: str) -> str | None:
        """Switches visitors to ``vcl_name`` (atomic, under 1 ms) and writes that down; the VCL before, still loaded."""
        return self._programs.label(slug, vcl_name)

    def labelled(self, slug: str) -> str | None:
        """The VCL that serves the app; None when there is none of its own."""
        return self.apps().get(slug)

    def apps(self) -> dict[str, str]:
        """Slug -> VCL that serves it."""
        return {slug: name for slug, name in targets(self._programs.loaded()).items() if name != UNAVAILABLE}

    def unlabelled(self, slug: str, release: str | None = None) -> list[str]:
        """VCLs of the app (of that release only) that serve no new visitor, but may still have requests in flight."""
        loaded = self._programs.loaded()
        own = re.compile(rf"{APP_PREFIX}{re.escape(slug)}_{release or 'v[0-9]+'}_[0-9]+")
        wanted = serving(loaded)
        return [vcl.name for vcl in loaded if own.fullmatch(vcl.name) and vcl.name not in wanted]

    def busy(self, vcl_name: str) -> int:
        """Threads at work in that VCL: one or two per request in flight, two per open websocket; 0 when it is gone."""
        return sum(vcl.busy for vcl in self._programs.loaded() if vcl.name == vcl_name)

    def sockets(self, vcl_names: Sequence[str]) -> int:
        """Websockets that are open in those VCLs. Each counts twice in ``busy``."""
        return open_sockets(self._server.workdir, vcl_names)

    def discard(self, vcl_name: str) -> None:
        """Unloads it; what is in flight in it still ends well. Nothing happens when it is gone or still labelled."""
        self._programs.discard(vcl_name)

    def remove(self, slug: str) -> None:
        """Takes the app out: its hosts (which get the 404 page) and its VCL. Nothing happens when it is gone."""
        with self._lock:
            self._routes.remove(slug)
            self.canaries.forget(slug)

    def purge(self, owner: str, purge: Purge) -> None:
        """From the next request on, what fits is forgotten in the cache of the app whose objects ``owner`` marks."""
        self._control.command(*purge.ban(owner))

    def limits_rates(self) -> bool:
        """True when Varnish has the module for it; found out by loading a small VCL (25 ms), until it has."""
        return self._programs.limits_rates()

    # -- all apps

    def hosts(self) -> dict[str, str]:
        """Host name -> slug, as it is served now."""
        return self._routes.hosts()

    def bring_hosts(self, hosts: Callable[[], Mapping[str, str]]) -> bool:
        """As ``set_hosts``, with what is wanted at that very moment; True when it was not so already."""
        return self._routes.bring_hosts(hosts)

    def set_hosts(self, hosts: Mapping[str, str]) -> None:
        """``hosts`` (host name -> slug) is all that is served; a slug without a VCL gets one that says so."""
        self._routes.set_hosts(hosts)

    def answer_challenges(self, answers: Mapping[str, str]) -> None:
        """``answers`` (token -> answer) is all that Varnish tells a certificate authority from now on."""
        self._routes.answer_challenges(answers)

    def wrong(self, apps: Sequence[AppFront]) -> list[str]:
        """Slugs of those whose visitors get something else than this now."""
        return self._routes.wrong(apps)

    def reload(self, apps: Sequence[AppFront], hosts: Mapping[str, str]) -> None:
        """Brings Varnish to exactly this state; an app whose VCL is right already is not touched.

        An app whose VCL cannot be loaded keeps what it has, and the first such error is raised at the end.
        """
        self._routes.reload(apps, hosts)
