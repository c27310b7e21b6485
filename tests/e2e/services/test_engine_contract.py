"""Every engine file against its real server: what gitship asks of an engine, it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gitship.errors import ServiceError
from gitship.services import measures
from gitship.services.engine_catalog import EngineCatalog
from tests.e2e.services.clients import CLIENTS, ServiceClient
from tests.e2e.services.images import IMAGES
from tests.e2e.services.running import Started, started
from tests.places import own_name

ALWAYS = ("postgres:15", "valkey:8.1", "mariadb:10.11")
TRIED = [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.long) for name in IMAGES]


@dataclass
class Contract:
    server: Started
    client: ServiceClient


@pytest.fixture(scope="module", params=TRIED)
def contract(request: pytest.FixtureRequest, docker_host: str) -> Iterator[Contract]:
    engine, version = EngineCatalog.load(None).find(request.param)
    with (
        IMAGES[request.param].imported(docker_host, own_name(f"gitship-test-{engine.name}")) as image,
        started(docker_host, engine, version, image) as server,
    ):
        server.do("create")
        yield Contract(server, CLIENTS[engine.name])


@pytest.fixture
def server(contract: Contract) -> Started:
    return contract.server


@pytest.fixture
def client(contract: Contract) -> ServiceClient:
    return contract.client


def needs(server: Started, *actions: str) -> None:
    for action in actions:
        if getattr(server.engine, action) is None:
            pytest.skip(f"{server.engine.title} has no {action}")


def test_the_version_is_the_images(server: Started) -> None:
    version = measures.version(server.do("version"))
    assert server.engine.major(version) == server.engine.major(server.version)


def test_either_of_two_logins_has_what_the_other_made(server: Started, client: ServiceClient) -> None:
    server.do("login", "shop_1", "First-1")
    server.client_output(client.write, "shop_1", "First-1", "rotated")
    server.do("login", "shop_2", "Second-1")
    assert server.client_output(client.read, "shop_2", "Second-1", "rotated") == "1"
    server.client_output(client.change, "shop_2", "Second-1", "rotated")
    server.client_output(client.write, "shop_2", "Second-1", "rotated")
    assert server.client_output(client.read, "shop_1", "First-1", "rotated") == "2"
    server.do("drop_login", "shop_1")
    if server.engine.own_logins:
        assert server.run_client(client.read, "shop_1", "First-1", "rotated").returncode != 0
    server.client_output(client.change, "shop_2", "Second-1", "rotated")
    server.client_output(client.write, "shop_2", "Second-1", "rotated")
    assert server.client_output(client.read, "shop_2", "Second-1", "rotated") == "3"


def test_a_login_made_again_has_the_new_password(server: Started, client: ServiceClient) -> None:
    needs_logins(server)
    server.do("login", "again_1", "Old-1")
    server.client_output(client.write, "again_1", "Old-1", "again")
    server.do("login", "again_1", "New-1")
    assert server.client_output(client.read, "again_1", "New-1", "again") == "1"
    assert server.run_client(client.read, "again_1", "Old-1", "again").returncode != 0


def test_a_login_is_dropped_while_it_is_connected(server: Started, client: ServiceClient) -> None:
    needs_logins(server)
    server.do("login", "held_1", "Held-1")
    with server.holding(client.hold, "held_1", "Held-1") as held:
        server.do("drop_login", "held_1")
        held.wait(30)
    assert server.run_client(client.write, "held_1", "Held-1", "held").returncode != 0


def test_every_step_may_be_repeated(server: Started, client: ServiceClient) -> None:
    for _ in range(2):
        server.do("create")
        server.do("login", "twice_1", "Twice-1")
    assert server.client_output(client.write, "twice_1", "Twice-1", "twice") is not None
    server.do("create")
    assert server.client_output(client.read, "twice_1", "Twice-1", "twice") == "1"
    for _ in range(2):
        server.do("drop_login", "twice_1")


def test_a_read_only_login_reads_and_does_not_write(server: Started, client: ServiceClient) -> None:
    needs(server, "login_read_only")
    server.do("login", "full_1", "Full-1")
    server.client_output(client.write, "full_1", "Full-1", "looked_at")
    for _ in range(2):
        server.do("login_read_only", "look_1", "Look-1")
    server.client_output(client.write, "full_1", "Full-1", "made_later")
    assert server.client_output(client.read, "look_1", "Look-1", "looked_at") == "1"
    assert server.client_output(client.read, "look_1", "Look-1", "made_later") == "1"
    for table in ("looked_at", "new_of_reader"):
        assert server.run_client(client.write, "look_1", "Look-1", table).returncode != 0
    assert server.client_output(client.read, "full_1", "Full-1", "looked_at") == "1"
    server.do("drop_login", "look_1")
    assert server.run_client(client.read, "look_1", "Look-1", "looked_at").returncode != 0


def test_a_dump_is_restored_in_another_server(server: Started, client: ServiceClient, docker_host: str) -> None:
    needs(server, "dump", "restore", "check_dump", "count")
    server.do("login", "dump_1", "Dump-1")
    for _ in range(3):
        server.client_output(client.write, "dump_1", "Dump-1", "kept")
    dump = server.dump()
    before = measures.counts(server.do("count"))
    server.feed("check_dump", dump)
    early = server.engine.restore_before_start
    with started(docker_host, server.engine, server.version, server.image, dump if early else None) as second:
        second.do("create")
        if not early:
            second.feed("restore", dump)
            second.do("create")
        assert measures.counts(second.do("count")) == before
        second.do("login", "dump_2", "Other-1")
        assert second.client_output(client.read, "dump_2", "Other-1", "kept") == "3"
        second.client_output(client.change, "dump_2", "Other-1", "kept")
        second.client_output(client.write, "dump_2", "Other-1", "kept")
        if server.engine.own_logins:
            assert second.run_client(client.read, "dump_1", "Dump-1", "kept").returncode != 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_dump_that_was_cut_off_is_refused(server: Started, client: ServiceClient, share: float) -> None:
    needs(server, "dump", "check_dump")
    server.do("login", "cut_1", "Cut-1")
    server.client_output(client.write, "cut_1", "Cut-1", "cut")
    dump = server.dump()
    with pytest.raises(ServiceError):
        server.feed("check_dump", dump[: min(int(len(dump) * share), len(dump) - 1)])


def test_metrics_are_numbers(server: Started, client: ServiceClient) -> None:
    needs(server, "metrics")
    server.do("login", "count_1", "Count-1")
    server.client_output(client.write, "count_1", "Count-1", "counted")
    server.client_output(client.change, "count_1", "Count-1", "counted")
    with server.holding(client.hold, "count_1", "Count-1"):
        found = measures.metrics(server.do("metrics"))
    assert found["connections"] >= 1
    assert found["size_bytes"] > 0


def test_the_superusers_password_can_be_changed(server: Started) -> None:
    needs(server, "set_root_password")
    server.do("set_root_password", password="Root-changed_2")
    server.root_password = "Root-changed_2"
    server.do("create")
    server.do("ready")


def needs_logins(server: Started) -> None:
    if not server.engine.own_logins:
        pytest.skip(f"{server.engine.title} has no logins")
