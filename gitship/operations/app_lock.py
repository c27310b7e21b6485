"""Locks of apps against deploys."""

from __future__ import annotations

import time

from gitship.appsettings import DESTROYING, LOCK, AppLock
from gitship.errors import Conflict
from gitship.model import App, Identity
from gitship.store import Store


def lock_of(store: Store, app: App) -> AppLock | None:
    """The app's lock, or None."""
    return store.setting(app.id, LOCK)


def set_lock(store: Store, app: App, by: Identity, message: str) -> None:
    """Raises Conflict when somebody has locked it already."""
    with store.transaction():
        found = lock_of(store, app)
        if found is not None:
            raise Conflict(f"{app.name} is already locked by {found.by}{_why(found)}", f"see `apps:info {app.name}`")
        store.set_setting(app.id, LOCK, AppLock(by.key_name, message, time.time()))


def unlock(store: Store, app: App) -> AppLock:
    """The lock that is gone. Raises Conflict when there was none."""
    with store.transaction():
        found = lock_of(store, app)
        if found is None:
            raise Conflict(f"{app.name} is not locked", f"see `apps:info {app.name}`")
        store.set_setting(app.id, LOCK, None)
        return found


def ensure_unlocked(store: Store, app: App) -> None:
    """Raises Conflict that says who locked the app and why, or that it is being destroyed."""
    ensure_not_destroyed(store, app)
    found = lock_of(store, app)
    if found is not None:
        raise Conflict(f"{app.name} is locked by {found.by}{_why(found)}", f"to unlock it: apps:unlock {app.name}")


def ensure_not_destroyed(store: Store, app: App) -> None:
    """Raises Conflict when the app is being destroyed."""
    if store.setting(app.id, DESTROYING) is not None:
        raise Conflict(f"{app.name} is being destroyed", "see `apps:list`: its name is free once it is deleted")


def _why(lock: AppLock) -> str:
    return f": {lock.message}" if lock.message else ""
