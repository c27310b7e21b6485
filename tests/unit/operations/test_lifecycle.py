"""What happens to other apps, or to the same one, while one of them is dealt with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitship.config import Settings
from gitship.deploy.rename import AppRename
from gitship.errors import NotFound, OutOfReach
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.model import App, Deploy, DeployKind, Identity, Role
from gitship.operations.lifecycle import Lifecycle
from gitship.store import Store
from tests.unit.core.test_store import release

ADMIN = Identity("local", Role.ADMIN)


def with_three_apps(directory: Path, wrong: Exception) -> tuple[Store, Lifecycle, list[str]]:
    """The deploy of the second one fails as said."""
    settings = Settings(data_dir=directory)
    store = Store(settings.database)
    repositories = Repositories(settings.repositories, None)
    front = Front(settings.http.listen, settings.varnish_dir, settings.varnish.memory)
    deployed: list[str] = []

    def deploy(app: App, kind: DeployKind, by: Identity, **more: Any) -> Deploy:
        if app.name == "b":
            raise wrong
        deployed.append(app.name)
        return store.create_deploy(app.id, kind, by.key_name)

    for name in ("a", "b", "c"):
        app = store.create_app(name)
        store.set_live(app.id, release(store, app.id).id, [])
    return store, Lifecycle(store, repositories, AppRename(settings, store, front, repositories), deploy), deployed


def test_an_app_that_is_destroyed_meanwhile_does_not_keep_config_from_the_others(tmp_path: Path) -> None:
    store, lifecycle, deployed = with_three_apps(tmp_path, NotFound("b was destroyed meanwhile"))
    done = lifecycle.change_shared_config({"A": "1"}, ADMIN, restart=True)
    assert deployed == [app.name for app, _ in done] == ["a", "c"]
    store.close()


def test_a_key_that_is_limited_meanwhile_is_told_so(tmp_path: Path) -> None:
    store, lifecycle, _ = with_three_apps(tmp_path, OutOfReach("no app 'b'"))
    with pytest.raises(OutOfReach):
        lifecycle.change_shared_config({"A": "1"}, ADMIN, restart=True)
    store.close()
