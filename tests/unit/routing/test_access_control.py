"""A change of a gate that Varnish cannot take, or that nobody may make at that moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.appsettings import CACHE
from gitship.config import Settings
from gitship.config_values import Address
from gitship.errors import Conflict, FrontError
from gitship.front.front import AppFront, Front
from gitship.front.gate import OPEN, Gate
from gitship.model import GITSHIP
from gitship.routing.access_control import AccessControl
from gitship.routing.active_canaries import ActiveCanaries
from gitship.routing.desired_state import DesiredState
from gitship.routing.drain import Drainer
from gitship.routing.gate_settings import gate_of
from gitship.store import Store

DOMAIN = "example.com"
ALLOW = Gate(allow=("10.0.0.0/8",))


class Refusing(Front):
    """A Varnish that runs and takes no VCL; ``asked`` is what it was to load."""

    def __init__(self, directory: Path) -> None:
        super().__init__(Address("127.0.0.1", 0), directory, 1 << 24)
        self.asked: list[AppFront] = []

    def alive(self) -> bool:
        return True

    def load(self, app: AppFront) -> str:
        self.asked.append(app)
        raise FrontError("Varnish cannot load it", "see the server's log")


class NothingToDrain(Drainer):
    def __init__(self) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "gitship.db")
    made.create_app("shop")
    yield made
    made.close()


@pytest.fixture
def front(tmp_path: Path) -> Refusing:
    return Refusing(tmp_path / "varnish")


def test_what_varnish_refuses_is_not_kept(store: Store, front: Refusing) -> None:
    keeper = AccessControl(
        store, front, NothingToDrain(), 1.0, DesiredState(store, DOMAIN), Settings(domain=DOMAIN), ActiveCanaries()
    )
    app_id = store.app("shop").id
    with pytest.raises(FrontError):
        keeper.change(store.app("shop"), lambda gate: ALLOW, GITSHIP)
    assert [app.gate for app in front.asked] == [ALLOW]
    assert gate_of(store, app_id) == OPEN


def test_what_changes_nothing_or_is_refused_does_not_reach_varnish(store: Store, front: Refusing) -> None:
    def refuse(gate: Gate) -> Gate:
        raise Conflict("no", "never")

    keeper = AccessControl(
        store, front, NothingToDrain(), 1.0, DesiredState(store, DOMAIN), Settings(domain=DOMAIN), ActiveCanaries()
    )
    assert keeper.change(store.app("shop"), lambda gate: gate, GITSHIP) == OPEN
    with pytest.raises(Conflict):
        keeper.change(store.app("shop"), refuse, GITSHIP)
    assert front.asked == []


def test_no_change_comes_between_a_deploys_switch_and_its_commit(store: Store, front: Refusing) -> None:
    """The pipeline holds the app: a VCL made meanwhile would lead back to containers that are about to end."""
    keeper = AccessControl(
        store, front, NothingToDrain(), 1.0, DesiredState(store, DOMAIN), Settings(domain=DOMAIN), ActiveCanaries()
    )
    ended = threading.Event()

    def change() -> None:
        with pytest.raises(FrontError):
            keeper.change(store.app("shop"), lambda gate: ALLOW, GITSHIP)
        ended.set()

    thread = threading.Thread(target=change, name="change")
    with front.holding(store.app("shop").id):
        thread.start()
        assert not ended.wait(0.3)
        assert front.asked == []
        with front.holding(-1):  # another app
            pass
    assert ended.wait(10)
    thread.join(10)
    assert len(front.asked) == 1


def test_a_rule_that_varnish_refuses_is_not_kept(store: Store, front: Refusing) -> None:
    keeper = AccessControl(
        store, front, NothingToDrain(), 1.0, DesiredState(store, DOMAIN), Settings(domain=DOMAIN), ActiveCanaries()
    )
    app_id = store.app("shop").id
    store.set_setting(app_id, CACHE("ttl_s"), 5)
    with pytest.raises(FrontError):
        keeper.keep(store.app("shop"), {"cache.ttl_s": 60, "error-page": "<p>"}, GITSHIP)
    assert [(app.cache.ttl_s, app.error_page) for app in front.asked] == [(60, "<p>")]
    assert store.app_settings(app_id).values == {"cache.ttl_s": "5"}
    keeper.keep(store.app("shop"), {"cache.ttl_s": 5, "error-page": None}, GITSHIP)
    assert len(front.asked) == 1
