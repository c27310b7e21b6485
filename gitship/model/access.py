"""Keys, roles and audit entries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a key may do: everything, deploy and run apps, or only look."""

    ADMIN = "admin"
    DEPLOYER = "deployer"
    VIEWER = "viewer"

    def allows(self, needed: Role) -> bool:
        """True when this role includes ``needed``."""
        order = (Role.VIEWER, Role.DEPLOYER, Role.ADMIN)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Key:
    """An SSH public key that may log in. ``public_key`` is ``type base64``; ``fingerprint`` is ``SHA256:...``.

    ``apps`` are the ids of the apps that it is limited to; None means all apps.
    """

    id: int
    name: str
    fingerprint: str
    public_key: str
    role: Role
    created_at: float
    apps: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the other end of a session. ``apps`` are the ids of the apps it is limited to; None means all.

    All of it is as of when the session began: what acts asks the store again (``Rights``), by ``key_id``, which is
    None for the server itself and whoever has a shell on it.
    """

    key_name: str
    role: Role
    fingerprint: str = ""
    address: str = ""
    apps: frozenset[int] | None = None
    key_id: int | None = None

    @property
    def limited(self) -> bool:
        """True when there may be apps that it must not learn of."""
        return self.apps is not None

    def sees(self, app_id: int) -> bool:
        """True when its role counts for that app."""
        return self.apps is None or app_id in self.apps


GITSHIP = Identity("gitship", Role.DEPLOYER)  # what the server does by itself


class WebAccessKind(StrEnum):
    """What opens the status page or its API."""

    LINK = "link"  # once, within minutes
    SESSION = "session"  # a browser's cookie
    TOKEN = "token"  # a program's  # noqa: S105


@dataclass(frozen=True, slots=True)
class WebToken:
    """A program's way into the status page's API, as the key with this fingerprint. The token itself is not kept."""

    name: str
    fingerprint: str
    created_at: float


class Outcome(StrEnum):
    """What came of what somebody asked for."""

    STARTED = "started"  # its end was not seen: it runs, its client left it to itself, or the server was killed
    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who asked for what, and from where. ``app`` is the name as typed; several have ``, `` between them."""

    id: int
    at: float
    key_name: str
    fingerprint: str
    address: str
    action: str
    app: str
    outcome: Outcome
    detail: str
