"""Docker names and labels of volumes."""

from __future__ import annotations

import secrets

from gitship.engine import types
from gitship.model import App

NAME_BYTES = 4


def fresh(server_id: str, app: App, name: str) -> str:
    """A name that no volume has: one that was put aside goes on until it may be removed."""
    return f"{prefix(server_id, app.id)}{name}-{secrets.token_hex(NAME_BYTES)}"


def prefix(server_id: str, app_id: int) -> str:
    """What the name of each volume of that app begins with."""
    return f"gitship-{server_id}-{app_id}-"


def labels(server_id: str, app: App, name: str) -> dict[str, str]:
    """``name`` is what the app calls it."""
    return {
        types.LABEL_SERVER: server_id,
        types.LABEL_APP: app.name,
        types.LABEL_APP_ID: str(app.id),
        types.LABEL_VOLUME: name,
    }
