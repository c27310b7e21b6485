"""The streaming connection against servers that misbehave, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitship.engine.docker_http import DockerHttp
from gitship.engine.timeouts import Timeout, TimeoutExpired, WaitInterrupted
from gitship.errors import ConfigError, EngineError
from tests.listening import answering, at_path, until_closed

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def server(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answers each connection in turn; its address."""
    with answering(at_path(str(path)), answer):
        yield f"unix://{path}"


def test_a_wait_ends_when_the_event_is_set(tmp_path: Path) -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(OK + b"3\r\none\r\n")
        until_closed(connection)

    stop = threading.Event()
    with server(tmp_path / "s", half) as host:
        stream = DockerHttp(host, 30).open("GET", "/x", patience=Timeout(events=(stop,)))
        assert stream.read() == b"one"
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        with pytest.raises(WaitInterrupted):
            stream.read()
        stream.close()
        timer.join()


def test_a_wait_ends_at_the_deadline_though_docker_lives(tmp_path: Path) -> None:
    with server(tmp_path / "s", until_closed) as host, pytest.raises(TimeoutExpired):
        DockerHttp(host, 30).open("GET", "/x", patience=Timeout(time.monotonic() + 0.2))


def test_a_silent_stream_goes_on_as_long_as_docker_answers_pings(tmp_path: Path) -> None:
    pings = threading.Semaphore(0)

    def answer(connection: socket.socket) -> None:
        if b"/_ping" in connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
            pings.release()
            return
        connection.sendall(OK)
        threading.Thread(target=later, args=(connection.dup(),), daemon=True).start()

    def later(connection: socket.socket) -> None:
        for _ in range(2):
            pings.acquire()
        with connection:
            connection.sendall(b"3\r\none\r\n0\r\n\r\n")

    with server(tmp_path / "s", answer) as host, DockerHttp(host, 1.0).open("GET", "/x", patience=Timeout()) as stream:
        assert stream.read() == b"one"
        assert stream.read() == b""


def test_a_silent_stream_ends_when_docker_does_not_answer_pings(tmp_path: Path) -> None:
    with server(tmp_path / "s", until_closed) as host, pytest.raises(EngineError, match="in time"):
        DockerHttp(host, 0.5).open("GET", "/x", patience=Timeout())


def test_a_server_that_reads_nothing_does_not_hold_up_a_big_body(tmp_path: Path) -> None:
    released = threading.Event()

    def deaf(connection: socket.socket) -> None:
        released.wait()

    with server(tmp_path / "s", deaf) as host:
        with pytest.raises(TimeoutExpired):
            DockerHttp(host, 30).open(
                "POST", "/build", body=[b"x" * 10_000_000], patience=Timeout(time.monotonic() + 0.3)
            )
        released.set()


def test_a_refusal_before_the_whole_body_was_read_is_still_heard(tmp_path: Path) -> None:
    def early(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")

    big = iter([b"x" * 50_000] * 200)
    with server(tmp_path / "s", early) as host, DockerHttp(host, 10).open("POST", "/build", body=big) as stream:
        assert stream.status == 400
        assert stream.read_all(10) == b"no"


def test_an_answer_that_breaks_off_is_an_engine_error(tmp_path: Path) -> None:
    def broken(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(OK + b"ff\r\nonly this")

    with server(tmp_path / "s", broken) as host, DockerHttp(host, 10).open("GET", "/x") as stream:
        assert stream.read() == b"only this"
        with pytest.raises(EngineError, match="broke off"):
            stream.read()


def test_an_error_of_the_body_stays_what_it_is(tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        yield b"begin"
        raise FileNotFoundError("a blob is missing")

    with server(tmp_path / "s", until_closed) as host, pytest.raises(FileNotFoundError, match="a blob is missing"):
        DockerHttp(host, 10).open("POST", "/build", body=body())


def test_no_socket_means_docker_is_not_running(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is it running") as caught:
        DockerHttp(f"unix://{tmp_path}/none", 1).ping()
    assert "systemctl start docker" in caught.value.hint


@pytest.mark.parametrize(
    "host", ["", "npipe:////./pipe/docker", "ssh://x", "unix://", "/var/run/docker.sock", "tcp://"]
)
def test_an_address_of_another_kind_is_refused_by_name(host: str) -> None:
    with pytest.raises(ConfigError, match=r"docker\.host"):
        DockerHttp(host, 1)
