"""Networks of the real engine, and the addresses handed out in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from gitship.engine.addresses import Addresses
from gitship.errors import Conflict
from gitship.store import Store
from tests.e2e import docker_cli
from tests.e2e.engine.conftest import LABEL, Lab

pytestmark = pytest.mark.e2e


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "gitship.db")
    yield store
    store.close()


@pytest.fixture
def addresses(lab: Lab, store: Store) -> Iterator[Addresses]:
    # the lab's own network lies in this pool's first /26
    pool = IPv4Network(lab.subnet.replace("/26", "/24"))
    yield Addresses(store, lab.engine, pool, lab.run)
    docker_cli.remove_labelled(lab.host, f"gitship.server={lab.run}")


def subnet(lab: Lab, name: str) -> str:
    return docker_cli.docker(lab.host, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", name)


def test_a_network_is_made_once(lab: Lab) -> None:
    assert lab.engine.ensure_network(lab.network, lab.subnet, lab.labels) is True
    found = docker_cli.names(lab.host, "network", f"{LABEL}={lab.run}")
    assert found.count(lab.network) == 1


def test_a_subnet_that_overlaps_another_network_is_refused(lab: Lab) -> None:
    assert lab.engine.ensure_network(f"{lab.network}-b", lab.subnet, lab.labels) is False
    assert f"{lab.network}-b" not in docker_cli.names(lab.host, "network", f"{LABEL}={lab.run}")


def test_a_network_of_that_name_that_gitship_did_not_make_is_left_alone(lab: Lab) -> None:
    name = f"{lab.network}-foreign"
    docker_cli.docker(lab.host, "network", "create", "--label", f"{LABEL}={lab.run}", name)
    before = subnet(lab, name)
    with pytest.raises(Conflict, match="did not create"):
        lab.engine.ensure_network(name, lab.subnet, {"gitship.server": "me"})
    assert subnet(lab, name) == before
    lab.engine.remove_network(name)


def test_a_network_in_use_is_not_removed_and_one_that_is_gone_is_quiet(lab: Lab) -> None:
    container = lab.start("exec busybox sleep 300")
    with pytest.raises(Conflict, match="in use"):
        lab.engine.remove_network(lab.network)
    lab.engine.remove(container)
    lab.engine.remove_network(f"{lab.network}-never")


def test_an_app_gets_the_next_subnet_when_docker_has_given_the_first_away(
    lab: Lab, addresses: Addresses, store: Store
) -> None:
    app = store.create_app("shop")
    name = addresses.network(app)
    assert subnet(lab, name) == lab.subnet.replace("0/26", "64/26")
    assert addresses.network(app) == name
    addresses.remove(app)
    assert addresses.network(app) == name  # made again, with the same subnet
    assert subnet(lab, name) == lab.subnet.replace("0/26", "64/26")
    addresses.remove(app)
    addresses.remove(app)


def test_a_network_that_nobody_wrote_down_is_the_apps_own_under_its_next_name_too(
    lab: Lab, addresses: Addresses, store: Store
) -> None:
    """gitship was killed between the two, and another network came first the next time."""
    app = store.create_app("first")
    made = {"gitship.server": lab.run, "gitship.app": "first"}
    assert lab.engine.ensure_network(addresses.name(app), lab.subnet.replace("0/26", "192/26"), made)
    store.rename_app(app.id, "second")
    name = addresses.network(store.app_by_id(app.id))
    assert subnet(lab, name) == store.app_by_id(app.id).network


def test_the_addresses_handed_out_are_the_containers_own(lab: Lab, addresses: Addresses, store: Store) -> None:
    app = store.create_app("shop")
    network = addresses.network(app)
    containers = []
    for number in range(2):
        address = addresses.take(app, f"web.{number}")
        spec = lab.spec("web", "exec busybox sleep 300", address=address)
        container = lab.engine.create(replace(spec, network=network))
        lab.engine.start(container)
        containers.append(container)
        assert lab.engine.inspect(container).address == address
    for container in containers:
        lab.engine.remove(container)
    addresses.remove(app)
