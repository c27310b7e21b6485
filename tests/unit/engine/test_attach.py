"""A program's streams on a connection that was handed over, against a server that speaks as Docker does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gitship.engine.attach import Attached, execute
from gitship.engine.docker_http import DockerHttp
from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import EngineError
from tests.listening import answering, at_path, until_closed
from tests.unit.engine.test_docker_http import server

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\r\n"
REFUSAL = b'OCI runtime exec failed: exec failed: unable to start container process: exec: "x": not found: unknown\r\n'


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def docker(code: int, talk: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """Takes any exec, whose stream is ``talk`` and whose exit code is ``code``."""

    def answer(connection: socket.socket) -> None:
        connection.settimeout(10)
        request = b""
        while b"\r\n\r\n" not in request or (request.startswith(b"POST") and not request.endswith(b"}")):
            request += connection.recv(65536)
        if b"/start" in request.split(b"\r\n")[0]:
            assert b"Upgrade: tcp" in request
            connection.sendall(UPGRADED)
            talk(connection)
            return
        body = json.dumps({"Id": "e1", "Running": False, "ExitCode": code, "Pid": 0}).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        until_closed(connection)

    return answer


def program(host: str, gone: threading.Event | None = None) -> Attached:
    return execute(DockerHttp(host, 5.0), "/v1.41", "c1", ("x",), {}, None, gone or threading.Event())


def test_streams_stay_apart_and_input_is_half_closed(tmp_path: Path) -> None:
    def echo(connection: socket.socket) -> None:
        data = b""
        while chunk := connection.recv(100):
            data += chunk
        connection.sendall(frame(1, data) + frame(2, b"that was all"))

    with server(tmp_path / "s", docker(3, echo)) as host:
        talk = program(host)
        assert talk.send(b"\x00\xff" * 1000)
        talk.end_input()
        assert list(talk.output()) == [("stdout", b"\x00\xff" * 1000), ("stderr", b"that was all")]
        assert talk.exit_code() == 3
        talk.close()
        assert talk.send(b"more") is False


def test_what_docker_says_in_the_stream_of_a_command_that_did_not_start_is_an_error(tmp_path: Path) -> None:
    refusing = docker(126, lambda connection: connection.sendall(frame(1, REFUSAL)))
    with server(tmp_path / "s", refusing) as host, pytest.raises(EngineError) as caught:
        list(program(host).output())
    assert caught.value.message == 'the command cannot be run: exec: "x": not found'


@pytest.mark.parametrize(("code", "more"), [(0, b""), (126, frame(1, b"and more"))], ids=["exit 0", "more output"])
def test_a_program_may_print_the_same_words(tmp_path: Path, code: int, more: bytes) -> None:
    with server(tmp_path / "s", docker(code, lambda c: c.sendall(frame(1, REFUSAL) + more))) as host:
        said = list(program(host).output())
    assert said[0] == ("stdout", REFUSAL)
    assert len(said) == 1 + bool(more)


def test_a_client_that_goes_ends_the_wait(tmp_path: Path) -> None:
    gone = threading.Event()
    path = str(tmp_path / "s")
    with answering(at_path(path), docker(0, until_closed), together=True):
        talk = program(f"unix://{path}", gone)
        threading.Timer(0.1, gone.set).start()
        with pytest.raises(WaitInterrupted):
            list(talk.output())
        talk.close()
