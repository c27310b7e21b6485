"""The apps' repositories."""

from __future__ import annotations

from gitship.core import Core
from gitship.git.repository import Repositories


def build(core: Core) -> Repositories:
    repositories = Repositories(core.settings.repositories, core.settings.hooks_dir / "post-receive")
    repositories.sweep({app.name for app in core.store.apps()})
    return repositories
