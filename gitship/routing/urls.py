"""URLs of an app."""

from __future__ import annotations

from gitship.config import Settings
from gitship.model import App
from gitship.routing.gate_settings import gate_of
from gitship.store import Store


def urls(store: Store, settings: Settings, app: App, port: int) -> list[str]:
    """Best address first: the app's own domains, then `<app>.<domain>`; ``port`` is where Varnish really listens."""
    suffix, secure = ("" if port == 80 else f":{port}"), gate_of(store, app.id).https
    hosts = [*(d.name for d in store.domains(app.id) if not d.wildcard), f"{app.name}.{settings.domain}"]
    return [secure.url(host) if secure and host in secure.hosts else f"http://{host}{suffix}" for host in hosts]
