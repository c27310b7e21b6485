"""What an app's HTTPS should be: by its owner's wish, or because the server's settings ask for it."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.config import Settings
from gitship.model import WILDCARD, App
from gitship.store import Store

HTTPS = "https"  # an app's setting: the wish; unset: the server's settings decide

# Nobody gives certificates for these (RFC 2606, RFC 6761, RFC 6762, RFC 8375, and what routers hand out).
PRIVATE = ("localhost", "local", "internal", "test", "invalid", "example", "onion", "home.arpa", "lan", "home", "corp")


@dataclass(frozen=True, slots=True)
class Wish:
    """``said`` is False when nobody has: ``on`` follows from the settings then."""

    on: bool
    hsts_s: int = 0
    said: bool = True


def wish_of(store: Store, settings: Settings, app: App) -> Wish:
    found = store.setting(app.id, HTTPS)
    if found is not None:
        return Wish(found["on"], found["hsts_s"])
    return Wish(bool(settings.https.email) and any(map(public, hosts_of(store, settings, app))), said=False)


def store_wish(store: Store, app: App, wish: Wish) -> None:
    store.set_setting(app.id, HTTPS, {"on": wish.on, "hsts_s": wish.hsts_s} if wish.said else None)


def hosts_of(store: Store, settings: Settings, app: App) -> list[str]:
    """Where the app answers: its own name first, then its domains, perhaps with wildcards."""
    return [f"{app.name}.{settings.domain}", *(domain.name for domain in store.domains(app.id))]


def public(host: str) -> bool:
    """True for a name of the public DNS, for which an authority may give a certificate."""
    name = host.removeprefix(WILDCARD)
    return "." in name and not any(name == private or name.endswith(f".{private}") for private in PRIVATE)
