"""What becomes of volumes: nothing that counts is removed, and nothing that does not is left, wherever gitship dies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from gitship.appsettings import DISCARDED, STOPPED
from gitship.containers.discrepancies import Change
from gitship.engine.interface import Engine
from gitship.engine.types import LABEL_HELPER, LABEL_SERVER, ContainerState
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.model import App, Deploy, DeployKind, DeployState, Mount, Process
from gitship.store import Store
from gitship.store.settings import Setting
from gitship.volumes import volume_names
from gitship.volumes.lifecycle import VolumeLifecycle
from tests.unit.memory.engine import MemoryEngine

SERVER = "s1"


class Bench:
    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "gitship.db")
        self.machine = MemoryEngine()
        self.app = self.store.create_app("shop")
        self.keeper = self.next()

    @property
    def volumes(self) -> set[str]:
        return set(self.machine.volumes.content)

    def next(self) -> VolumeLifecycle:
        """What a gitship that starts anew has."""
        return VolumeLifecycle(self.store, cast(Engine, self.machine), SERVER)

    def made(self, name: str = "data") -> str:
        self.keeper.ensure(self.app, name)
        return self.keeper.named(self.app, name)

    def live(self, *volumes: str) -> None:
        mounts = tuple(Mount("data", f"/{n}", volume=volume) for n, volume in enumerate(volumes))
        release = self.store.create_release(
            self.app.id, commit=None, image_id="i", image_bytes=1, config={}, processes=[Process("web", mounts=mounts)],
            cause="push", created_by="me",
        )  # fmt: skip
        self.store.set_live(self.app.id, release.id, [])

    def set(self, setting: Setting[Any], value: Any) -> None:
        self.store.set_setting(self.app.id, setting, value)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_a_volume_is_made_once_labelled_and_named_by_its_apps_id(bench: Bench) -> None:
    name = bench.made()
    bench.store.rename_app(bench.app.id, "store")
    assert bench.made() == name and bench.volumes == {name}
    assert name.startswith(f"gitship-{SERVER}-{bench.app.id}-data-") and "shop" not in name
    assert bench.machine.volumes.labels[name] == {
        "gitship.server": SERVER, "gitship.app": "shop", "gitship.app-id": str(bench.app.id), "gitship.volume": "data",
    }  # fmt: skip
    assert bench.store.app_settings(bench.app.id).all(DISCARDED) == {}


def texts(changes: list[Change]) -> list[str]:
    return [change.text for change in changes]


def test_two_apps_never_share_a_volume_of_one_name(bench: Bench) -> None:
    other = bench.store.create_app("blog")
    bench.keeper.ensure(other, "data")
    assert bench.made() != bench.keeper.named(other, "data")


def test_an_unknown_volume_is_answered_with_the_nearest_name(bench: Bench) -> None:
    bench.made("uploads")
    with pytest.raises(NotFound) as caught:
        bench.keeper.named(bench.app, "upload")
    assert "'uploads'" in caught.value.hint


def test_what_was_being_filled_when_gitship_was_killed_goes_at_the_next_start(bench: Bench) -> None:
    kept = bench.made()
    filling = bench.keeper.filling(bench.app, "data")
    half = filling.__enter__()  # and never left
    bench.machine.volumes.make(half, {})
    assert bench.keeper.settle([]) == []  # it is being filled yet
    assert texts(bench.next().settle([])) == [f"removed volume {half}: it was discarded"]
    assert bench.volumes == {kept}
    del filling


def test_containers_by_which_nobody_reads_or_writes_any_more_are_removed(bench: Bench) -> None:
    bench.machine.volumes.helping = {"busy"}
    labels = {LABEL_SERVER: bench.store.server_id(), LABEL_HELPER: "x"}
    helpers = [ContainerState(f"id-{name}", name, labels, "created") for name in ("busy", "left")]
    helpers.append(ContainerState("id-strange", "strange", {}, "created"))
    planned = texts(bench.keeper.amiss(helpers))
    assert planned == texts(bench.keeper.settle(helpers)) == ["removed left: its client is gone"]
    assert bench.machine.removed == ["id-left"]


def test_a_volume_that_never_came_to_be_is_forgotten(bench: Bench) -> None:
    with pytest.raises(GitshipError), bench.keeper.filling(bench.app, "data"):
        raise GitshipError("the archive ends early")
    assert bench.volumes == set() and bench.store.app_settings(bench.app.id).values == {}


def test_what_a_deploy_may_yet_bring_in_stays_until_it_has_ended(bench: Bench) -> None:
    deploy = bench.store.create_deploy(bench.app.id, DeployKind.CONFIG, "me")
    with bench.keeper.filling(bench.app, "data") as fresh:
        pass
    assert bench.next().settle([]) == [] and fresh in bench.volumes
    bench.store.update_deploy(_ended(deploy, DeployState.FAILED))
    assert bench.next().settle([]) != [] and fresh not in bench.volumes


def test_what_counts_is_not_removed_whatever_is_written_down(bench: Bench) -> None:
    counts, live = bench.made(), "old-content"
    bench.machine.volumes.make(live, {})
    bench.live(live)
    for name in (counts, live):
        bench.set(DISCARDED(name), 1.0)
    assert bench.next().settle([]) == []
    bench.set(STOPPED, True)  # the next start brings the volume that counts
    assert texts(bench.next().settle([])) == [f"removed volume {live}: it was discarded"]
    assert bench.volumes == {counts}


def test_what_a_container_uses_is_tried_again(bench: Bench) -> None:
    name = bench.made()
    bench.machine.volumes.in_use.add(name)
    bench.keeper.discard(bench.app, "data")
    assert bench.volumes == {name} and bench.keeper.settle([]) == []
    bench.machine.volumes.in_use.clear()
    assert len(bench.keeper.settle([])) == 1 and bench.volumes == set()


def test_what_nobody_has_written_down_stays(bench: Bench) -> None:
    """A volume with the app's labels that the database does not know, as after the return to a backup of it."""
    bench.machine.volumes.make("unknown", bench.keeper.labels(bench.app, "data"))
    assert bench.next().settle([]) == [] and bench.volumes == {"unknown"}


def test_volumes_of_an_app_that_is_gone_go_unless_the_database_never_had_it(bench: Bench) -> None:
    mine, gone = bench.made(), bench.store.create_app("gone")
    later = App(gone.id + 5, "later", 0.0)
    names = {app.name: volume_names.fresh(SERVER, app, "data") for app in (gone, later)}
    for app in (gone, later):
        bench.machine.volumes.make(names[app.name], bench.keeper.labels(app, "data"))
    bench.machine.volumes.make("strange", bench.keeper.labels(gone, "data"))  # labelled by hand
    bench.machine.volumes.make("of-another-server", {**bench.keeper.labels(gone, "data"), "gitship.server": "s2"})
    bench.store.delete_app(gone.id)
    assert texts(bench.next().settle([])) == [f"removed volume {names['gone']}: its app is gone"]
    assert bench.volumes == {mine, names["later"], "strange", "of-another-server"}


def test_a_destroyed_apps_volumes_go_all_of_them(bench: Bench) -> None:
    other = bench.store.create_app("blog")
    bench.keeper.ensure(other, "data")
    bench.made("a"), bench.made("b")
    bench.machine.volumes.in_use.add(bench.made("a"))
    with pytest.raises(Conflict, match="in use"):
        bench.keeper.remove_all(bench.app)
    bench.machine.volumes.in_use.clear()
    bench.keeper.remove_all(bench.app)
    assert bench.volumes == {bench.keeper.named(other, "data")}


def test_one_import_at_a_time_until_its_deploy_has_ended(bench: Bench) -> None:
    said = "an import into 'data' of shop is in progress"
    deploy = bench.store.create_deploy(bench.app.id, DeployKind.CONFIG, "me")
    with bench.keeper.claim(bench.app, "data"):
        with pytest.raises(Conflict, match=said), bench.keeper.claim(bench.app, "data"):
            pass
        with bench.keeper.claim(bench.app, "other"):
            pass
        bench.keeper.claimed_by(bench.app, "data", deploy.id)
    with pytest.raises(Conflict, match=said), bench.keeper.claim(bench.app, "data"):
        pass
    newer = bench.store.create_deploy(bench.app.id, DeployKind.CONFIG, "me")
    bench.store.update_deploy(_ended(deploy, DeployState.SUPERSEDED))  # its changes are the newer one's now
    with pytest.raises(Conflict, match=said), bench.keeper.claim(bench.app, "data"):
        pass
    bench.store.update_deploy(_ended(newer, DeployState.DRAINING))
    with bench.keeper.claim(bench.app, "data"):
        pass


def test_an_app_is_not_destroyed_while_an_archive_moves(bench: Bench) -> None:
    with bench.keeper.moving(bench.app), pytest.raises(Conflict, match="exported, imported or backed up"):
        bench.keeper.ensure_still(bench.app)
    bench.keeper.ensure_still(bench.app)


def _ended(deploy: Deploy, state: DeployState) -> Deploy:
    return dataclasses.replace(deploy, state=state)
