"""URL of the status page."""

from __future__ import annotations

from ipaddress import ip_address

from gitship.config import Settings
from gitship.routing.gate_settings import status_https
from gitship.store import Store

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104


def is_loopback(host: str) -> bool:
    """True for an address that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reachable(settings: Settings) -> bool:
    """True when the page can be opened from another machine as the settings are."""
    return bool(settings.web.domain) or not is_loopback(settings.web.listen.host)


def status_page(settings: Settings, store: Store) -> str:
    """The page's address, without a slash at its end; best one first."""
    web = settings.web
    https = status_https(store)
    if web.domain and https is not None and web.domain in https.hosts:
        return https.url(web.domain)
    if web.domain:
        return f"http://{_with_port(web.domain, settings.http.listen.port)}"
    host = web.listen.host
    if host in EVERYWHERE:
        host = settings.domain
    return f"http://{_with_port(f'[{host}]' if ':' in host else host, web.listen.port)}"


def deploy_page(settings: Settings, store: Store, app: str, deploy_id: int) -> str:
    """A deploy's page."""
    return f"{status_page(settings, store)}/apps/{app}/deploys/{deploy_id}"


def _with_port(host: str, port: int) -> str:
    return host if port == 80 else f"{host}:{port}"
