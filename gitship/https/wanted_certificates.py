"""Decides which certificates a site should have."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.config import Settings
from gitship.https.sites import hosts_of, is_status_page, public
from gitship.model import Site
from gitship.store import Store

HTTPS = "https"  # an app's setting: the wish; unset: the server's settings decide
STATUS_HTTPS = "status-https"  # the server's, for the status page


@dataclass(frozen=True, slots=True)
class WantedCertificate:
    """``said`` is False when nobody has: ``on`` follows from the settings then."""

    on: bool
    hsts_s: int = 0
    said: bool = True


def wish_of(store: Store, settings: Settings, site: Site) -> WantedCertificate:
    found = store.server_setting(STATUS_HTTPS) if is_status_page(site) else store.setting(site.id, HTTPS)
    if found is not None:
        return WantedCertificate(found["on"], found["hsts_s"])
    return WantedCertificate(
        bool(settings.https.email) and any(map(public, hosts_of(store, settings, site))), said=False
    )


def store_wish(store: Store, site: Site, wish: WantedCertificate) -> None:
    value = {"on": wish.on, "hsts_s": wish.hsts_s} if wish.said else None
    if is_status_page(site):
        store.set_server_setting(STATUS_HTTPS, value)
    else:
        store.set_setting(site.id, HTTPS, value)
