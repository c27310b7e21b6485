"""The engine without Docker: it can be made, every call fails as an EngineError, and the API version is chosen well."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitship.engine.api_versions import api_version
from gitship.engine.docker import DockerEngine
from gitship.engine.errors import runtime_cause, unreachable
from gitship.engine.image_references import parse
from gitship.engine.images import describe
from gitship.engine.interface import Engine, Images, Volumes
from gitship.engine.types import LABEL_SERVER, LABEL_VOLUME, BuildOptions, ContainerSpec
from gitship.errors import EngineError
from gitship.model import Mount
from tests.listening import until_closed
from tests.unit.engine.test_docker_http import server

SPEC = ContainerSpec("x", "sha256:1", "net")
LABELS = {LABEL_SERVER: "s", LABEL_VOLUME: "x"}

CALLS: dict[str, Callable[[Engine], Any]] = {
    "ping": lambda e: e.ping(),
    "image_root": lambda e: e.image_root(),
    "free_bytes": lambda e: e.free_bytes(),
    "changed": lambda e: e.changed("x"),
    "images.build": lambda e: e.images.build([b"x"], BuildOptions("x"), print, threading.Event()),
    "images.store": lambda e: e.images.store(),
    "images.inspect": lambda e: e.images.inspect("x"),
    "images.remove": lambda e: e.images.remove("x", bool, untagged=True),
    "images.held": lambda e: e.images.held("a", "b", "gitship/*"),
    "images.cache_bytes": lambda e: e.images.cache_bytes(),
    "images.prune_cache": lambda e: e.images.prune_cache(0),
    "images.pull": lambda e: e.images.pull(parse("x"), "", print, print, threading.Event(), 1),
    "images.login": lambda e: e.images.login("x", "y", "z"),
    "images.tag": lambda e: e.images.tag("x", "a:b"),
    "images.runs_words": lambda e: e.images.runs_words("x"),
    "images.untag": lambda e: e.images.untag("x"),
    "ensure_network": lambda e: e.ensure_network("x", "10.1.0.0/26", {}),
    "remove_network": lambda e: e.remove_network("x"),
    "connect": lambda e: e.connect("x", "y", "10.1.0.9", ["db"]),
    "disconnect": lambda e: e.disconnect("x", "y"),
    "networks": lambda e: e.networks({}),
    "create": lambda e: e.create(SPEC),
    "start": lambda e: e.start("x"),
    "inspect": lambda e: e.inspect("x"),
    "list": lambda e: e.list({}),
    "leave_down": lambda e: e.leave_down("x"),
    "stop": lambda e: e.stop("x", 1),
    "remove": lambda e: e.remove("x"),
    "run": lambda e: e.run(SPEC, print, threading.Event(), 1),
    "exec": lambda e: e.exec("x", ("true",), 1),
    "logs": lambda e: list(e.logs("x")),
    "events": lambda e: list(e.events({}, since=0, stop=threading.Event())),
    "usage": lambda e: e.usage("x"),
    "capacity": lambda e: e.capacity(),
    "attach": lambda e: e.attach("x", terminal=False, gone=threading.Event(), timeout_s=1),
    "volumes.make": lambda e: e.volumes.make("x", {}),
    "volumes.exists": lambda e: e.volumes.exists("x"),
    "volumes.remove": lambda e: e.volumes.remove("x"),
    "volumes.ensure_usable": lambda e: e.volumes.ensure_usable(Mount("x", "/x", volume="x")),
    "volumes.find": lambda e: e.volumes.find({}),
    "volumes.size_bytes": lambda e: e.volumes.size_bytes("x"),
    "volumes.read": lambda e: e.volumes.read("x", LABELS, threading.Event()).__enter__(),
    "volumes.write": lambda e: e.volumes.write("x", [b""], LABELS, threading.Event()),
    "attach_exec": lambda e: e.attach_exec("x", ("true",), env={}, terminal=None, gone=threading.Event()),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_says_that_docker_is_not_running(call: str, tmp_path: Path) -> None:
    engine = DockerEngine(f"unix://{tmp_path}/none.sock", timeout_s=1)
    with pytest.raises(EngineError, match="is it running") as caught:
        CALLS[call](engine)
    assert "systemctl start docker" in caught.value.hint


def test_a_docker_that_hangs_is_an_engine_error(tmp_path: Path) -> None:
    with server(tmp_path / "s", until_closed) as host, pytest.raises(EngineError, match="in time"):
        DockerEngine(host, timeout_s=0.3).ping()


def test_callers_of_a_docker_that_hangs_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """It answers nobody before all have asked."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen(16)
    engine = DockerEngine(f"unix://{tmp_path}/s", timeout_s=300)
    errors: list[EngineError] = []

    def call() -> None:
        with pytest.raises(EngineError) as caught:
            engine.ping()
        errors.append(caught.value)

    threads = [threading.Thread(target=call, name=f"caller-{n}") for n in range(8)]
    for thread in threads:
        thread.start()
    asked = [listener.accept()[0] for _ in threads]
    for connection in asked:
        connection.close()
    for thread in threads:
        thread.join()
    assert len(errors) == 8
    listener.close()


def test_every_call_of_the_interface_is_tried() -> None:
    parts = {"images": Images, "volumes": Volumes}
    calls = {name for name in vars(Engine) if not name.startswith("_")} - set(parts)
    calls |= {f"{part}.{name}" for part, of in parts.items() for name in vars(of) if not name.startswith("_")}
    without_docker = {"volumes.host_path", "volumes.helpers"}
    assert set(CALLS) == calls - without_docker


@pytest.mark.parametrize(
    ("version", "chosen"),
    [
        ({"ApiVersion": "1.41", "MinAPIVersion": "1.12"}, "1.41"),
        ({"ApiVersion": "1.99", "MinAPIVersion": "1.40"}, "1.45"),
        ({"ApiVersion": "1.99", "MinAPIVersion": "1.50"}, "1.50"),
    ],
)
def test_the_api_version_is_one_that_both_know(version: dict[str, str], chosen: str) -> None:
    assert api_version(version) == chosen


def test_the_chosen_version_is_the_one_that_is_spoken(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(65536).split()[1])
        body = b'{"ApiVersion": "1.43", "MinAPIVersion": "1.12"}' if asked[-1].startswith(b"/version") else b"[]"
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with server(tmp_path / "s", answer) as host:
        assert DockerEngine(host, timeout_s=5).list({}) == []
    assert asked[-1].startswith(b"/v1.43/containers/json")


def test_something_that_is_not_docker_is_told_apart() -> None:
    with pytest.raises(EngineError, match="not Docker"):
        api_version(None)


def test_a_socket_that_may_not_be_used_has_a_hint_of_its_own() -> None:
    assert "group `docker`" in unreachable("unix:///x", PermissionError(13, "Permission denied")).hint


def test_an_image_tells_its_tcp_ports_lowest_first() -> None:
    config = {"ExposedPorts": {"9000/tcp": {}, "53/udp": {}, "8000/tcp": {}}, "Cmd": ["x"], "User": "app"}
    image = describe({"Id": "sha256:1", "Size": 7, "Config": config})
    assert (image.tcp_ports, image.has_command, image.has_healthcheck, image.user) == ((8000, 9000), True, False, "app")


def test_an_image_without_any_config_has_nothing() -> None:
    image = describe({"Id": "sha256:1", "Size": 7, "Config": {"ExposedPorts": None, "Cmd": None, "Entrypoint": None}})
    assert (image.tcp_ports, image.has_command, image.has_healthcheck) == ((), False, False)


@pytest.mark.parametrize(("test", "expected"), [(["CMD", "x"], True), (["NONE"], False), ([], False)])
def test_a_healthcheck_that_is_switched_off_is_none(test: list[str], expected: bool) -> None:
    assert describe({"Id": "i", "Size": 1, "Config": {"Healthcheck": {"Test": test}}}).has_healthcheck is expected


def test_what_is_no_runtime_error_stays_as_it_is() -> None:
    assert runtime_cause("Range of CPUs is from 0.01 to 2.00") == "Range of CPUs is from 0.01 to 2.00"
