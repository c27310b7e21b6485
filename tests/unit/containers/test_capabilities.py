"""Host directories and capabilities: what an admin has taken away comes back by no road."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitship.appsettings import PENDING
from gitship.containers.capabilities import still
from gitship.deploy.job import Job, Request
from gitship.deploy.journal import DeployJournal
from gitship.deploy.manifest_source import NO_FILES
from gitship.engine.types import ContainerSpec
from gitship.errors import DeployError
from gitship.events import Bus
from gitship.model import GITSHIP, Container, DeployKind, DeployState, Mount, Process, Release
from gitship.store.settings import AppSettings
from tests.unit.deploy import test_pipeline
from tests.unit.oneoff import test_oneoffs

NOTHING = AppSettings(1, {})
GIVEN = {"source": "/srv/photos", "read_only": False, "processes": None}
PHOTOS = Mount("/srv/photos", "/photos")


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"mount./photos": None}, {"mount./photos": {**GIVEN, "source": "/srv/other"}},
        {"mount./photos": {**GIVEN, "read_only": True}}, {"mount./photos": {**GIVEN, "processes": ["worker"]}},
        {"mount./elsewhere": GIVEN}, {"mount./photos": {**GIVEN, "processes": []}},
    ],
)  # fmt: skip
def test_a_directory_that_the_app_may_not_have_is_an_error_with_its_name_and_the_way(changes: dict[str, Any]) -> None:
    with pytest.raises(DeployError) as caught:
        still("shop", release(PHOTOS), NOTHING.changed(changes), "do this")
    assert "v3 mounts the host directory /srv/photos at /photos" in caught.value.message
    assert caught.value.hint == "an admin can mount it again: storage:mount shop /srv/photos:/photos; do this"


@pytest.mark.parametrize("processes", [None, ["web"], ["worker", "web"]])
def test_what_is_given_is_had(processes: list[str] | None) -> None:
    settings = NOTHING.changed({"mount./photos": {**GIVEN, "processes": processes}})
    for mount in (PHOTOS, dataclasses.replace(PHOTOS, read_only=True)):
        assert still("shop", release(mount), settings, "").mounts == (mount,)


def test_a_volume_is_the_apps_own_and_needs_no_grant() -> None:
    old = release(Mount("data", "/data", volume="v1"))
    assert still("shop", old, NOTHING.changed({"volume.data": "v1"}), "") == old


def test_a_capability_that_was_taken_away_is_left_out() -> None:
    had = ("NET_RAW", "SYS_CHROOT")
    now = still("shop", release(capabilities=had), NOTHING.changed({"capability.NET_RAW": True}), "")
    assert now.capabilities == ("NET_RAW",)
    assert still("shop", release(), NOTHING.changed({"capability.NET_RAW": True}), "").capabilities == (), (
        "nor is one added"
    )


def release(*mounts: Mount, capabilities: tuple[str, ...] = ()) -> Release:
    web = Process("web", port=5000, mounts=mounts, capabilities=capabilities)
    return Release(1, 1, 3, "1a" * 20, "i", 1, {}, (web,), "push", "me", 1.0)


# -- the roads


class Bench(test_pipeline.Bench):
    """``shop`` is live at v1 without, and has had v2 with, a directory of the host. ``specs`` is what Docker got."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.specs: list[ContainerSpec] = []
        self.engine.before["create"] = lambda spec: self.specs.append(spec)  # type: ignore[arg-type]

    def give(self, mount: dict[str, Any] | None = GIVEN) -> None:
        self.store.change_settings(self.app.id, {"mount./photos": mount})

    def go(self, kind: DeployKind, **more: Any) -> tuple[DeployState, str, str]:
        deploy = self.store.create_deploy(self.app.id, kind, "ada", cause=str(kind))
        journal = DeployJournal(deploy, self.app, self.store, Bus(), self.settings.logs)
        done = self.run(Job(self.app, Request(kind, **more), journal, (GITSHIP,)))
        return done.state, done.reason, done.hint

    @property
    def mounted(self) -> set[str]:
        """By the container that Docker was asked for last."""
        return {mount.source for mount in self.specs[-1].mounts}

    @property
    def live(self) -> Container:
        [only] = self.store.containers(self.app.id)
        return only

    @live.setter
    def live(self, made: Container) -> None:
        assert made == self.live


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.queue.stop()
    made.store.close()


@pytest.fixture
def photos(bench: Bench) -> Bench:
    """v2 with the directory is live, and nothing gives it to the app any more."""
    bench.give()
    assert bench.go(DeployKind.CONFIG)[0] is DeployState.LIVE
    assert bench.mounted == {"/srv/photos"}
    bench.give(None)
    return bench


LOST = "v2 mounts the host directory /srv/photos at /photos, which shop may no longer use"


def test_a_rollback_fails_before_it_makes_a_container(photos: Bench) -> None:
    assert photos.go(DeployKind.CONFIG)[0] is DeployState.LIVE
    asked = len(photos.specs)
    v2 = next(r for r in photos.store.releases(photos.app.id) if r.number == 2)
    state, reason, hint = photos.go(DeployKind.ROLLBACK, release_id=v2.id)
    assert (state, reason, len(photos.specs)) == (DeployState.FAILED, LOST, asked)
    assert hint == (
        "an admin can mount it again: storage:mount shop /srv/photos:/photos;"
        " without it: git:deploy shop 1a1a1a1a1a1a --force"
    )
    assert photos.is_live("v3")
    photos.give()
    assert photos.go(DeployKind.ROLLBACK, release_id=v2.id)[0] is DeployState.LIVE
    assert photos.mounted == {"/srv/photos"}


def test_a_restart_makes_a_release_without_it(photos: Bench) -> None:
    assert photos.store.setting(photos.app.id, PENDING) is None, "as after a rollback by an older gitship"
    assert photos.go(DeployKind.RESTART)[0] is DeployState.LIVE
    assert photos.mounted == set() and photos.is_live("v3")


@pytest.mark.parametrize("kind", [DeployKind.SCALE, DeployKind.RENAME])
def test_the_live_release_gets_no_further_container_with_it(photos: Bench, kind: DeployKind) -> None:
    more = {"scale": {"web": 2}} if kind is DeployKind.SCALE else {"new_name": "store"}
    state, reason, hint = photos.go(kind, **more)
    assert (state, reason) == (DeployState.FAILED, LOST)
    assert hint.endswith("; without it: ps:restart shop")
    assert photos.is_live("v2") and photos.app.name == "shop"


def test_what_ends_containers_goes_on(photos: Bench) -> None:
    assert photos.go(DeployKind.SCALE, scale={"web": 0})[0] is DeployState.LIVE
    assert photos.engine.names() == []


@pytest.mark.parametrize("lost", ["removed", "stopped"])
def test_a_repair_brings_it_to_no_container(photos: Bench, lost: str) -> None:
    asked = len(photos.specs)
    (photos.engine.remove if lost == "removed" else lambda id_: photos.engine.stop(id_, 0.0))(photos.live.id)
    assert photos.settle() == []
    [error] = photos.failed
    assert (error.message, len(photos.specs)) == (f"shop: shop.web.1.v2: {LOST}", asked)
    photos.give()
    photos.now += 60
    assert len(photos.settle()) == 1
    assert photos.settled() == []


def test_one_that_is_taken_away_while_a_deploy_is_under_way_is_not_mounted(bench: Bench) -> None:
    bench.give()
    bench.engine.before["ensure_network"] = lambda name: bench.give(None)  # after the release was made
    state, reason, _ = bench.go(DeployKind.CONFIG)
    assert (state, reason, bench.specs) == (DeployState.FAILED, LOST, [])
    assert bench.is_live("v1")


def test_what_a_deploy_itself_brings_is_given(bench: Bench) -> None:
    made = bench.store.create_release(
        bench.app.id, commit=None, image_id="sha256:1", image_bytes=1, config={}, cause="image", created_by="ada",
        processes=(Process("web", port=5000),), manifest=NO_FILES,
    )  # fmt: skip
    bench.store.set_live(bench.app.id, made.id, bench.store.containers(bench.app.id))
    assert bench.go(DeployKind.CONFIG, settings={"mount./photos": GIVEN})[0] is DeployState.LIVE
    assert bench.mounted == {"/srv/photos"}


def test_a_one_off_has_it_only_while_it_is_given(tmp_path: Path) -> None:
    bench = test_oneoffs.Bench(tmp_path)
    store, app = bench.store, bench.app
    made = store.create_release(
        app.id, commit="1a" * 20, image_id="sha256:1", image_bytes=1, config={}, cause="push", created_by="ada",
        processes=(Process("web", port=5000, mounts=(PHOTOS,)),),
    )  # fmt: skip
    store.set_live(app.id, made.id, [])
    with pytest.raises(DeployError, match="v2 mounts the host directory /srv/photos"):
        bench.detach("x")
    assert (bench.engine.specs, store.addresses(app.id)) == ({}, {})
    store.change_settings(app.id, {"mount./photos": GIVEN})
    assert bench.engine.specs[bench.detach("x")].mounts == (PHOTOS,)
    bench.one_offs.close()
    store.close()
