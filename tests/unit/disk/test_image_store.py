"""Docker is led to its other image store: which it was is written down, and what is not there any more is told."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.config import Settings
from gitship.disk.image_store import ImageStoreWatch, listed
from gitship.doctor.images import images as look
from gitship.doctor.report import Level
from gitship.engine.types import Image
from gitship.errors import NotFound
from gitship.model import App, DeployKind, DeployState
from gitship.store import Store
from gitship.store.image_stores import KnownImageStore
from tests.unit.memory.engine import MemoryEngine, MemoryImages


class Images(MemoryImages):
    """Two stores; each has what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: dict[str, set[str]] = {"old": set(), "new": set()}
        self.now = "old"

    def store(self) -> str:
        return self.now

    def inspect(self, image_id: str) -> Image:
        if image_id not in self.stores[self.now]:
            raise NotFound("no image", "")
        return super().inspect(image_id)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "gitship.db")
    yield made
    made.close()


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Images:
    made = Images()
    monkeypatch.setattr("gitship.doctor.images.DockerEngine", lambda host: MemoryEngine(images=made))
    return made


def live(store: Store, images: Images, app: App) -> str:
    """A further release of the app has gone live; its image is in the present store."""
    image_id = f"sha256:{app.name}-{len(store.releases(app.id)) + 1}"
    images.stores[images.now].add(image_id)
    release = store.create_release(
        app.id,
        commit="a" * 40,
        image_id=image_id,
        image_bytes=1,
        config={},
        processes=(),
        cause="push",
        created_by="me",
    )
    deploy = store.create_deploy(app.id, DeployKind.PUSH, "me")
    store.update_deploy(dataclasses.replace(deploy, state=DeployState.LIVE, release_id=release.id))
    store.set_live(app.id, release.id, ())
    return image_id


def test_the_first_look_writes_down_and_a_change_that_took_nothing_is_not_told(
    store: Store, images: Images, caplog: pytest.LogCaptureFixture
) -> None:
    watch = ImageStoreWatch(store, MemoryEngine(images=images), lambda: 1000.0)
    watch.look()
    assert store.image_store() == KnownImageStore("old", 1000.0)
    images.stores["new"].add(live(store, images, store.create_app("shop")))
    images.now = "new"
    watch.look()
    assert store.image_store() == KnownImageStore("new", 1000.0, "old")
    assert caplog.text == ""


def test_a_change_that_took_images_away_is_told_once(
    store: Store, images: Images, caplog: pytest.LogCaptureFixture
) -> None:
    watch = ImageStoreWatch(store, MemoryEngine(images=images))
    watch.look()
    for name in ("a", "b", "c", "d", "e"):
        live(store, images, store.create_app(name))
    images.now = "new"
    with caplog.at_level(logging.ERROR):
        watch.look()
        watch.look()
    [record] = caplog.records
    assert "keeps images in new now and kept them in old before" in record.getMessage()
    assert "those of a v1, b v1, c v1 and 2 more are not there" in record.getMessage()
    assert "containerd-snapshotter" in record.getMessage() and "ps:rebuild APP" in record.getMessage()


def test_the_doctor_names_what_is_gone_and_tells_a_move_from_a_removal(
    store: Store, images: Images, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    shop = store.create_app("shop")
    first = live(store, images, shop)
    live(store, images, shop)
    ImageStoreWatch(store, MemoryEngine(images=images)).look()
    [fine] = look(settings)
    assert (fine.level, "1 live release" in fine.text) == (Level.OK, True)

    images.stores["old"].remove(first)
    [by_hand] = look(settings)
    assert by_hand.level is Level.WARN and by_hand.text.startswith(
        "the images of shop v1 no longer exist in Docker; rollbacks"
    )
    assert "git:deploy APP COMMIT --force" in by_hand.fix

    images.now = "new"
    [not_seen_yet] = look(settings)
    assert not_seen_yet.level is Level.FAIL and "keeps images in new, and kept them in old before" in not_seen_yet.text
    assert "shop v2, shop v1" in not_seen_yet.text and "containerd-snapshotter" in not_seen_yet.fix
    ImageStoreWatch(store, MemoryEngine(images=images), lambda: 1_800_000_000.0).look()
    [seen] = look(settings)
    assert "in new since 2027-01-1" in seen.text

    live(store, images, shop)
    [rollback] = look(settings)
    assert rollback.level is Level.WARN and "shop v2" in rollback.text and "rollbacks to them fail" in rollback.text


def test_a_release_that_was_never_live_is_not_missed(store: Store, images: Images, tmp_path: Path) -> None:
    shop = store.create_app("shop")
    image_id = live(store, images, shop)
    images.stores["old"].remove(image_id)
    store.update_deploy(dataclasses.replace(store.deploys(shop.id)[0], state=DeployState.FAILED))
    live(store, images, shop)
    [finding] = look(Settings(data_dir=tmp_path))
    assert finding.level is Level.OK


def test_a_long_list_is_cut() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d"]) == "a, b, c and 1 more"
