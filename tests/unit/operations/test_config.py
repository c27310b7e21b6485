"""What happens to other apps, or to the same one, while one of them is dealt with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitship.config import Settings
from gitship.deploy.job import Request
from gitship.errors import NotFound, OutOfReach
from gitship.model import App, Deploy, Identity, Role
from gitship.operations.config import Config
from gitship.operations.jobs import Jobs
from gitship.store import Store
from tests.unit.core.test_store import release
from tests.unit.memory.server import MemoryServer

pytestmark = pytest.mark.unit
ADMIN = Identity("local", Role.ADMIN)


class Failing(Jobs):
    """The deploy of ``b`` fails as said."""

    wrong: Exception

    def submit(self, app: App, request: Request, by: Identity) -> Deploy:
        if app.name == "b":
            raise self.wrong
        return super().submit(app, request, by)


def with_three_apps(directory: Path, wrong: Exception) -> tuple[MemoryServer, Config]:
    settings = Settings(data_dir=directory)
    memory = MemoryServer(Store(settings.database), settings)
    for name in ("a", "b", "c"):
        app = memory.store.create_app(name)
        memory.store.set_live(app.id, release(memory.store, app.id).id, [])
    jobs = Failing(settings, memory.store, memory.bus, memory.queue)
    jobs.wrong = wrong
    return memory, Config(replace(memory.shared, jobs=jobs))


def test_an_app_that_is_destroyed_meanwhile_does_not_keep_config_from_the_others(tmp_path: Path) -> None:
    memory, config = with_three_apps(tmp_path, NotFound("b was destroyed meanwhile"))
    done = config.change_shared({"A": "1"}, ADMIN, restart=True)
    deployed = [app.name for app in memory.store.apps() if memory.store.deploys(app.id)]
    assert deployed == [app.name for app, _ in done] == ["a", "c"]
    memory.settle()
    memory.store.close()


def test_a_key_that_is_limited_meanwhile_is_told_so(tmp_path: Path) -> None:
    memory, config = with_three_apps(tmp_path, OutOfReach("no app 'b'"))
    with pytest.raises(OutOfReach):
        config.change_shared({"A": "1"}, ADMIN, restart=True)
    memory.settle()
    memory.store.close()
