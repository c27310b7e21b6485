"""Authorisation at the moment of acting: checks app id and key again.

Between a look-up and what follows from it there is always time: a prompt, standard input, a queue, a held push. So an
act takes the ``App`` and the ``Identity`` that were looked up, and asks here again. A row that is gone, or another one
under the same name, ends the act: ids of apps and keys are never given twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gitship.errors import Conflict, NoPermission, NotFound, OutOfReach
from gitship.model import App, Identity, Key
from gitship.store.apps import AppRecords
from gitship.store.keys import Keys


class Rights(AppRecords, Keys):
    """Whether an identity still may do what it set out to do."""

    def confirm(self, app: App, by: Identity) -> App:
        """The app as it is now. Raises NotFound when it is gone, NoPermission when the key is, or has lost a right."""
        key = self._key_now(by)
        if key is not None and key.apps is not None and app.id not in key.apps:
            raise OutOfReach(f"no app '{app.name}'", "your key was limited: see `apps:list`")
        try:
            return self.app_by_id(app.id)
        except NotFound:
            raise NotFound(f"{app.name} was destroyed", "nothing was changed; see `apps:list`") from None

    def confirm_live(self, app: App, by: Identity) -> App:
        """The same for an app with a live release. Raises also Conflict when it was never deployed."""
        return ensure_live(self.confirm(app, by))

    def confirm_key(self, by: Identity) -> None:
        """For what belongs to no app. Raises NoPermission when the key is gone, or may less than when it began."""
        key = self._key_now(by)
        if key is not None and key.apps is not None and by.apps is None:
            raise NoPermission(f"the key '{by.key_name}' was limited to some apps", "nothing was changed; ask an admin")

    def still_may(self, by: Identity, apps: frozenset[int]) -> bool:
        """False when the key is gone, or has lost its role or its right to one of these apps (ids)."""
        try:
            key = self._key_now(by)
        except NoPermission:
            return False
        if key is None or key.apps is None:
            return True
        return apps <= key.apps if apps else by.apps is not None and by.apps <= key.apps

    @contextmanager
    def acting(self, app: App, by: Identity) -> Iterator[App]:
        """A transaction that begins with ``confirm``: until its end nobody takes the right or the app away."""
        with self.transaction():
            yield self.confirm(app, by)

    @contextmanager
    def acting_for_all(self, by: Identity) -> Iterator[None]:
        """A transaction that begins with ``confirm_key``."""
        with self.transaction():
            self.confirm_key(by)
            yield

    def _key_now(self, by: Identity) -> Key | None:
        """The key's row; None for the server itself. Raises NoPermission when it is gone or has a lesser role."""
        if by.key_id is None:
            return None
        key = self.key_by_id(by.key_id)
        if key is None:
            raise NoPermission(f"the key '{by.key_name}' was removed", "nothing was changed; ask an admin")
        if not key.role.allows(by.role):
            raise NoPermission(
                f"the key '{by.key_name}' is now {key.role}, no longer {by.role}", "nothing was changed; ask an admin"
            )
        return key


def ensure_live(app: App) -> App:
    """Raises Conflict when it was never deployed."""
    if app.live_release is None:
        raise Conflict(f"{app.name} has never been deployed", "push to it first: git push deploy main")
    return app
