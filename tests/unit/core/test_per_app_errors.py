"""One app's failure is its own: whoever looks after all apps goes on with the others, at the start, too."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from gitship.appsettings import RENAMING
from gitship.config import Settings
from gitship.deploy.auto_rollback import AutoRollback
from gitship.deploy.rename import AppRename
from gitship.engine.interface import Engine
from gitship.engine.types import Usage
from gitship.errors import NotFound
from gitship.events import Bus
from gitship.front.traffic_counters import TrafficCounters
from gitship.git.repository import Repositories
from gitship.model import App, Container, DeployKind, DeployState, Process
from gitship.observe.container_usage import UsageSampler
from gitship.oneoff.cron_scheduler import Scheduler
from gitship.reconcile.interrupted_deploys import InterruptedDeploys
from gitship.store import Store

BAD, GOOD = "bad", "good"


class Bench:
    """Two live apps; whatever is asked of the store about the first one is a fault."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = Store(directory / "gitship.db")
        self.apps = {name: self._live(name) for name in (BAD, GOOD)}

    def _live(self, name: str) -> App:
        app = self.store.create_app(name)
        release = self.store.create_release(
            app.id, commit=None, image_id="sha256:1", image_bytes=1, config={}, processes=(Process("web"),),
            cause="push", created_by="ada",
        )  # fmt: skip
        container = Container(f"id-{name}", f"{name}.web.1.v1", app.id, release.id, "web", 1, "10.0.0.2", 80)
        self.store.set_live(app.id, release.id, [container])
        return self.store.app(name)

    def break_(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        """That method of the store fails for the first app."""
        real: Callable[..., Any] = getattr(self.store, method)

        def broken(app_id: int, *rest: Any, **more: Any) -> Any:
            if app_id == self.apps[BAD].id:
                raise ValueError("a fault of this app")
            return real(app_id, *rest, **more)

        monkeypatch.setattr(self.store, method, broken)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_cron_of_other_apps_is_looked_at_and_the_fault_is_logged_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.break_(monkeypatch, "setting")
    looked: list[int] = []
    settings = bench.store.app_settings

    def look(app_id: int) -> Any:
        looked.append(app_id)
        return settings(app_id)

    monkeypatch.setattr(bench.store, "app_settings", look)
    scheduler = Scheduler(bench.store, cast(Any, None), "UTC")
    with caplog.at_level(logging.WARNING):
        scheduler.tick()
        scheduler.tick()
    assert looked == [bench.apps[GOOD].id] * 2
    assert [record.getMessage() for record in caplog.records if "a fault" in record.getMessage()] == [
        "bad: cron: internal error: ValueError('a fault of this app') (the server's log has it)"
    ]
    assert bench.store.cron_seen() > 0


def test_a_container_that_is_gone_hides_no_other_ones_figures(bench: Bench) -> None:
    class Meters:
        def usage(self, container_id: str) -> Usage:
            if container_id == "id-bad":
                raise NotFound("no container")
            return Usage(time.monotonic(), 1.0, 7, None)

    sampler = UsageSampler(bench.store, cast(Engine, Meters()))
    sampler.sample()
    assert set(sampler._readings) == {"id-good"}


def test_deploys_that_were_interrupted_get_their_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [bench.store.create_deploy(app.id, DeployKind.CONFIG, "ada") for app in bench.apps.values()]
    update = bench.store.update_deploy

    def broken(deploy: Any) -> None:
        if deploy.app_id == bench.apps[BAD].id:
            raise ValueError("a fault of this app")
        update(deploy)

    monkeypatch.setattr(bench.store, "update_deploy", broken)
    InterruptedDeploys(bench.store, cast(Repositories, None)).settle()
    assert [bench.store.deploy(d.id).state for d in made] == [DeployState.RECEIVED, DeployState.FAILED]


def test_renamings_that_were_interrupted_are_taken_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for app in bench.apps.values():
        bench.store.set_setting(app.id, RENAMING, f"new-{app.name}")
    bench.break_(monkeypatch, "setting")
    repositories = Repositories(bench.directory / "repos", None)
    AppRename(Settings(data_dir=bench.directory), bench.store, cast(Any, None), repositories).settle()
    monkeypatch.undo()
    left = [bench.store.setting(app.id, RENAMING) for app in bench.apps.values()]
    assert left == ["new-bad", None]


def test_releases_are_watched_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    bench.break_(monkeypatch, "deploys")
    deploys = bench.store.deploys

    def ask(app_id: int, **how: Any) -> Any:
        asked.append(app_id)
        return deploys(app_id, **how)

    monkeypatch.setattr(bench.store, "deploys", ask)
    queue, manifest = cast(Any, None), cast(Any, None)
    AutoRollback(Settings(), bench.store, Bus(), TrafficCounters(), queue, manifest).take_up()
    assert asked == [app.id for app in bench.apps.values()]
