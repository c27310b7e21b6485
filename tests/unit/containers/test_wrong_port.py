"""When a container that refuses its port is not waited for any longer, and what a failed HEALTHCHECK says."""

from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gitship.containers import listening_sockets, wrong_port
from gitship.containers.health_check import HealthChecker
from gitship.containers.wrong_port import WrongPortSuspicion
from gitship.engine.docker import DockerEngine
from gitship.engine.types import ContainerState, LogLine
from gitship.errors import DeployError
from gitship.model import Check, Container, Process
from tests.places import refusing_port


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_port, "GRACE_S", 0.0)


@pytest.fixture
def refused() -> Iterator[int]:
    """A port that nobody opens."""
    with refusing_port() as port:
        yield port


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Ports that the test opens: the machine's other servers do not count, though they may answer HTTP."""
    ports: set[int] = set()
    read = listening_sockets.listening
    monkeypatch.setattr(
        listening_sockets, "listening", lambda pid: {(address, port) for address, port in read(pid) if port in ports}
    )
    return ports


def suspicion(port: int) -> WrongPortSuspicion:
    return WrongPortSuspicion(
        Container("1", "shop.web.1.v1", 1, 1, "web", 1, "127.0.0.1", port), port, "shop.localhost", "shop"
    )


def test_a_web_server_on_another_port_is_the_app(refused: int, own: set[int]) -> None:
    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), http.server.BaseHTTPRequestHandler) as server:
        own.add(server.server_port)
        threading.Thread(target=server.serve_forever, name="app", daemon=True).start()
        looked = suspicion(refused)
        found = looked.look(os.getpid())
        assert found and f"expected {refused}" in found.cause and looked.settled
        assert "ports:set shop" in found.hint
        server.shutdown()


def test_a_debugger_that_comes_up_first_is_not_the_app(refused: int, own: set[int]) -> None:
    """It answers no HTTP: the app may still be on its way."""
    with socket.create_server(("0.0.0.0", 0)) as debugger:
        own.add(debugger.getsockname()[1])

        def hang_up() -> None:
            connection, _ = debugger.accept()
            connection.close()

        threading.Thread(target=hang_up, name="debugger", daemon=True).start()
        looked = suspicion(refused)
        found = looked.look(os.getpid())
        assert found and found.wrong and not looked.settled


def test_nothing_that_listens_may_still_come(refused: int) -> None:
    looked = suspicion(refused)
    assert looked.look(2**22 + 1) is not None
    assert not looked.settled


class Sick(DockerEngine):
    """Its HEALTHCHECK fails and says so."""

    def __init__(self, said: str) -> None:
        super().__init__("unix:///nowhere")
        self._said = said

    def inspect(self, container_id: str) -> ContainerState:
        return ContainerState(container_id, "c", {}, "running", started_at=time.time())

    def exec(
        self, container_id: str, command: tuple[str, ...], timeout_s: float, events: tuple[threading.Event, ...] = ()
    ) -> tuple[int, str]:
        return 1, self._said

    def logs(
        self, container_id: str, *, tail: int | None = None, since: float | None = None, follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:  # fmt: skip
        return iter(())


def failed(said: str, engine: type[Sick] = Sick) -> DeployError:
    container = Container("1", "shop.worker.1.v1", 1, 1, "worker", 1, "127.0.0.1", None)
    process = Process("worker", checks=(Check(kind="image", command=("probe",), deadline_s=0.0),))
    with pytest.raises(DeployError) as caught:
        HealthChecker(engine(said), 0.0).wait_ready([(container, process)], "shop", "shop.localhost", threading.Event())
    return caught.value


def said(error: DeployError) -> str:
    """Without how long it took."""
    before, _, after = error.message.partition(" s: ")
    assert before.startswith("worker is not healthy after ")
    return after


def test_a_short_word_of_the_healthcheck_is_in_the_cause() -> None:
    error = failed("connection refused\n")
    assert said(error) == "HEALTHCHECK exited 1: connection refused"
    assert error.lines == ()


def test_a_long_one_is_whole_above_and_spills_into_no_line() -> None:
    error = failed("Traceback\n  File x\nOSError: " + "x" * 300 + "\n")
    assert said(error) == "HEALTHCHECK exited 1"
    assert error.lines == (
        "HEALTHCHECK: Traceback", "HEALTHCHECK:   File x", "HEALTHCHECK: OSError: " + "x" * 300
    )  # fmt: skip


class Gone(Sick):
    """It has ended."""

    def inspect(self, container_id: str) -> ContainerState:
        return ContainerState(container_id, "c", {}, "exited", exit_code=int(self._said))


@pytest.mark.parametrize(
    ("code", "cause"),
    [("127", ": a command is not in the image"), ("126", ": a command cannot be executed"), ("1", "")],
)
def test_a_command_that_is_not_there_is_told_as_that(code: str, cause: str) -> None:
    error = failed(code, Gone)
    assert error.message == f"worker exited {code}{cause}"
    assert ("see CMD in the Dockerfile, or the Procfile" in error.hint) is bool(cause)
    assert ("config:set shop NAME=VALUE" in error.hint) is not bool(cause)
    assert error.hint.startswith("see its last lines above; all of it: logs shop --release v1; ")
