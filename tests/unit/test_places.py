"""No two processes of tests share a port, a network or a name, whatever worker they are."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests import places
from tests.e2e.apps import clean_env

pytestmark = pytest.mark.clients


def test_a_port_is_below_those_of_connections_and_is_not_given_twice() -> None:
    ports = [places.free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    assert all(places.FIRST_PORT <= port < 32_768 for port in ports)


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    port = places.free_port()
    with socket.create_server(("127.0.0.1", port + 1)):
        assert places.free_port() > port + 1


def test_the_same_worker_of_another_run_has_another_place() -> None:
    say = "from tests import places; print(places.place(), places.free_port(), places.free_pool())"
    number, port, pool = subprocess.run(
        [sys.executable, "-c", say], env=clean_env(PYTEST_XDIST_WORKER=f"gw{places.place()}"), capture_output=True,
        text=True, timeout=60, check=True,
    ).stdout.split()  # fmt: skip
    assert int(number) != places.place()
    assert (int(port) - places.FIRST_PORT) // places.PORTS == int(number)
    assert (int(pool.split(".")[1]) - places.FIRST_SECOND) // places.SECONDS == int(number)


def test_networks_and_names_are_given_once() -> None:
    assert len({places.free_pool() for _ in range(10)} | {places.free_network() for _ in range(10)}) == 20
    assert len({places.own_name("x") for _ in range(10)}) == 10
