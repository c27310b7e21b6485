"""What is set for a stopped app while it starts: the start may have read what was set before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.appsettings import STOPPED
from gitship.config import Settings
from gitship.model import GITSHIP, App
from gitship.store import Store
from tests.unit.memory.server import MemoryServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    settings = Settings(data_dir=tmp_path)
    memory = MemoryServer(Store(settings.database), settings)
    yield memory
    memory.close()


def starting(server: MemoryServer) -> App:
    """An app that was stopped, and whose start has not ended."""
    server.push("shop")
    app = server.store.app("shop")
    server.store.set_setting(app.id, STOPPED, True)
    server.hold()
    server.operations.ps.start(app, GITSHIP)
    return app


def test_a_scale_comes_after_the_start(server: MemoryServer) -> None:
    app = starting(server)
    deploy = server.operations.ps.scale(app, {"web": 3}, GITSHIP)
    assert deploy is not None
    assert server.store.scale(app.id) == {}
    server.release()
    server.settle()
    assert server.store.deploy(deploy.id).state == "live"
    assert server.store.scale(app.id) == {"web": 3}


def test_config_comes_after_the_start(server: MemoryServer) -> None:
    app = starting(server)
    deploy = server.operations.config.change(app, {"COLOUR": "red"}, GITSHIP)
    assert deploy is not None
    server.release()
    server.settle()
    live = server.store.app("shop").live_release
    assert live is not None and server.store.release(live).config["COLOUR"] == "red"


def test_of_an_app_that_stays_stopped_they_wait(server: MemoryServer) -> None:
    server.push("shop")
    app = server.store.app("shop")
    server.store.set_setting(app.id, STOPPED, True)
    assert server.operations.ps.scale(app, {"web": 3}, GITSHIP) is None
    assert server.operations.config.change(app, {"COLOUR": "red"}, GITSHIP) is None
    assert server.store.scale(app.id) == {"web": 3}
    assert server.store.config(app.id) == {"COLOUR": "red"}
