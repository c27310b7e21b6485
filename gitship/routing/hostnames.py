"""Host names reserved for apps by their names.

An app is at `<app>.<server's domain>`. All names directly below that domain are kept for apps, also for those that are
not there yet: else a domain that is added today keeps an app from being made, or renamed, tomorrow. Further below,
where an app's name has dots, a name goes to whoever comes first. Domains from before this rule stay where they are.
"""

from __future__ import annotations

from gitship.appsettings import RENAMING
from gitship.config import Settings
from gitship.errors import Conflict
from gitship.model import App
from gitship.store import Store


def directly_below(name: str, domain: str) -> str:
    """The one label that ``name`` has more than ``domain``; "" when it has none, several, or an asterisk."""
    label = name.removesuffix(f".{domain}")
    return "" if label == name or "." in label or label == "*" else label


def ensure_addable(store: Store, settings: Settings, app: App, name: str) -> None:
    """Raises Conflict when ``name`` cannot be a further domain of the app, whoever asks.

    To be called in the transaction that adds it. That another app has it as a domain, the store itself refuses.
    """
    domain = settings.domain
    if name == settings.web.domain:
        raise Conflict(f"{name} is the status page's host name", "choose another domain, or another web.domain")
    if name == f"{app.name}.{domain}":
        raise Conflict(f"{app.name} already answers at {name}", "nothing to add")
    refuse_directly_below(app.name, name, domain)
    label = name.removesuffix(f".{domain}")
    if label != name and (store.find_app(label) is not None or label in store.setting_of_all(RENAMING).values()):
        raise Conflict(f"{name} is an app's own name", "choose another name")


def refuse_directly_below(app: str, name: str, domain: str) -> None:
    """Raises Conflict."""
    label = directly_below(name, domain)
    if label:
        raise Conflict(
            f"{name} is directly below {domain}, where each name belongs to the app of that name",
            f"name an app {label} to use it: apps:create {label}, or apps:rename {app} {label}",
        )
