"""Varnish and haproxy as configured, for `gitship serve` and `stop-front`.

Apart from the daemon, whose 300 modules take 0.9 s of a processor to import; these take 0.2 s.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial

from gitship.config import Settings
from gitship.engine import firewall
from gitship.front.front import Front
from gitship.front.tls.terminator import Terminator
from gitship.routing.busiest_apps import busiest_slugs
from gitship.store import Store


def front_of(settings: Settings, store: Store | None = None) -> Front:
    """Varnish; also without the store."""
    busiest = partial(busiest_slugs, store) if store else tuple
    return Front(settings.http.listen, settings.varnish_dir, settings.varnish.cache_bytes, busiest)


def tls_of(settings: Settings) -> Terminator:
    """haproxy."""
    return Terminator(settings.https.listen, settings.tls_dir, settings.certificates, settings.varnish_dir)


def stop_front(settings: Settings) -> None:
    """Ends what `serve` leaves running: Varnish, haproxy, and the rules of the firewall."""
    tls_of(settings).stop()
    front_of(settings).stop()
    if settings.database.exists():
        with closing(Store(settings.database)) as store:
            firewall.remove(firewall.rules_of(settings, store.server_id()))
