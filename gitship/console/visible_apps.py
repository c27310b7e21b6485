"""Visibility of apps: looks up an app by name for a key, which may be limited to some apps.

A key that is limited to some apps gets one answer for an app of others and for an app that does not exist. It is looked
up among its own apps only, so neither the words nor the time differ. Such a key makes no apps either: else a push to a
name would tell whether the name is taken.
"""

from __future__ import annotations

from gitship.errors import NoPermission, NotFound, OutOfReach, nearest
from gitship.model import App, Identity, Role
from gitship.store import Store

NO_APPS = "--no-apps"  # the option that limits a key to none
REFUSALS = (NoPermission, OutOfReach)


def apps(store: Store, identity: Identity) -> list[App]:
    """The apps that the key may know of, by name."""
    return [app for app in store.apps() if identity.sees(app.id)]


def find(store: Store, identity: Identity, name: str) -> App | None:
    """The app of that name, or None when there is none that the key may know of."""
    if not identity.limited:
        return store.find_app(name)
    return next((app for app in apps(store, identity) if app.name == name), None)


def app(store: Store, identity: Identity, name: str) -> App:
    """The app of that name. Raises NotFound with the nearest name that the key may know of."""
    found = find(store, identity, name)
    if found is None:
        raise missing(store, identity, name)
    return found


def missing(store: Store, identity: Identity, name: str) -> NotFound:
    """The answer to a name that ``find`` does not find."""
    near = nearest(name, [app.name for app in apps(store, identity)])
    hint = f"did you mean '{near}'?" if near else "see `apps:list`"
    return (OutOfReach if identity.limited else NotFound)(f"no app '{name[:80]}'", hint)


def require_all_apps(identity: Identity, what: str) -> None:
    """For what no limited key may do. Raises NoPermission before anything is looked up."""
    if identity.limited:
        raise NoPermission(
            f"no permission for {what}",
            f"the key '{identity.key_name}' is limited to some apps; ask an admin to do it and run `keys:grant`",
        )


def denied(what: str, identity: Identity, role: Role) -> NoPermission:
    """The answer to a key that may not: made before any look-up, so that it tells nothing of what exists."""
    return NoPermission(
        f"no permission for {what}",
        f"it needs the role {role}; the key '{identity.key_name}' has {identity.role}; ask an admin",
    )
