"""Requests to servers that drip, flood and hang: real sockets, nothing made up."""

from __future__ import annotations

import http.client
import socket
import threading
import time

import pytest

from gitship.containers import http_request
from gitship.containers.health_check import HealthChecker
from gitship.containers.http_request import ResponseTooLarge, Timeout, WaitInterrupted, numeric
from gitship.containers.probe import http_answer
from gitship.engine.docker import DockerEngine
from gitship.engine.types import ContainerState
from gitship.errors import DeployCanceled, DeployError
from gitship.model import Check, Container, Process
from tests.unit.deploy.strangers import DRIPS, FLOODS, WAIT_S, dripped, stranger, within


def read(port: int, patience: Timeout, most_bytes: int = 1 << 20) -> bytes:
    to = numeric("127.0.0.1", port)
    with http_request.request("GET", to, "/", {"Host": "a"}, patience, most_bytes=most_bytes) as answer:
        return answer.read()


@pytest.mark.parametrize("where", DRIPS)
def test_whoever_drips_has_its_time_as_a_whole(where: str) -> None:
    with stranger(DRIPS[where]) as found:
        raised = within(lambda: read(found.port, Timeout(time.monotonic() + 0.5)))
        assert isinstance(raised[0], TimeoutError)
        assert found.closed.wait(WAIT_S)


@pytest.mark.parametrize("where", DRIPS)
def test_an_event_closes_the_connection(where: str) -> None:
    gone = threading.Event()
    with stranger(DRIPS[where]) as found:
        found.sets(gone)
        raised = within(lambda: read(found.port, Timeout(time.monotonic() + 10 * WAIT_S, (gone,))))
        assert isinstance(raised[0], WaitInterrupted)
        assert found.closed.wait(WAIT_S)


@pytest.mark.parametrize("where", FLOODS)
def test_bytes_are_bounded_wherever_they_come(where: str) -> None:
    with stranger(FLOODS[where]) as found:
        raised = within(lambda: read(found.port, Timeout(time.monotonic() + 10 * WAIT_S)))
        assert isinstance(raised[0], ResponseTooLarge)
        assert found.closed.wait(WAIT_S)


def test_a_whole_answer_comes_as_it_is() -> None:
    with stranger(lambda: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]) as found:
        assert read(found.port, Timeout(time.monotonic() + WAIT_S)) == b"abc"


def test_a_port_that_takes_nobody_in_is_given_up() -> None:
    gone = threading.Event()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]  # what fills the queue
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        assert isinstance(within(lambda: read(port, Timeout(time.monotonic() + 0.3)))[0], TimeoutError)
        threading.Timer(0.2, gone.set).start()
        raised = within(lambda: read(port, Timeout(time.monotonic() + 10 * WAIT_S, (gone,))))
        assert isinstance(raised[0], WaitInterrupted)
        for one in waiting:
            one.close()


def test_tls_with_whoever_says_nothing_ends_too() -> None:
    def quiet() -> None:
        to = numeric("127.0.0.1", found.port)
        patience = Timeout(time.monotonic() + 0.3)
        with http_request.request("GET", to, "/", {}, patience, tls=http_request.insecure()):
            raise AssertionError("it answered")

    with stranger(lambda: dripped(b"\x16\x03\x03\x40\x00", b"\0")) as found:
        assert isinstance(within(quiet)[0], TimeoutError)
        assert found.closed.wait(WAIT_S)


def test_a_name_whose_look_up_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **how: over.wait(WAIT_S) and [])
    with pytest.raises(TimeoutError):
        http_request.look_up("slow.example.com", 80, 0.1)
    over.set()


# -- checks


CONTAINER = Container("1", "shop.web.1.v1", 1, 1, "web", 1, "127.0.0.1", None)


class Running(DockerEngine):
    """One container that runs; its commands take as long as they may, and set ``cancels`` when they begin."""

    def __init__(self) -> None:
        super().__init__("unix:///nowhere")
        self.cancels = threading.Event()

    def inspect(self, container_id: str) -> ContainerState:
        return ContainerState(container_id, "c", {}, "running", started_at=time.time())

    def exec(
        self, container_id: str, command: tuple[str, ...], timeout_s: float, events: tuple[threading.Event, ...] = ()
    ) -> tuple[int, str]:
        self.cancels.set()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if any(event.wait(0.05) for event in events):
                raise DeployCanceled("the command was canceled")
        return 124, ""


def web(port: int, **more: object) -> Process:
    return Process("web", port=port, checks=(Check(port=port, **more),))  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["status line", "headers", "interim answers"])
def test_a_check_that_drips_has_its_time_out_as_a_whole(where: str) -> None:
    with stranger(DRIPS[where]) as found:
        seen: list[tuple[bool, str]] = []
        assert not within(
            lambda: seen.append(http_answer(Check(timeout_s=0.5), "127.0.0.1", found.port, "shop.localhost"))
        )
        assert seen == [(False, f"no answer on port {found.port} within 0.5 s")]


def test_a_check_for_content_that_drips_has_its_time_out_as_a_whole() -> None:
    check = Check(timeout_s=0.5, content="welcome")
    with stranger(DRIPS["body"]) as found:
        seen: list[tuple[bool, str]] = []
        assert not within(lambda: seen.append(http_answer(check, "127.0.0.1", found.port, "shop.localhost")))
        assert seen == [(False, f"no answer on port {found.port} within 0.5 s")]


def test_a_check_that_floods_is_told_so() -> None:
    with stranger(FLOODS["interim answers"]) as found:
        seen: list[tuple[bool, str]] = []
        assert not within(lambda: seen.append(http_answer(Check(), "127.0.0.1", found.port, "shop.localhost")))
        assert seen == [(False, "GET / returned more than 256 KB of headers")]


@pytest.mark.parametrize("where", DRIPS)
def test_cancel_ends_a_check_that_drips(where: str) -> None:
    cancel = threading.Event()
    with stranger(DRIPS[where]) as found:
        check = web(found.port, timeout_s=1000.0, content="welcome")
        found.sets(cancel)
        checker = HealthChecker(Running(), 1000)
        raised = within(lambda: checker.wait_ready([(CONTAINER, check)], "shop", "shop.localhost", cancel))
        assert isinstance(raised[0], DeployCanceled)
        assert found.closed.wait(WAIT_S)


def test_cancel_ends_a_command_of_a_check() -> None:
    cancel, engine = threading.Event(), Running()
    process = Process("web", checks=(Check(kind="command", command=("sleep", "1000"), timeout_s=1000.0),))
    engine.cancels = cancel
    raised = within(
        lambda: HealthChecker(engine, 1000).wait_ready([(CONTAINER, process)], "shop", "shop.localhost", cancel)
    )
    assert isinstance(raised[0], DeployCanceled)


@pytest.mark.parametrize("how", ["drips", "waits"])
def test_a_container_that_fails_ends_the_checks_of_the_others(how: str) -> None:
    bad = Process("worker", port=1, checks=(Check(kind="listening", port=1, timeout_s=0.1, deadline_s=0.1),))
    with stranger(DRIPS["headers"]) as found:
        delay = 1000.0 if how == "waits" else 0.0
        slow = web(found.port, timeout_s=1000.0, initial_delay_s=delay)
        wanted = [(CONTAINER, slow), (CONTAINER, bad)]
        raised = within(
            lambda: HealthChecker(Running(), 1000).wait_ready(wanted, "shop", "shop.localhost", threading.Event())
        )
        assert isinstance(raised[0], DeployError) and not isinstance(raised[0], DeployCanceled)


def test_no_try_outlives_the_checks_own_limit() -> None:
    with stranger(DRIPS["headers"]) as found:
        process = web(found.port, timeout_s=1000.0, deadline_s=0.3)
        raised = within(
            lambda: HealthChecker(Running(), 1000).wait_ready(
                [(CONTAINER, process)], "shop", "shop.localhost", threading.Event()
            )
        )
        assert isinstance(raised[0], DeployError)
        assert "not healthy after 0.3 s" in raised[0].message


def test_an_answer_that_is_no_http_stays_an_error_of_http() -> None:
    assert issubclass(ResponseTooLarge, http.client.HTTPException)
