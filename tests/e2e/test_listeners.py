"""What a server listens on where others can reach it: the doors that README names, and none beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from gitship.containers.listening_sockets import LISTEN, _address
from tests.e2e.harness import Server, running
from tests.places import free_port

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str) -> Iterator[Server]:
    """Its two doors are open to all, as they are by default."""
    ssh, http = ({"listen": f"0.0.0.0:{free_port()}"} for _ in range(2))
    with running(module_base / "server", docker_host, lambda: False, ssh=ssh, http=http) as started:
        yield started


def listening(pids: list[int]) -> set[tuple[str, int]]:
    """(address, port) of the TCP sockets on which these processes listen."""
    own = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                own.add(os.readlink(file).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and words[9] in own:
                address, port = words[1].split(":")
                found.add((_address(address), int(port, 16)))
    return found


def test_nothing_but_pushes_and_visitors_can_be_reached_from_elsewhere(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("doors"), "doors")
    assert server.process is not None
    sockets = listening([server.process.pid, *server.processes()])
    open_to_all = {(address, port) for address, port in sockets if not ip_address(address).is_loopback}
    assert open_to_all == {("0.0.0.0", server.ssh_port), ("0.0.0.0", server.http_port)}
    assert ("127.0.0.1", server.web_port) in sockets
