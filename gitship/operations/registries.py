"""Logins at image registries."""

from __future__ import annotations

from gitship.engine.image_references import DEFAULT_SERVER, SERVER_NAME
from gitship.errors import GitshipError
from gitship.model import Identity
from gitship.operations.shared import Shared
from gitship.store.registries import RegistryLogin


class Registries:
    """Every method raises GitshipError with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared) -> None:
        self._store = shared.store
        self._engine = shared.engine

    def login(self, server: str, username: str, password: str, by: Identity, *, check: bool = True) -> None:
        """Kept once the registry has taken it, or, without ``check``, in any case."""
        if server != DEFAULT_SERVER and not SERVER_NAME.fullmatch(server):
            raise GitshipError(
                f"'{server[:80]}' is not a registry's address", "for instance registry.example.com:5000, or default"
            )
        if check:
            self._engine.images.login(server, username, password)
        with self._store.acting_for_all(by):
            self._store.set_registry(RegistryLogin(server, username, password))

    def logout(self, server: str, by: Identity) -> None:
        with self._store.acting_for_all(by):
            self._store.remove_registry(server)

    def all(self) -> list[RegistryLogin]:
        return self._store.registries()
