"""A key that goes while it makes itself a token has nothing that waits for its return."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gitship.errors import NoPermission
from gitship.model import Identity, Key, Role
from gitship.operations.sign_ins import SignIns
from gitship.store import Store

REMOVING_S = 0.5  # a removal that nothing holds up takes far less
ADA = ("ada", "SHA256:a", "ssh-ed25519 A")


def identity(key: Key) -> Identity:
    return Identity(key.name, key.role, key.fingerprint, "", key.apps, key.id)


class WithARace(Store):
    """Another removes the key just after it was looked at."""

    removal: threading.Thread | None = None

    def confirm_key(self, by: Identity) -> None:
        super().confirm_key(by)
        if self.removal is not None and self.removal.ident is None:
            self.removal.start()
            self.removal.join(REMOVING_S)


def test_a_token_is_not_made_for_a_key_that_is_removed_meanwhile(tmp_path: Path) -> None:
    store = WithARace(tmp_path / "gitship.db")
    key = store.add_key(*ADA, Role.ADMIN)
    store.removal = threading.Thread(target=store.remove_key, args=(key.id,))
    sign_ins = SignIns(store, lambda fingerprint, address: identity(found) if (found := store.key_by_fingerprint(
        fingerprint)) else None)  # fmt: skip
    token = sign_ins.add_token(identity(key), "metrics")
    store.removal.join()
    store.add_key(*ADA, Role.VIEWER)
    assert sign_ins.of_token(token, "") is None
    with pytest.raises(NoPermission):
        sign_ins.add_token(identity(key), "again")
    store.close()
