"""A deploy on its way: what is asked of it, for which app, by whom, and the way to end it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gitship.appfiles.canary_rules import CanaryPlan
from gitship.deploy.journal import DeployJournal
from gitship.errors import NoPermission, OutOfReach
from gitship.model import App, Deploy, DeployKind, DeployState, Identity
from gitship.store import Store


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The release that is rolled back from by itself, and the push that brought it: its branch goes back to ``old``."""

    release_id: int
    ref: str | None
    commit: str | None
    old: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a deploy; ``kind`` decides which fields count."""

    kind: DeployKind
    cause: str = ""
    commit: str | None = None
    ref: str | None = None
    old: str | None = None  # what the ref was
    ref_moved: bool = False  # by git itself, for a push over a file path; taken back when the deploy fails
    no_cache: bool = False
    config: Mapping[str, str | None] = field(default_factory=dict)  # changes; None unsets
    settings: Mapping[str, Any] = field(default_factory=dict)  # changes to what commands set; None unsets
    scale: Mapping[str, int] = field(default_factory=dict)
    release_id: int | None = None  # of a rollback, or of the other app's in a promotion
    source: App | None = None  # that other app: whoever asks needs a right to both
    withdrawal: Withdrawal | None = None  # of a rollback by itself, which is pointless when something newer is live
    image: str = ""  # a reference, as `git:from-image` got it
    pull: bool = False  # ask the registry even for an image that the engine has
    new_name: str | None = None  # of a rename
    canary: CanaryPlan | None = None  # in the place of what the commit says
    skip_canary: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A request with its journal; ``superseded`` says why it was canceled: a newer push takes its place."""

    app: App  # as it was when this was asked
    request: Request
    journal: DeployJournal
    by: tuple[Identity, ...]  # whoever has asked for a part of it
    cancel: threading.Event = field(default_factory=threading.Event)
    superseded: threading.Event = field(default_factory=threading.Event)

    @property
    def app_id(self) -> int:
        return self.app.id

    @property
    def kind(self) -> DeployKind:
        return self.request.kind

    @property
    def deploy(self) -> Deploy:
        return self.journal.deploy

    @property
    def canceled_by(self) -> DeployState:
        return DeployState.SUPERSEDED if self.superseded.is_set() else DeployState.CANCELED

    def carrying(self, older: Job) -> Job:
        """With the changes of an older one that has not begun, below its own."""
        config = {**older.request.config, **self.request.config}
        settings = {**older.request.settings, **self.request.settings}
        request = replace(self.request, config=config, settings=settings)
        return replace(self, request=request, by=tuple(dict.fromkeys((*self.by, *older.by))))

    def confirm(self, store: Store) -> App:
        """The app as it is now. Raises NotFound or NoPermission when it is gone, or the right of who has asked."""
        for by in self.by:
            if self.request.source is not None:
                _confirm(store, self.request.source, by)
            app = _confirm(store, self.app, by)
        return app


def _confirm(store: Store, app: App, by: Identity) -> App:
    try:
        return store.confirm(app, by)
    except OutOfReach:  # in the key's own words; those who still see the app read this in the deploy
        raise NoPermission(
            f"the key '{by.key_name}' may no longer use {app.name}", "nothing was changed; ask an admin"
        ) from None
