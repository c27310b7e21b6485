"""Subnets and addresses, against a real store; which subnets overlap is up to the test."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import cast

import pytest

from gitship.engine import addresses as module
from gitship.engine.addresses import Addresses, rotated
from gitship.engine.interface import Engine
from gitship.errors import GitshipError
from gitship.model import App
from gitship.store import Store


class Networks:
    """The two engine calls that Addresses makes; ``foreign`` are subnets of somebody else's networks."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self.labels: dict[str, Mapping[str, str]] = {}
        self.foreign: set[str] = set()

    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
        if subnet in self.foreign:
            return False
        self.made[name] = subnet
        self.labels[name] = labels
        return True

    def remove_network(self, name: str) -> None:
        self.made.pop(name, None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "gitship.db")
    yield store
    store.close()


@pytest.fixture
def networks() -> Networks:
    return Networks()


@pytest.fixture
def addresses(store: Store, networks: Networks) -> Addresses:
    return Addresses(store, cast(Engine, networks), IPv4Network("10.231.0.0/24"), "srv")


@pytest.fixture
def app(store: Store) -> App:
    return store.create_app("shop")


def test_an_apps_network_is_named_labelled_and_kept(
    addresses: Addresses, networks: Networks, app: App, store: Store
) -> None:
    name = addresses.network(app)
    assert name == f"gitship-srv-{app.id}"
    assert networks.made == {name: "10.231.0.0/26"}
    assert networks.labels[name] == {"gitship.server": "srv", "gitship.app": "shop"}
    assert store.app("shop").network == "10.231.0.0/26"
    assert addresses.network(app) == name
    assert networks.made == {name: "10.231.0.0/26"}


def test_each_app_has_a_subnet_of_its_own(addresses: Addresses, networks: Networks, store: Store) -> None:
    for name in ("a", "b", "c"):
        addresses.network(store.create_app(name))
    assert sorted(networks.made.values()) == ["10.231.0.0/26", "10.231.0.128/26", "10.231.0.64/26"]


def test_a_subnet_that_docker_says_is_taken_is_passed_over(addresses: Addresses, networks: Networks, app: App) -> None:
    networks.foreign = {"10.231.0.0/26", "10.231.0.64/26"}
    assert networks.made[addresses.network(app)] == "10.231.0.128/26"


def test_a_lost_network_is_made_again_with_its_subnet(
    addresses: Addresses, networks: Networks, store: Store, app: App
) -> None:
    addresses.network(store.create_app("other"))
    addresses.network(app)
    networks.made.clear()
    assert networks.made.get(addresses.network(app)) == "10.231.0.64/26"


def test_a_lost_network_whose_subnet_was_taken_meanwhile_moves(
    addresses: Addresses, networks: Networks, store: Store, app: App
) -> None:
    addresses.network(app)
    networks.foreign = {"10.231.0.0/26"}
    addresses.network(app)
    assert store.app("shop").network == "10.231.0.64/26"
    assert addresses.take(app, "web.1") == "10.231.0.66"


def test_a_destroyed_apps_subnet_rests_before_another_app_gets_it(
    addresses: Addresses, networks: Networks, store: Store, app: App
) -> None:
    addresses.network(app)
    addresses.remove(app)
    store.delete_app(app.id)
    assert networks.made == {}
    assert networks.made[addresses.network(store.create_app("next"))] == "10.231.0.64/26"


def test_a_pool_that_is_used_up_says_so(addresses: Addresses, store: Store) -> None:
    for name in ("a", "b", "c", "d"):
        addresses.network(store.create_app(name))
    with pytest.raises(GitshipError, match="used up") as caught:
        addresses.network(store.create_app("e"))
    assert "address_pool" in caught.value.hint


def test_the_gateway_the_network_and_the_broadcast_address_are_never_given() -> None:
    given = rotated(IPv4Network("10.231.0.0/26"), None)
    assert given[0] == "10.231.0.2"
    assert given[-1] == "10.231.0.62"
    assert len(given) == 61


def test_addresses_rotate(addresses: Addresses, app: App) -> None:
    addresses.network(app)
    assert [addresses.take(app, f"web.{n}") for n in range(3)] == ["10.231.0.2", "10.231.0.3", "10.231.0.4"]
    addresses.release(app, "web.2")
    assert addresses.take(app, "web.3") == "10.231.0.5"


def test_an_owner_keeps_its_address(addresses: Addresses, app: App) -> None:
    addresses.network(app)
    assert addresses.take(app, "web.1") == addresses.take(app, "web.1")


def test_a_released_address_rests(
    addresses: Addresses, app: App, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBNET_PREFIX", 29)  # five addresses
    addresses.network(app)
    for n in range(4):
        addresses.take(app, f"web.{n}")
    addresses.release(app, "web.0")
    assert addresses.take(app, "web.4") == "10.231.0.6"  # the one never used, not the one just released


def test_when_all_others_are_taken_or_resting_the_longest_rested_is_given(
    addresses: Addresses, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("gitship.store.live_releases.time.time", lambda: now)
    monkeypatch.setattr(module, "SUBNET_PREFIX", 29)
    addresses.network(app)
    for n in range(5):
        addresses.take(app, f"web.{n}")
    for n, when in ((3, 1010.0), (1, 1015.0), (4, 1020.0)):
        now = when
        addresses.release(app, f"web.{n}")
    now = 1025.0
    assert [addresses.take(app, f"new.{n}") for n in range(3)] == ["10.231.0.5", "10.231.0.3", "10.231.0.6"]
    with pytest.raises(GitshipError, match="all 5 addresses"):
        addresses.take(app, "one.more")


def test_an_app_without_a_network_has_no_addresses(addresses: Addresses, app: App) -> None:
    with pytest.raises(GitshipError, match="no network yet"):
        addresses.take(app, "web.1")


def test_a_clock_that_was_set_back_does_not_use_the_addresses_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    app = store.create_app("clock")
    for n in range(3):
        assert store.take_address(app.id, [f"10.0.0.{n}"], f"c{n}", 60) is not None
        store.release_address(app.id, f"c{n}")
    now = time.time()
    monkeypatch.setattr("gitship.store.live_releases.time.time", lambda: now - 7200)
    assert store.take_address(app.id, ["10.0.0.0"], "next", 60) is None
    assert store.take_address(app.id, ["10.0.0.0"], "next", 0) == "10.0.0.0"
