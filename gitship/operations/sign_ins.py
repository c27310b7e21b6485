"""Sign-in to the status page by SSH key: one-time links, sessions and API tokens.

What is handed out is 32 random bytes; the store has only their SHA-256, which is enough for what nobody can guess.
Who holds one is looked up with every request, so a key that is removed, or limited anew, counts at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

from gitship.model import Identity, WebAccessKind, WebToken
from gitship.store import Store

LINK_S = 300.0
SESSION_S = 12 * 3600.0
TOKEN_BYTES = 32

Identify = Callable[[str, str], Identity | None]  # by a key's fingerprint and the client's address


class SignIns:
    """``address`` is always where the client is, for the audit log."""

    def __init__(self, store: Store, identify: Identify) -> None:
        self._store = store
        self._identify = identify

    def link(self, by: Identity) -> str:
        """The secret of a new one-time link."""
        with self._store.acting_for_all(by):
            return self._new(WebAccessKind.LINK, by, LINK_S)

    def peek(self, link: str, address: str) -> Identity | None:
        """Whom the link would sign in; it stays as it is."""
        return self._identity(self._store.web_access(WebAccessKind.LINK, _hash(link)), address)

    def sign_in(self, link: str, address: str) -> tuple[str, Identity] | None:
        """The session that the link makes, and whose it is; None when it has been used or has expired."""
        with self._store.transaction():  # a key that is removed meanwhile has no session that waits for its return
            identity = self._identity(self._store.take_web_access(WebAccessKind.LINK, _hash(link)), address)
            return None if identity is None else (self._new(WebAccessKind.SESSION, identity, SESSION_S), identity)

    def sign_out(self, session: str) -> None:
        """The session is over; nothing happens when it was."""
        self._store.take_web_access(WebAccessKind.SESSION, _hash(session))

    def of_session(self, session: str, address: str) -> Identity | None:
        """Whose session it is; None when it is over."""
        return self._identity(self._store.web_access(WebAccessKind.SESSION, _hash(session)), address)

    def of_token(self, token: str, address: str) -> Identity | None:
        """Whose token it is, or None."""
        return self._identity(self._store.web_access(WebAccessKind.TOKEN, _hash(token)), address)

    def add_token(self, by: Identity, name: str) -> str:
        """A new token with the role and the apps of the key. Raises Conflict when the key has one of that name."""
        with self._store.acting_for_all(by):
            return self._new(WebAccessKind.TOKEN, by, None, name)

    def tokens(self, by: Identity) -> list[WebToken]:
        """The key's own."""
        return self._store.web_tokens(by.fingerprint)

    def remove_token(self, by: Identity, name: str) -> None:
        """Raises NotFound."""
        self._store.remove_web_token(by.fingerprint, name)

    def badge(self, app_id: int) -> str:
        """What opens the badge of that app, and no more: it stands in pages that everybody reads."""
        return hmac.new(self._store.secret(), f"badge {app_id}".encode(), "sha256").hexdigest()[:32]

    def _new(self, kind: WebAccessKind, by: Identity, lasts_s: float | None, name: str = "") -> str:
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        self._store.add_web_access(kind, _hash(secret), by.fingerprint, lasts_s=lasts_s, name=name)
        return secret

    def _identity(self, fingerprint: str | None, address: str) -> Identity | None:
        return None if fingerprint is None else self._identify(fingerprint, address)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
