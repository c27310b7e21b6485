"""Who has a port."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from gitship.front.tcp_ports import free_port, holder


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_process_that_listens_is_named(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        name = Path("/proc/self/comm").read_text().strip()
        assert holder(server.getsockname()[1]) == f"{name} (pid {os.getpid()})"


def test_a_connection_is_not_a_listener() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert holder(client.getsockname()[1]) is None


def test_a_free_port_can_be_taken() -> None:
    port = free_port("127.0.0.1")
    assert holder(port) is None
    with socket.create_server(("127.0.0.1", port)):
        pass
