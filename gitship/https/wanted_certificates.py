"""Decides which certificates a site should have."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.appsettings import HTTPS, HttpsWish
from gitship.config import Settings
from gitship.https.sites import hosts_of, is_status_page, public
from gitship.model import Site
from gitship.store import Store

STATUS_HTTPS = "status-https"  # as HTTPS for the status page, a setting of the server


@dataclass(frozen=True, slots=True)
class WantedCertificate(HttpsWish):
    """``said`` is False when nobody has: ``on`` follows from the settings then."""

    said: bool = True


def wish_of(store: Store, settings: Settings, site: Site) -> WantedCertificate:
    if is_status_page(site):
        kept = store.server_setting(STATUS_HTTPS)
        found = HTTPS.read(kept) if kept else None
    else:
        found = store.setting(site.id, HTTPS)
    if found is not None:
        return WantedCertificate(found.on, found.hsts_s)
    return WantedCertificate(
        bool(settings.https.email) and any(map(public, hosts_of(store, settings, site))), said=False
    )


def store_wish(store: Store, site: Site, wish: WantedCertificate) -> None:
    value = HttpsWish(wish.on, wish.hsts_s) if wish.said else None
    if is_status_page(site):
        store.set_server_setting(STATUS_HTTPS, *HTTPS.to(value).values())
    else:
        store.set_setting(site.id, HTTPS, value)
