"""Looks up the identity of an SSH key, and records unknown keys."""

from __future__ import annotations

from gitship.config import Settings
from gitship.model import Identity, Role
from gitship.public_key import parse
from gitship.ssh import host_key
from gitship.ssh.unknown_keys import UnknownKeys
from gitship.store import Store

LOCAL = "local"  # the key name shown for `gitship <command>` typed on the server itself


class Identities:
    """Safe from any thread. The server's own key, which root and gitship alone can read, is made when it is missing."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._local = parse(host_key.public_line(host_key.ensure(settings.local_key))).fingerprint
        self._strangers = UnknownKeys(store.audit_stranger)

    def at_the_door(self, fingerprint: str, public_key: str, address: str) -> Identity | None:
        """As ``of``; who is not known is noted."""
        identity = self.of(fingerprint, address)
        if identity is None:
            self._strangers.knocked(fingerprint, address)
        return identity

    def of(self, fingerprint: str, address: str) -> Identity | None:
        if fingerprint == self._local:
            return Identity(LOCAL, Role.ADMIN, fingerprint, address)
        key = self._store.key_by_fingerprint(fingerprint)
        return None if key is None else Identity(key.name, key.role, fingerprint, address, key.apps, key.id)
