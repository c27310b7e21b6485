"""A server for a bench, and pushes to it that are timed until a visitor sees them."""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker

from tests.e2e.harness import Server

DEADLINE_S = 60.0


def until_answers(host: str, port: int, name: str, wanted: str, stop: threading.Event) -> float:
    """The moment (monotonic seconds) of the first answer that holds ``wanted``."""
    deadline = time.monotonic() + DEADLINE_S
    while not stop.is_set() and time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(host, port, timeout=2)
            with contextlib.closing(connection):
                connection.request("GET", "/", headers={"Host": name})
                if wanted in connection.getresponse().read().decode(errors="replace"):
                    return time.monotonic()
        time.sleep(0.002)
    raise TimeoutError(f"no answer with {wanted} within {DEADLINE_S:g} s")


def push_once(server: Server, repository: Path, app: str, version: str) -> float:
    """Seconds from the start of `git push` to the first answer that holds ``version``."""
    began = time.monotonic()
    seen: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        seen.append(until_answers("127.0.0.1", server.http_port, f"{app}.localhost", version, stop))

    watcher = threading.Thread(target=watch, name="watch")
    watcher.start()
    try:
        server.push_ok(repository, app)
    except BaseException:
        stop.set()
        raise
    finally:
        watcher.join()
    return seen[0] - began


def start_once(api: docker.APIClient, image: str, network: str, wanted: str) -> float:
    """Seconds to create and start a container, until its first answer; it is removed after."""
    began = time.monotonic()
    container = api.create_container(
        image, labels={network: "1"}, environment={"PORT": "8000"},
        host_config=api.create_host_config(network_mode=network, init=True),
    )  # fmt: skip
    api.start(container)
    address = api.inspect_container(container)["NetworkSettings"]["Networks"][network]["IPAddress"]
    answered = until_answers(address, 8000, "floor", wanted, threading.Event())
    api.remove_container(container, force=True)
    return answered - began


@contextlib.contextmanager
def server_for(host: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="gs-bench-") as directory:
        Path(directory).chmod(0o711)
        server = Server(Path(directory) / "s", host)
        server.base.mkdir()
        server.base.chmod(0o711)
        server.init()
        server.start()
        try:
            yield server
        finally:
            for problem in server.destroy():
                print(f"left behind: {problem}")


def stage_times(server: Server) -> dict[str, list[float]]:
    """Seconds of each stage of the pushes after the first, from the deploys' own records."""
    found: dict[str, list[float]] = {}
    rows = server.database("SELECT stages FROM deploys WHERE kind = 'push' ORDER BY id")[1:]
    for (stages,) in rows:
        for stage, _, seconds in json.loads(stages):
            found.setdefault(stage, []).append(seconds)
    return found
