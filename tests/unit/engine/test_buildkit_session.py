"""Builds by session at engines that do not understand it, over real sockets; the real one is in the e2e tests."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitship.engine import build_session, protobuf
from gitship.engine.buildkit_session import BuildKitSession
from gitship.engine.docker_http import DockerHttp
from gitship.engine.grpc import NOT_FOUND, Refused
from gitship.engine.source_tree import Contents, SourceFile, SourceTree
from gitship.engine.types import BuildOptions
from gitship.errors import DeployCanceled, DeployError, EngineError
from tests.listening import answering, at_path, until_closed

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
BUILT = json.dumps({"id": "moby.image.id", "aux": {"ID": "sha256:1"}}).encode()
PATHS = [".dockerignore", "Dockerfile", "a", "sub", "sub/Web", "sub/Web.dockerignore", "sub/b"]


def tree(dockerfile: str = "Dockerfile") -> SourceTree:
    def contents(indices: Sequence[int]) -> Contents:
        yield from ((1, iter([b"x"])) for _ in indices)

    def tar() -> Generator[bytes, None, None]:
        yield b"the tar"

    kinds = {"sub": stat.S_IFDIR | 0o755}
    files = [SourceFile(path, kinds.get(path, stat.S_IFREG | 0o644), int(path != "sub"), 1) for path in PATHS]
    return SourceTree("key", dockerfile, files, contents, tar)


@contextmanager
def engine(
    path: Path, session: Callable[[socket.socket], None], build: bytes
) -> Iterator[tuple[DockerHttp, list[bytes]]]:
    """Answers to a session by ``session``, to a build that has one with ``build``; the requests as they came."""
    requests: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        came = b""
        while b"\r\n\r\n" not in came or (b"chunked" in came and not came.endswith(b"0\r\n\r\n")):
            came += connection.recv(65536)
        requests.append(came)
        if b"/session" in came.partition(b"\r\n")[0]:
            session(connection)
        else:
            connection.sendall(OK + (build if b"client-session" in came else BUILT))

    with answering(at_path(str(path)), answer, together=True):
        yield DockerHttp(f"unix://{path}", 10), requests


def build(wire: DockerHttp, cancel: threading.Event | None = None) -> str:
    options = BuildOptions("shop:1", timeout_s=10)
    return build_session.build(wire, "/v1.41", tree(), options, lambda event: None, cancel or threading.Event())


def refused(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")


def garbled(connection: socket.socket) -> None:
    connection.sendall(UPGRADED + b"this is neither HTTP/2 nor anything else" * 9)
    until_closed(connection)


def silent(connection: socket.socket) -> None:
    connection.sendall(UPGRADED)
    until_closed(connection)


FAILED = json.dumps({"error": "transport is closing"}).encode()


def test_an_engine_without_sessions_gets_the_tar(tmp_path: Path) -> None:
    with engine(tmp_path / "s", refused, b"") as (wire, requests):
        assert build(wire) == "sha256:1"
    assert [b"the tar" in request for request in requests] == [False, True]
    assert b"remote=" not in requests[1]


def test_an_engine_that_speaks_otherwise_gets_the_tar(tmp_path: Path) -> None:
    with engine(tmp_path / "s", garbled, FAILED) as (wire, requests):
        assert build(wire) == "sha256:1"
    assert [b"the tar" in request for request in requests] == [False, False, True]
    assert b"remote=client-session&session=" in requests[1]
    assert not [thread for thread in threading.enumerate() if thread.name == "build-session"]


def test_a_build_that_fails_by_itself_is_not_tried_again(tmp_path: Path) -> None:
    with (
        engine(tmp_path / "s", silent, FAILED) as (wire, requests),
        pytest.raises(DeployError, match="transport is closing"),
    ):
        build(wire)
    assert len(requests) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "build-session"]


def test_an_engine_that_does_not_answer_is_not_waited_for_after_a_cancel(tmp_path: Path) -> None:
    cancel = threading.Event()

    def never(connection: socket.socket) -> None:
        cancel.set()
        until_closed(connection)

    with engine(tmp_path / "s", never, b"") as (wire, _), pytest.raises(DeployCanceled):
        build(wire, cancel)


def test_no_engine_is_an_engine_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        build(DockerHttp(f"unix://{tmp_path / 'none'}", 1))


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"dir-name": ["context"]}, PATHS),
        ({"dir-name": ["context"], "followpaths": ["a"], "exclude-patterns": ["*"]}, PATHS),
        ({"dir-name": ["context"], "followpaths": [".dockerignore"]}, [".dockerignore"]),
        ({"dir-name": ["dockerfile"], "followpaths": ["x"]}, ["sub", "sub/Web", "sub/Web.dockerignore"]),
    ],
)
def test_a_step_is_shown_what_it_asks_for(asked: dict[str, list[str]], shown: list[str]) -> None:
    sender = BuildKitSession(tree("sub/Web")).diff_copy(asked)
    found = []
    for message in sender.messages():
        if not message:
            break
        found.append(protobuf.fields(protobuf.fields(message)[2][0])[1][0].decode())
    assert found == shown


def test_other_directories_are_nobodys(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        BuildKitSession(tree()).diff_copy({"dir-name": ["/etc"]})
    assert refusal.value.code == NOT_FOUND
