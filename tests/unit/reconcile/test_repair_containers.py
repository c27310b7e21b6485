"""The reconciler's repairs beside deploys and the end of an app, held at the worst moments."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest

from gitship.appsettings import DESTROYING
from gitship.config import Settings
from gitship.containers.claims import Claims
from gitship.containers.container_starter import ContainerStarter
from gitship.containers.restart_delays import Restarts
from gitship.deploy.job import Job
from gitship.deploy.queue import DeployQueue
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine, ImageGone
from gitship.engine.types import LABEL_SERVER, ContainerState
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.events import Bus
from gitship.git.repository import Repositories
from gitship.logs.archive import LogArchive
from gitship.model import GITSHIP, App, Container, Mount, Process
from gitship.reconcile.container_watcher import ContainerWatcher
from gitship.reconcile.destroy_app import AppDestruction
from gitship.reconcile.outages import Outages
from gitship.reconcile.repair_containers import ContainerRepair
from gitship.routing.drain import Drainer
from gitship.store import Store
from gitship.volumes.lifecycle import VolumeLifecycle
from tests.unit.memory.front import MemoryFront
from tests.unit.memory.hooked_engine import HookedEngine
from tests.unit.memory.services import services_of


class HookedQueue(DeployQueue):
    """Calls ``asked`` whenever somebody asks whether a deploy is under way, and forgets it."""

    asked: Callable[[], None] | None = None

    def running(self, app_id: int) -> Job | None:
        asked, self.asked = self.asked, None
        if asked is not None:
            asked()
        return super().running(app_id)


class Bench:
    """One app with one web container, live, on an engine in memory; the rest is real."""

    FRONT: type[MemoryFront] = MemoryFront

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "gitship.db")
        self.now = 1000.0  # the clock of restarts, in seconds
        self.engine, self.front = HookedEngine(), self.FRONT()
        self.claims = Claims(timeout_s=0.0)
        self.queue = HookedQueue(lambda job: None, cancel_running=False)
        settings = dataclasses.replace(Settings(), data_dir=directory)
        engine, front, server_id = cast(Engine, self.engine), self.front, self.store.server_id()
        bus = Bus()
        addresses = Addresses(self.store, engine, IPv4Network("10.9.0.0/20"), server_id)
        kept = LogArchive(self.store, engine, settings.logs, 5)
        self.starter = ContainerStarter(engine, addresses, kept, server_id, self.store)
        self.drainer = Drainer(front, self.starter)
        keeper = VolumeLifecycle(self.store, engine, server_id)
        repositories = Repositories(directory / "repos", directory / "hook")
        self.destroying = AppDestruction(
            settings,
            self.store,
            bus,
            engine,
            front,
            repositories,
            addresses,
            self.queue,
            keeper,
            self.claims,
            services_of(settings, self.store, engine, addresses).links,
        )
        self.repair = ContainerRepair(
            settings, self.store, engine, front, self.starter, self.drainer, self.queue,
            ContainerWatcher(self.store, bus, engine, Outages()), self.claims, Restarts(self.store, lambda: self.now),
        )  # fmt: skip
        self.store.create_app("shop")
        self.release = self.store.create_release(
            self.app.id, commit="1a" * 20, image_id="sha256:1", image_bytes=1, config={},
            processes=(Process("web", port=5000),), cause="push", created_by="ada",
        )  # fmt: skip
        self.live = self.deploy()

    @property
    def app(self) -> App:
        return self.store.app("shop")

    def deploy(self) -> Container:
        """A container that takes the place of what was live."""
        web = self.release.processes[0]
        [made] = self.starter.start(self.app, self.release, [(web, 1)], 0, threading.Event(), {})
        self.store.set_live(self.app.id, self.release.id, [made])
        return made

    def settle(self) -> list[str]:
        states = cast(list[ContainerState], self.engine.list({LABEL_SERVER: self.store.server_id()}))
        self.failed: list[GitshipError] = []
        return [change.text for change in self.repair.settle(states, self.failed)]

    def settled(self) -> list[str]:
        """What is wrong after it was settled: nothing."""
        assert self.drainer.wait(10)
        return self.settle()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.queue.stop()
    made.store.close()


def once(bench: Bench, call: str, do: Callable[[], Any]) -> None:
    """``do`` at the next call of that name to Docker."""

    def hook(about: object) -> None:
        del bench.engine.before[call]
        do()

    bench.engine.before[call] = hook


def breaks(message: str) -> Callable[[], None]:
    def fail() -> None:
        raise GitshipError(message)

    return fail


def test_what_is_right_is_left_alone(bench: Bench) -> None:
    assert bench.settle() == []
    assert bench.engine.made == ["shop.web.1.v1"]


def test_what_keeps_a_container_away_is_told_once_until_it_changes(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.engine.remove(bench.live.id)
    for reason in ("no such image", "no such image", "its disk is full", "its disk is full"):
        once(bench, "create", breaks(reason))
        assert bench.settle() == []
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "no such image",
        "its disk is full",
    ]
    assert bench.settle() == ["made anew shop.web.1.v1: it was missing"]


def test_an_image_that_was_removed_by_hand_is_told_with_the_way_to_have_it_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.engine.remove(bench.live.id)

    def gone() -> None:
        raise ImageGone("the image of container shop.web.1.v1 no longer exists")

    once(bench, "create", gone)
    assert bench.settle() == []
    hint = "build it again: git:deploy shop 1a1a1a1a1a1a --force"
    [error] = bench.failed
    assert (error.message, error.hint) == ("shop: shop.web.1.v1: the image of v1 no longer exists", hint)
    assert hint in caplog.text
    assert bench.settle() and bench.failed == []


def test_a_container_that_is_gone_is_made_anew_with_its_name_and_address(bench: Bench) -> None:
    bench.engine.remove(bench.live.id)
    assert bench.settle() == ["made anew shop.web.1.v1: it was missing"]
    [now] = bench.store.containers(bench.app.id)
    assert (now.name, now.address) == (bench.live.name, bench.live.address) and now.id != bench.live.id
    assert bench.settled() == []


def test_a_container_that_is_down_is_started(bench: Bench) -> None:
    bench.engine.stop(bench.live.id, 1)
    assert bench.settle() == ["started shop.web.1.v1: it was exited"]
    assert bench.settled() == []


def test_one_that_cannot_be_started_is_made_anew(bench: Bench) -> None:
    bench.engine.stop(bench.live.id, 1)
    once(bench, "start", breaks("its network is gone"))
    assert bench.settle() == ["made anew shop.web.1.v1: it was exited"]
    assert bench.settled() == []


@pytest.mark.parametrize("address", ["", "10.9.0.99"])
def test_one_that_has_another_address_or_none_is_made_anew(bench: Bench, address: str) -> None:
    state = bench.engine.containers[bench.live.id]
    bench.engine.containers[bench.live.id] = dataclasses.replace(state, address=address)
    [said] = bench.settle()
    assert said == f"made anew shop.web.1.v1: it had {address or 'no address'} and not {bench.live.address}"
    assert bench.engine.containers[bench.store.containers(bench.app.id)[0].id].address == bench.live.address


def test_one_that_docker_is_just_starting_again_has_no_address_and_is_left_alone(bench: Bench) -> None:
    state = bench.engine.containers[bench.live.id]
    bench.engine.containers[bench.live.id] = dataclasses.replace(state, address="", status="restarting")
    assert bench.settle() == []


def test_what_nothing_leads_to_is_drained(bench: Bench) -> None:
    second = bench.deploy()
    assert bench.settle() == ["draining shop.web.1.v1: it was not in use"]
    assert bench.settled() == []
    assert bench.engine.names() == [second.name]


def test_an_app_is_not_destroyed_in_the_middle_of_a_repair(bench: Bench) -> None:
    """It would be: the container comes into a network that is being removed, or outlives its app."""
    bench.engine.remove(bench.live.id)
    refused: list[str] = []

    def destroy() -> None:
        with pytest.raises(Conflict, match="another operation is using the app's containers") as error:
            bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
        refused.append(error.value.message)

    once(bench, "create", destroy)
    bench.settle()
    assert refused and bench.app.name == "shop" and bench.front.removed == []
    bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert bench.engine.names() == [] and bench.engine.networks == {}


def test_nothing_is_repaired_of_an_app_that_is_being_destroyed(bench: Bench) -> None:
    said: list[str] = []
    once(bench, "remove_network", lambda: said.extend(bench.settle()))  # its container is gone by then
    bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert said == [] and bench.engine.made == ["shop.web.1.v1"]
    assert bench.engine.networks == {} and bench.store.apps() == []


def test_what_was_seen_before_a_claim_is_looked_at_again(bench: Bench) -> None:
    """A deploy that begins and ends between the look and the repair has replaced what was live."""

    def replaced() -> None:
        bench.deploy()
        bench.engine.remove(bench.live.id)

    bench.queue.asked = replaced
    assert bench.settle() == []
    assert bench.engine.made == ["shop.web.1.v1", "shop.web.2.v1"]


def test_an_app_that_somebody_is_at_work_on_has_to_wait_for_the_next_round(bench: Bench) -> None:
    bench.engine.remove(bench.live.id)
    with bench.claims.held(bench.app.id):
        assert bench.settle() == []
    assert len(bench.settle()) == 1


def test_a_container_that_comes_while_its_app_is_destroyed_goes_with_it(bench: Bench) -> None:
    labels = bench.engine.containers[bench.live.id].labels
    network = bench.engine.network_of[bench.live.id]

    def late() -> None:
        bench.engine.containers["late"] = ContainerState("late", "shop.run.1.v1", labels, "created")
        bench.engine.network_of["late"] = network

    once(bench, "remove_network", late)
    bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert bench.engine.names() == [] and bench.engine.networks == {}


def test_nobody_joins_an_app_that_is_being_destroyed(bench: Bench) -> None:
    app, refused = bench.app, []

    def join() -> None:
        with pytest.raises(NotFound, match="shop is being destroyed"), bench.claims.joined(app):
            pass
        refused.append(True)

    once(bench, "remove_network", join)
    bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert refused


def test_an_app_is_not_destroyed_while_a_command_is_just_starting_in_it(bench: Bench) -> None:
    with bench.claims.joined(bench.app), pytest.raises(Conflict, match="just starting"):
        bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert bench.engine.names() == ["shop.web.1.v1"]
    with bench.claims.joined(bench.app):
        pass  # as before


def test_while_docker_is_down_nothing_is_removed(bench: Bench) -> None:
    bench.engine.down = True
    with pytest.raises(GitshipError, match="does not answer"):
        bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert bench.front.removed == [] and bench.store.setting(bench.app.id, DESTROYING) is None


@pytest.mark.parametrize("call", ["list", "stop", "remove", "remove_network", "images.remove"])
def test_an_end_that_was_cut_short_is_finished_later(bench: Bench, call: str) -> None:
    once(bench, call, breaks("Docker went away"))
    with pytest.raises(GitshipError, match="shop could not be deleted completely: Docker went away"):
        bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert bench.settle() == []  # nothing comes back
    assert bench.front.hosts() == {}
    assert [change.text for change in bench.destroying.settle([])] == [
        "removed what is left of shop: it is being destroyed"
    ]
    assert bench.engine.names() == [] and bench.engine.networks == {} and bench.store.apps() == []
    assert bench.destroying.settle([]) == []


def test_an_end_that_cannot_be_finished_yet_is_finished_later_still(bench: Bench) -> None:
    for call in ("remove", "list", "images.remove"):  # Docker is away while gitship goes on with it, too
        once(bench, call, breaks("Docker went away"))
        if call == "remove":
            with pytest.raises(GitshipError):
                bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
        else:
            assert bench.destroying.settle([]) == []
    assert len(bench.destroying.settle([])) == 1
    assert bench.engine.names() == [] and bench.store.apps() == []


def test_it_may_also_be_destroyed_once_more(bench: Bench) -> None:
    once(bench, "remove", breaks("Docker went away"))
    with pytest.raises(GitshipError):
        bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert bench.engine.names() == [] and bench.store.apps() == []


PHOTOS = "/srv/photos"


@pytest.fixture
def photos(bench: Bench) -> Bench:
    """Its live container has a directory of the host."""
    process = Process("web", port=5000, mounts=(Mount(PHOTOS, "/photos"),))
    bench.release = bench.store.create_release(
        bench.app.id, commit="1b" * 20, image_id="sha256:1", image_bytes=1, config={},
        processes=(process,), cause="storage:mount", created_by="ada",
    )  # fmt: skip
    given = {"source": PHOTOS, "read_only": False, "processes": None}
    bench.store.change_settings(bench.app.id, {"mount./photos": given})
    bench.engine.remove(bench.live.id)
    bench.live = bench.deploy()
    return bench


def test_a_container_with_a_directory_of_the_host_is_gitships_to_start_again(photos: Bench) -> None:
    left: list[object] = []
    photos.engine.before["leave_down"] = left.append
    assert photos.settle() == [] and photos.settle() == []
    assert left == [photos.live.id], "also one that an earlier gitship has made"
    for pause_s in (0.0, 0.2, 0.4):
        photos.engine.stop(photos.live.id, 0)
        if pause_s:
            assert photos.settle() == [] and photos.repair.next_s() == pytest.approx(pause_s)
            photos.now += pause_s
        assert photos.settle() == ["started shop.web.1.v2: it was exited"]
        assert photos.repair.next_s() == math.inf


def test_a_directory_that_was_swapped_keeps_its_container_down_and_no_other_is_made(
    photos: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    photos.engine.stop(photos.live.id, 0)
    photos.engine.volumes.swapped.add(PHOTOS)
    for _ in range(3):
        assert photos.settle() == []
        photos.now += 2
    assert [r.getMessage() for r in caplog.records] == [f"shop: shop.web.1.v2: {PHOTOS} has become a symbolic link"], (
        "told once"
    )
    assert photos.engine.inspect(photos.live.id).status == "exited"
    photos.engine.volumes.swapped.clear()
    assert photos.settle() == ["started shop.web.1.v2: it was exited"]


def test_a_deploy_that_takes_its_time_keeps_no_crashed_container_down(photos: Bench) -> None:
    """Docker would not wait for its canary, either."""
    photos.engine.stop(photos.live.id, 0)
    with photos.claims.held(photos.app.id):
        assert photos.settle() == ["started shop.web.1.v2: it was exited"]
        photos.engine.remove(photos.live.id)
        assert photos.settle() == [], "what is gone is the deploy's affair"


def test_a_container_that_docker_will_not_leave_down_holds_up_nothing(photos: Bench) -> None:
    photos.engine.before["leave_down"] = lambda about: breaks("it is being removed")()
    other = photos.store.create_app("blog")
    release = photos.store.create_release(
        other.id, commit="1c" * 20, image_id="sha256:1", image_bytes=1, config={},
        processes=(Process("web", port=5000),), cause="push", created_by="ada",
    )  # fmt: skip
    [made] = photos.starter.start(other, release, [(release.processes[0], 1)], 0, threading.Event(), {})
    photos.store.set_live(other.id, release.id, [made])
    photos.engine.stop(made.id, 0)
    assert photos.settle() == ["started blog.web.1.v1: it was exited"]
