"""Desired Varnish configuration of each app, from the store, without containers that are out of service."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Collection, Iterable

from gitship.appfiles import cache_rules
from gitship.appsettings import BEFORE, ERROR_PAGE, STOPPED, ReleaseBefore
from gitship.front.app_vcl import NO_RELEASE
from gitship.front.cache_settings import CacheSettings, PreviousCache
from gitship.front.front import AppFront, Backend
from gitship.front.probe_vcl import Probe
from gitship.model import WEB, App, Container, Release
from gitship.routing.gate_settings import gate_of
from gitship.store import Store


class DesiredState:
    """Reads the store anew each time, so that a restarted gitship finds Varnish as it would load it."""

    def __init__(self, store: Store, domain: str, out: Callable[[], Collection[str]] = frozenset) -> None:
        """``out`` are the ids of containers that shall have no traffic while others serve."""
        self._out = out
        self._store = store
        self._domain = domain
        self._secret = store.secret()

    def front(self, app: App) -> AppFront:
        """As the app is now."""
        release = self._store.release(app.live_release) if app.live_release else None
        stopped = self._store.setting(app.id, STOPPED) is True
        before = self._store.setting(app.id, BEFORE)
        return self.after(app, release, self._store.containers(app.id), stopped=stopped, before=before)

    def after(
        self,
        app: App,
        release: Release | None,
        containers: Iterable[Container],
        *,
        stopped: bool,
        before: ReleaseBefore | None,
    ) -> AppFront:
        """As the app is once ``release`` is live; without one, or without web containers, nothing is behind it.

        ``before`` is the setting BEFORE as it is then.
        """
        web = [c for c in containers if c.process == WEB and c.port]
        out = self._out()
        serving = [c for c in web if c.id not in out] or web
        backends = tuple(Backend(c.name, c.address, c.port) for c in serving if c.port)
        behind = f"{app.id}/{release.id if release else 0}/{' '.join(b.name for b in backends)}"
        settings = self._store.app_settings(app.id)
        cache = cache_rules.cache(release.cache if release else {}, settings)
        return AppFront(
            slug=app.slug,
            app=app.name,
            release=release.label if release else NO_RELEASE,
            cache_key=cache_key(app, release, cache),
            backends=backends,
            verify_token=hmac.new(self._secret, behind.encode(), "sha256").hexdigest()[:32],
            probe=probe_of(release, f"{app.name}.{self._domain}") if release else None,
            stopped=stopped,
            web=release is None or release.process(WEB) is not None,
            gate=gate_of(self._store, app.id),
            cache=cache,
            before=PreviousCache(before.key, before.since + cache.assets_for_s) if before else None,
            error_page=settings.get(ERROR_PAGE),
            id=app.id,
        )

    def left_behind(self, app: App, previous: Release | None, release: Release) -> ReleaseBefore | None:
        """BEFORE once ``release`` takes the place of ``previous``: as it is, when both share their cache."""
        if previous is None:
            return None
        key = self.cache_key(app, previous)
        if key == self.cache_key(app, release):
            return self._store.setting(app.id, BEFORE)
        return ReleaseBefore(key, int(time.time()))

    def cache_key(self, app: App, release: Release) -> str:
        """The one of ``release`` with the app's settings as they are now."""
        return cache_key(app, release, cache_rules.cache(release.cache, self._store.app_settings(app.id)))


def owner(app: App) -> str:
    """What all cached objects of the app are marked with. Its id is never used again."""
    return str(app.id)


def cache_key(app: App, release: Release | None, cache: CacheSettings) -> str:
    """Part of every cache key: same image and same config may share pages, so a rollback finds its cache warm.

    A new app of an old name starts with an empty cache. So does one that begins or ends to have pages kept of which
    the app says nothing: Varnish remembers for a while that these are not kept.
    """
    if release is None:
        return f"{owner(app)}/none"
    config = json.dumps(sorted(release.config.items()))
    kept = "\nkept" if cache.ttl_s else ""
    return f"{owner(app)}/" + hashlib.sha256(f"{release.image_id}\n{config}{kept}".encode()).hexdigest()[:16]


def probe_of(release: Release, host: str) -> Probe | None:
    """The first check of `web` that Varnish can make itself: an own one, by plain HTTP, on the port of its traffic."""
    web = release.process(WEB)
    for check in web.checks if web else ():
        own = check.kind == "http" and not check.lenient and check.scheme == "http"
        if web is None or not own or check.port not in (None, web.port):
            continue
        headers = {"Host": host, **{name.title(): value for name, value in check.headers.items()}}
        try:
            return Probe(check.path, tuple(f"{n}: {v}" for n, v in headers.items()), check.timeout_s)
        except ValueError:  # a quote in a header
            continue
    return None
