"""Which tags an app may take away from an image, and when."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.deploy.image_tags import cache_of, held_by, let_go_by, let_go_by_all, tag_of
from gitship.model import App, Deploy, DeployKind, DeployState
from gitship.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "gitship.db")
    yield made
    made.close()


def deploy(store: Store, app: App, state: DeployState = DeployState.LIVE) -> Deploy:
    made = dataclasses.replace(store.create_deploy(app.id, DeployKind.PUSH, "me"), state=state)
    store.update_deploy(made)
    return made


def test_an_app_takes_away_its_own_tags_and_those_of_apps_that_are_gone(store: Store) -> None:
    shop, blog, gone = (store.create_app(name) for name in ("shop", "blog", "gone"))
    tags = {app.name: tag_of(store, app, deploy(store, app).id) for app in (gone, blog, shop)}
    store.delete_app(gone.id)
    store.rename_app(shop.id, "store")
    for mine in (held_by(store, shop), let_go_by(store, shop)):
        assert [name for name, tag in tags.items() if mine(tag)] == ["gone", "shop"]
        foreign = ("shop:1", "registry.example.com/gitship/shop:x-1", "gitship/shop:another0000-1", "gitship/shop:1")
        assert not any(map(mine, foreign))


def test_a_tag_cannot_be_guessed_by_who_knows_the_app_the_server_and_the_deploy(store: Store, tmp_path: Path) -> None:
    shop = store.create_app("shop")
    tag, next_one = tag_of(store, shop, 1), tag_of(store, shop, 2)
    assert tag.startswith(f"gitship/shop:{store.server_id()}-1-")
    assert len(tag.rpartition("-")[2]) == 32 and tag.rpartition("-")[2] != next_one.rpartition("-")[2]
    other = Store(tmp_path / "other.db")
    assert tag_of(other, shop, 1).rpartition("-")[2] != tag.rpartition("-")[2]
    other.close()


def test_tags_that_an_earlier_gitship_made_are_still_known(store: Store) -> None:
    shop = store.create_app("shop")
    old = f"gitship/shop:{store.server_id()}-{deploy(store, shop).id}"
    assert held_by(store, shop)(old) and let_go_by(store, shop)(old) and let_go_by_all(store)(old)


def test_each_app_has_caches_of_its_own(store: Store) -> None:
    shop, blog = store.create_app("shop"), store.create_app("blog")
    assert cache_of(store, shop) != cache_of(store, blog)
    assert cache_of(store, store.app("shop")) == cache_of(store, shop)


def test_a_deploy_that_has_not_ended_keeps_its_tag(store: Store) -> None:
    shop = store.create_app("shop")
    ended, running = deploy(store, shop), deploy(store, shop, DeployState.STARTING)
    mine = let_go_by(store, shop)
    later = deploy(store, shop)
    store.update_deploy(dataclasses.replace(running, state=DeployState.LIVE))  # between the look and the removal
    held = [d.id for d in (ended, running, later) if not mine(tag_of(store, shop, d.id))]
    assert held == [running.id, later.id]
