"""What can go and what stays: by label, by name, by age. On real Docker: tests/e2e/test_disk.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitship.config import DeploySettings, DiskSettings, Settings
from gitship.deploy import retire_images
from gitship.engine import types
from gitship.engine.types import HeldImage
from gitship.git.repository import Repositories
from gitship.logs import retention
from gitship.model import App, DeployKind, DeployState
from gitship.operations.cleanup import Cleanup
from gitship.store import Store
from tests.unit.memory.engine import MemoryEngine, MemoryImages


class Images(MemoryImages):
    """Those that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.there: list[HeldImage] = []
        self.gone: list[str] = []

    def held(self, label: str, value: str, reference: str) -> list[HeldImage]:
        return self.there

    def remove(self, image_id: str, mine: Callable[[str], bool], *, untagged: bool) -> bool:
        self.gone.append(image_id)
        return True

    def prune_cache(self, keep_bytes: int, unused_s: int = 0) -> int:
        return 7

    def cache_bytes(self) -> int:
        return 9


class Server:
    def __init__(self, directory: Path) -> None:
        self.settings = Settings(
            data_dir=directory, deploy=DeploySettings(keep_releases=2), disk=DiskSettings(log_days=30)
        )
        self.store = Store(self.settings.database)
        self.images = Images()
        self.engine = MemoryEngine(images=self.images)
        self.repositories = Repositories(self.settings.repositories, None)
        self.cleanup = Cleanup(self.settings, self.store, self.engine, self.repositories)
        self.app = self.store.create_app("shop")

    def release(self, image: str, state: DeployState = DeployState.LIVE) -> HeldImage:
        """A deploy that came to that, with its image in Docker."""
        made = self.store.create_release(
            self.app.id, commit="c" * 40, image_id=image, image_bytes=1, config={}, processes=(), cause="push",
            created_by="me",
        )  # fmt: skip
        deploy = self.store.create_deploy(self.app.id, DeployKind.PUSH, "me")
        with self.store.transaction() as db:
            db.execute("UPDATE deploys SET state = ?, release_id = ? WHERE id = ?", (state, made.id, deploy.id))
        if state is DeployState.LIVE:
            self.store.set_live(self.app.id, made.id, [])
        return self.image(image, f"gitship/shop:{self.store.server_id()}-{deploy.id}")

    def image(self, name: str, *tags: str, in_use: bool = False, app: App | None = None) -> HeldImage:
        labels = {types.LABEL_SERVER: self.store.server_id(), types.LABEL_APP_ID: str((app or self.app).id)}
        found = HeldImage(name, tags, labels, 1000, in_use)
        self.images.there.append(found)
        return found

    def shown(self) -> list[str]:
        return [item.name for item in self.cleanup.look() if item.kind == "image"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.store.close()


def test_images_of_releases_that_are_too_old_go_and_all_others_stay(server: Server) -> None:
    old = server.release("old")
    server.release("before")
    server.release("live")
    failed = server.release("failed", DeployState.FAILED)
    assert server.shown() == [old.tags[0], failed.tags[0]]
    assert not server.images.gone, "looking takes nothing"
    server.cleanup.free()
    assert server.images.gone == ["old", "failed"]


def test_what_is_in_use_or_somebody_elses_stays(server: Server) -> None:
    server.release("live")
    ours = f"gitship/shop:{server.store.server_id()}-1"
    server.image("running", ours, in_use=True)
    server.image("tagged by a person", ours, "mine:1")
    server.image("another server's", "gitship/shop:other-1")
    server.image("empty", f"gitship-empty:{server.store.server_id()}")
    server.images.there.append(HeldImage("foreign", (), {types.LABEL_SERVER: "other"}, 1, False))
    own = {types.LABEL_SERVER: server.store.server_id(), types.LABEL_RESERVE: "1"}
    server.images.there.append(HeldImage("the reserve", (), own, 1, False))
    assert server.shown() == []


def test_what_a_deploy_is_just_making_stays(server: Server) -> None:
    server.release("live")
    deploy = server.store.create_deploy(server.app.id, DeployKind.PUSH, "me")
    server.image("being built", f"gitship/shop:{server.store.server_id()}-{deploy.id}")
    server.image("without its tag yet")
    server.image("of the future", f"gitship/shop:{server.store.server_id()}-{deploy.id + 1}")
    assert server.shown() == []


def test_what_builds_and_apps_that_are_gone_have_left_goes(server: Server) -> None:
    server.release("live")
    gone = server.store.create_app("gone")
    deploy = server.store.create_deploy(gone.id, DeployKind.PUSH, "me")
    server.store.delete_app(gone.id)
    image = server.image("of gone", f"gitship/gone:{server.store.server_id()}-{deploy.id}", app=gone)
    released = server.release("sha256:dangling1234567", DeployState.FAILED)
    server.images.there.remove(released)
    server.image("sha256:dangling1234567")  # its tag was taken away by hand
    server.image("sha256:stranger", app=gone)  # no release of anybody has it: its labels prove nothing
    found = {item.name: (item.app, item.why) for item in server.cleanup.look()}
    assert found == {
        image.tags[0]: (None, "of a deleted app"),
        "dangling1234": ("shop", "of an old release"),
    }


def test_old_images_go_by_age_but_one_can_always_go_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("third", "second", "live"):
        server.release(name)
    assert retire_images.images_to_keep(server.store, server.app, 5, 10) == {"third", "second", "live"}
    later = time.time() + 11 * retire_images.DAY_S
    monkeypatch.setattr(retire_images.time, "time", lambda: later)  # type: ignore[attr-defined]
    assert retire_images.images_to_keep(server.store, server.app, 5, 10) == {"second", "live"}
    assert retire_images.images_to_keep(server.store, server.app, 5, 0) == {"third", "second", "live"}


def log(server: Server, name: str, days: float) -> Path:
    path = server.settings.logs / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * 5000)
    at = time.time() - days * retention.DAY_S
    os.utime(path, (at, at))
    return path


def test_logs_go_by_age(server: Server) -> None:
    deploy = server.store.create_deploy(server.app.id, DeployKind.PUSH, "me")
    own = f"app_{server.app.id}"
    stay = [
        log(server, f"{own}/1000.log", 29), log(server, f"{own}/{deploy.id}.log", 400),
        log(server, "app_999/1.log", 0.5), log(server, f"{own}/notes.txt", 400), log(server, "shop/1.log", 29),
    ]  # fmt: skip
    go = [
        log(server, f"{own}/1001.log", 31), log(server, f"{own}/cron/nightly/shop.run.cron-1.v1.log", 31),
        log(server, f"{own}/releases/v1.web.1.1-aa.log.gz", 31), log(server, "app_999/2.log", 2),
        log(server, "gone/cron/nightly/gone.run.cron-1.v1.log", 2),
    ]  # fmt: skip
    found = {item.app: item for item in server.cleanup.look()}
    assert found["shop"].name == "3 files" and found[None].name == "1 file"
    assert found[None].why == "of a deleted app" and (found["shop"].bytes or 0) >= 15_000
    assert all(path.exists() for path in [*stay, *go])
    server.cleanup.free()
    assert all(path.exists() for path in stay) and not any(path.exists() for path in go)
    assert not (server.settings.logs / "gone").exists()


def test_with_0_days_logs_stay_for_ever(server: Server) -> None:
    log(server, f"app_{server.app.id}/1.log", 4000)
    assert not list(retention.found(server.settings.logs, server.store, 0))


def test_the_build_cache_only_when_it_is_asked_for(server: Server) -> None:
    assert not server.cleanup.look() and not server.cleanup.free()
    assert [(i.kind, i.bytes) for i in server.cleanup.look(build_cache=True)] == [("build cache", 9)]
    assert [(i.kind, i.bytes) for i in server.cleanup.free(build_cache=True)] == [("build cache", 7)]


def test_repositories_are_not_packed_while_a_backup_reads_them(server: Server) -> None:
    fan = server.repositories.create("shop").objects / "ab"
    fan.mkdir()
    for number in range(300):
        (fan / f"{number:038x}").write_bytes(b"x")
    [item] = server.cleanup.look()
    assert (item.kind, item.name) == ("repository", "shop.git") and "300 loose objects" in item.why
    with server.repositories.unpacked:
        assert server.cleanup.pack() == []
