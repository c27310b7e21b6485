"""Sites with HTTPS: every app, and the status page if it has a host name (``web.domain``)."""

from __future__ import annotations

from gitship.config import Settings
from gitship.model import STATUS_PAGE, WILDCARD, Site
from gitship.store import Store

# Nobody gives certificates for these (RFC 2606, RFC 6761, RFC 6762, RFC 8375, and what routers hand out).
PRIVATE = ("localhost", "local", "internal", "test", "invalid", "example", "onion", "home.arpa", "lan", "home", "corp")


def sites(store: Store, settings: Settings) -> list[Site]:
    """All there are; the status page last, since visitors count more."""
    return [*store.apps(), *([STATUS_PAGE] if settings.web.domain else [])]


def is_status_page(site: Site) -> bool:
    return site.id == STATUS_PAGE.id


def hosts_of(store: Store, settings: Settings, site: Site) -> list[str]:
    """Where it answers: an app's own name first, then its domains, perhaps with wildcards."""
    if is_status_page(site):
        return [settings.web.domain] if settings.web.domain else []
    return [f"{site.name}.{settings.domain}", *(domain.name for domain in store.domains(site.id))]


def called(site: Site) -> str:
    """What a sentence calls it."""
    return "the status page" if is_status_page(site) else site.name


def word(site: Site) -> str:
    """How a command names it."""
    return "--status-page" if is_status_page(site) else site.name


def public(host: str) -> bool:
    """True for a name of the public DNS, for which an authority may give a certificate."""
    name = host.removeprefix(WILDCARD)
    return "." in name and not any(name == private or name.endswith(f".{private}") for private in PRIVATE)
