"""The first start after a restore: who is built again, who is left alone, when the mark goes. With containers: e2e."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitship.appsettings import STOPPED, VOLUME
from gitship.backup.restore import RESTORED
from gitship.deploy.manifest_source import IMAGE, NO_FILES
from gitship.engine.types import Image
from gitship.errors import EngineError, NotFound
from gitship.git.repository import Repositories
from gitship.model import DeployKind, DeployState
from gitship.operations import app_lock, rebuild_after_restore
from gitship.operations.rebuild_after_restore import Revival
from gitship.volumes.lifecycle import VolumeLifecycle
from tests.e2e import apps
from tests.e2e.apps import git
from tests.unit.commands.world import World
from tests.unit.memory.engine import MemoryEngine, MemoryImages
from tests.unit.memory.server import Failure
from tests.waiting import wait_until

pytestmark = pytest.mark.clients
END_S = 20.0
PULLED = f"r.example/shop@sha256:{'1a' * 32}"


class Bare(MemoryImages):
    """Has no images but these."""

    def __init__(self) -> None:
        super().__init__()
        self.there: set[str] = set()
        self.down = False
        self.asked = threading.Event()

    def inspect(self, image_id: str) -> Image:
        self.asked.set()
        if self.down:
            raise EngineError("Docker does not answer", "start it")
        if image_id not in self.there:
            raise NotFound("no image")
        return Image(image_id, 1)


class Restored:
    """Apps ``shop`` and ``idle``, which was stopped; both live from a commit that their repository has."""

    def __init__(self, directory: Path) -> None:
        self.world = World.open(directory)
        self.store, self.images = self.world.store, Bare()
        self.engine = MemoryEngine(images=self.images)
        self.keeper = VolumeLifecycle(self.store, self.engine, self.store.server_id())
        for name in ("shop", "idle"):
            self.world.memory.push(name)
            repository = self.world.memory.repositories.open(name)
            source = apps.new_repository(directory / f"src-{name}", {"Dockerfile": "FROM scratch\n"})
            git(repository.path, "fetch", "-q", str(source), "main:main")
            app = self.store.app(name)
            with self.store.transaction() as db:
                db.execute("DROP TRIGGER IF EXISTS releases_are_immutable")
                sha = repository.ref("refs/heads/main")
                db.execute("UPDATE releases SET commit_sha = ?, manifest = NULL WHERE id = ?", (sha, app.live_release))
        self.store.set_setting(self.store.app("idle").id, STOPPED, True)
        self.store.set_server_setting(RESTORED, {"at": 1.0})
        self.before = {name: len(self.store.deploys(self.store.app(name).id)) for name in ("shop", "idle")}

    def revive(self) -> Revival:
        shared = replace(self.world.memory.shared, engine=self.engine)
        made = Revival(shared, self.keeper, self.world.operations, self.world.memory.services)
        made.start()
        return made

    def until_done(self) -> None:
        going = self.revive()
        wait_until(lambda: self.store.server_setting(RESTORED) is None, END_S, "the mark goes")
        going.stop()

    def new(self, name: str) -> list[DeployKind]:
        found = self.store.deploys(self.store.app(name).id)
        return [deploy.kind for deploy in found[: len(found) - self.before[name]]]


@pytest.fixture
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Restored]:
    monkeypatch.setattr(rebuild_after_restore, "LOOK_S", 0.02)
    made = Restored(tmp_path)
    yield made
    made.store.close()


def test_what_was_live_is_built_from_its_commit_and_what_was_stopped_stays_so(restored: Restored) -> None:
    restored.until_done()
    assert restored.new("shop") == [DeployKind.PUSH] and restored.new("idle") == []
    newest = restored.store.deploys(restored.store.app("shop").id)[0]
    assert (newest.created_by, newest.ref) == ("restore", None), "no ref moves"


def test_an_app_whose_image_is_there_is_the_reconcilers(restored: Restored) -> None:
    app = restored.store.app("shop")
    restored.images.there.add(restored.store.release(app.live_release or 0).image_id)
    restored.until_done()
    assert restored.new("shop") == []


def test_a_lock_does_not_keep_it_down_and_stays(restored: Restored) -> None:
    app = restored.store.app("shop")
    app_lock.set_lock(restored.store, app, restored.world.client("x").session.identity, "frozen")
    restored.until_done()
    assert restored.new("shop") == [DeployKind.PUSH]
    held = app_lock.lock_of(restored.store, app)
    assert held is not None and held.message == "frozen"


def test_one_that_cannot_be_built_is_told_and_holds_up_nobody(
    restored: Restored, caplog: pytest.LogCaptureFixture
) -> None:
    restored.store.set_setting(restored.store.app("idle").id, STOPPED, None)
    Repositories(restored.world.settings.repositories, None).remove("idle")
    restored.world.memory.fail_next = Failure(DeployState.BUILDING, "no base image", "log in")
    with caplog.at_level(logging.WARNING, "gitship.restore_command"):
        restored.until_done()
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "idle" in said and "cannot be built again" in said
    assert "shop is not live" in said and "no base image" in said


def from_image(restored: Restored, kept: dict[str, Any] | None, cause: str) -> None:
    """The live release of ``shop`` as one that came from a registry."""
    app = restored.store.app("shop")
    with restored.store.transaction() as db:
        db.execute(
            "UPDATE releases SET commit_sha = NULL, manifest = ?, cause = ? WHERE id = ?",
            (kept and json.dumps(kept), cause, app.live_release),
        )


@pytest.mark.parametrize(
    ("kept", "cause", "pulled"),
    [
        ({**NO_FILES, IMAGE: PULLED}, "config MOTTO", f"image {PULLED}"),
        ({**NO_FILES}, "image r.example/shop:1", "image r.example/shop:1"),
    ],
    ids=["by digest", "of an earlier gitship"],
)
def test_what_came_from_a_registry_is_pulled_again(
    restored: Restored, kept: dict[str, Any], cause: str, pulled: str
) -> None:
    from_image(restored, kept, cause)
    restored.until_done()
    [newest] = [deploy for deploy in restored.store.deploys(restored.store.app("shop").id) if "image" in deploy.cause]
    assert (newest.kind, newest.cause) == (DeployKind.IMAGE, pulled)


def test_a_pull_that_fails_is_tried_again_so_many_times(
    restored: Restored, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rebuild_after_restore, "PULL_AGAIN_S", (0.01, 0.01))
    monkeypatch.setattr(rebuild_after_restore, "LOOK_S", 0.01)
    from_image(restored, {**NO_FILES, IMAGE: PULLED}, "image r.example/shop:1")
    monkeypatch.setattr(type(restored.world.memory), "fail_next", Failing(), raising=False)
    restored.until_done()
    assert restored.new("shop") == [DeployKind.IMAGE] * 3
    assert "refused (is it up?); it is tried again in 0.01 s" in caplog.text
    assert caplog.records[-1].getMessage().endswith("(is it up?)"), "the last one"


def test_a_pull_is_not_tried_again_when_somebody_has_deployed_meanwhile(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_after_restore, "PULL_AGAIN_S", (0.5,))
    monkeypatch.setattr(rebuild_after_restore, "LOOK_S", 0.01)
    from_image(restored, {**NO_FILES, IMAGE: PULLED}, "image r.example/shop:1")
    memory = restored.world.memory
    memory.fail_next = Failure(DeployState.BUILDING, "refused", "is it up?")
    going = restored.revive()
    wait_until(lambda: restored.new("shop"), END_S, "the first pull")
    memory.push("shop")
    wait_until(lambda: restored.store.server_setting(RESTORED) is None, END_S, "the mark goes")
    going.stop()
    assert restored.new("shop") == [DeployKind.PUSH, DeployKind.IMAGE]


def test_what_was_promoted_is_promoted_again_once_the_other_app_has_its_image(restored: Restored) -> None:
    source = restored.store.release(restored.store.app("shop").live_release or 0)
    idle = restored.store.app("idle")
    restored.store.set_setting(idle.id, STOPPED, None)
    with restored.store.transaction() as db:
        kept = json.dumps({"context": None, "files": {}})
        db.execute(
            "UPDATE releases SET commit_sha = ?, manifest = ? WHERE id = ?", (source.commit, kept, idle.live_release)
        )
    restored.images.there.add("sha256:3")  # which the next deploy makes
    restored.until_done()
    assert restored.new("shop") == [DeployKind.PUSH] and restored.new("idle") == [DeployKind.PROMOTE]
    [newest] = restored.store.deploys(idle.id, limit=1)
    assert newest.cause == "shop v2"


def test_what_was_promoted_from_a_release_that_is_no_more_is_told(
    restored: Restored, caplog: pytest.LogCaptureFixture
) -> None:
    idle = restored.store.app("idle")
    restored.store.set_setting(idle.id, STOPPED, None)
    with restored.store.transaction() as db:
        kept = json.dumps({"context": None, "files": {}})
        db.execute(
            "UPDATE releases SET commit_sha = ?, manifest = ? WHERE id = ?", ("1a" * 20, kept, idle.live_release)
        )
    with caplog.at_level(logging.WARNING, "gitship.restore_command"):
        restored.until_done()
    assert restored.new("idle") == [] and "idle: v1 cannot be built again: the repository" in caplog.text


class Failing:
    """Every deploy fails."""

    def __get__(self, owner: object, kind: type) -> Failure:
        return Failure(DeployState.BUILDING, "refused", "is it up?")

    def __set__(self, owner: object, value: object) -> None: ...


def test_volumes_that_no_backup_had_are_made_and_told(restored: Restored, caplog: pytest.LogCaptureFixture) -> None:
    app = restored.store.app("shop")
    restored.store.set_setting(app.id, VOLUME("data"), "gitship-s1-1-data-aa")
    with caplog.at_level(logging.WARNING, "gitship.restore_command"):
        restored.until_done()
    assert restored.engine.volumes.exists("gitship-s1-1-data-aa")
    assert "storage:import shop data" in caplog.text


def test_it_waits_for_docker_and_begins_again_after_a_crash(restored: Restored) -> None:
    restored.images.down = True
    going = restored.revive()
    assert restored.images.asked.wait(END_S)
    going.stop()  # as a crash would end it
    assert restored.store.server_setting(RESTORED) is not None and restored.new("shop") == []
    restored.images.down = False
    restored.until_done()
    assert restored.new("shop") == [DeployKind.PUSH]


def test_without_a_restore_nothing_begins(restored: Restored) -> None:
    restored.store.set_server_setting(RESTORED, None)
    going = restored.revive()
    going.stop()
    assert restored.new("shop") == [] and not restored.images.asked.is_set()
