"""Docker down, Varnish down: a push says so, the sites serve on where they can, and all goes on when it is back."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.dockerd import OwnEngine, own_engine
from tests.e2e.harness import Server, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture
def own_docker() -> Iterator[OwnEngine]:
    """An engine that the test may stop."""
    with own_engine(beside_another=True) as engine:
        yield engine


def kill_varnish(server: Server) -> None:
    """Manager and child, with -9."""
    for pid, line in server.processes().items():
        if "varnishd" in line:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def port_taken_from_varnish(server: Server) -> Iterator[None]:
    """Kills Varnish and holds its port, so that it cannot come back."""

    def take() -> socket.socket | None:
        kill_varnish(server)
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", server.http_port))
            holder.listen(1)
        except OSError:
            holder.close()
            return None
        return holder

    with wait_until(take, 10, "the port is taken from Varnish"):
        yield


def test_push_while_docker_is_down_says_so_and_the_site_serves_on(
    base: Path, own_docker: OwnEngine, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("app")
    with running(base / "server", own_docker.host, lambda: False) as server:
        server.push_ok(repository, "app")
        good = apps.git(repository, "rev-parse", "HEAD")
        apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
        own_docker.stop()
        for _ in range(2):
            done = server.push(repository, "app")
            assert done.returncode != 0
            assert re.search(r"(?i)docker does not answer|cannot reach docker", done.stderr), done.stderr
            assert server.get("app").body == "v1\n"
            assert server.server_ref("app") == good
        own_docker.start()
        server.push_ok(repository, "app")
        assert server.get("app").body == "v2\n"


def test_gitship_starts_while_docker_is_down(base: Path, own_docker: OwnEngine, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("app")
    with running(base / "server", own_docker.host, lambda: False) as server:
        server.push_ok(repository, "app")
        own_docker.stop()
        server.restart()
        assert server.get("app").body == "v1\n"
        assert server.ssh("apps:list").returncode == 0
        own_docker.start()
        apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
        server.push_ok(repository, "app")
        assert server.get("app").body == "v2\n"


def test_killed_varnish_comes_back_with_every_app(own_server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("app")
    own_server.push_ok(repository, "app")
    kill_varnish(own_server)
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    own_server.push_ok(repository, "app")
    assert own_server.get("app").body == "v2\n"
    kill_varnish(own_server)
    wait_until(lambda: served(own_server, "app"), 60, "gitship has seen it by itself")
    assert own_server.get("app").body == "v2\n"


def served(server: Server, app: str) -> bool:
    try:
        return server.get(app).status == 200
    except OSError:
        return False


def test_push_while_varnish_cannot_run_says_so_and_loses_nothing(
    own_server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("app")
    own_server.push_ok(repository, "app")
    good = apps.git(repository, "rev-parse", "HEAD")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})

    with port_taken_from_varnish(own_server):
        for _ in range(2):
            done = own_server.push(repository, "app")
            assert done.returncode != 0
            assert re.search(rf"(?i)varnish|port {own_server.http_port}", done.stderr), done.stderr
            assert "Traceback" not in done.stderr
            assert own_server.server_ref("app") == good
    own_server.push_ok(repository, "app")
    assert own_server.get("app").body == "v2\n"
    wait_until(lambda: len(own_server.containers("gitship.app=app")) == 1, 20, "one container is left")
