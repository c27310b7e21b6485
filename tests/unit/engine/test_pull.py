"""Names of images, and what a pull's stream says."""

from __future__ import annotations

import base64
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from gitship.engine.docker_http import DockerHttp
from gitship.engine.image_references import DEFAULT_SERVER, ImageReference, parse
from gitship.engine.pull import PullProgress, authorization, failed, login, pull
from gitship.errors import DeployCanceled, DeployError, EngineError, GitshipError
from tests.listening import until_closed
from tests.unit.engine.test_docker_http import OK, server

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "server", "shown"),
    [
        ("shop", DEFAULT_SERVER, "shop:latest"),
        ("library/shop:1.2", DEFAULT_SERVER, "shop:1.2"),
        ("docker.io/library/shop", DEFAULT_SERVER, "shop:latest"),
        ("team/shop", DEFAULT_SERVER, "team/shop:latest"),
        ("library/team/shop", DEFAULT_SERVER, "library/team/shop:latest"),
        ("registry.example.com/team/shop", "registry.example.com", "registry.example.com/team/shop:latest"),
        ("127.0.0.1:5000/shop:v1_2.x", "127.0.0.1:5000", "127.0.0.1:5000/shop:v1_2.x"),
        ("localhost/shop", "localhost", "localhost/shop:latest"),
        (f"shop:1@{DIGEST}", DEFAULT_SERVER, f"shop@{DIGEST}"),
        (DIGEST, DEFAULT_SERVER, DIGEST),
    ],
)
def test_a_name_says_its_server_and_one_version(text: str, server: str, shown: str) -> None:
    reference = parse(text)
    assert (reference.server, str(reference)) == (server, shown)
    assert parse(shown) == reference


@pytest.mark.parametrize(
    "text",
    ["", "Shop", "Team/shop", "shop:", "shop:a b", "-x", "a//b", "../a", "shop@sha256:12", "a\n", "x" * 500, "http://a/b"],
)  # fmt: skip
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(GitshipError, match="does not name an image"):
        parse(text)


def test_a_pull_is_told_by_its_layers_and_their_bytes() -> None:
    progress = PullProgress()
    stream: list[dict[str, Any]] = [
        {"status": "Pulling from shop", "id": "1.2"},
        {"status": "Downloading", "progressDetail": {"current": 10, "total": 100}, "id": "a"},
        {"status": "Downloading", "progressDetail": {"current": 5, "total": 50}, "id": "b"},
        {"status": "Download complete", "progressDetail": {}, "id": "a"},
    ]
    lines = [line for message in stream for line in progress.feed(message)]
    assert lines == ["1.2: Pulling from shop", "a: Download complete"] and progress.received == (105, 150)
    assert list(progress.feed({"error": "no basic auth credentials"})) == []
    assert progress.error == "no basic auth credentials"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Head http://x: no basic auth credentials", "registry:login r.example.com USER"),
        ("manifest for r.example.com/a:1 not found: manifest unknown", "check the name and the tag"),
        ("dial tcp: connection refused", "check that this server can reach"),
    ],
)
def test_a_failed_pull_says_what_to_do(text: str, hint: str) -> None:
    assert hint in failed(ImageReference("r.example.com/a", "r.example.com", "1"), text).hint


def test_the_default_registry_is_the_engines_to_know() -> None:
    header = json.loads(base64.urlsafe_b64decode(authorization(DEFAULT_SERVER, "me", "pä?>")))
    assert header == {"username": "me", "password": "pä?>", "serveraddress": ""}


def chunk(document: dict[str, Any]) -> bytes:
    data = json.dumps(document).encode() + b"\r\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_an_error_in_the_stream_of_a_200_is_an_error_and_the_login_goes_with_the_call(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(
            OK + chunk({"status": "Pulling"}) + chunk({"error": "no basic auth credentials"}) + b"0\r\n\r\n"
        )

    lines: list[str] = []
    with server(tmp_path / "s", answer) as host, pytest.raises(DeployError, match="no basic auth"):
        pull(DockerHttp(host, 5), "/v1.41", parse("r.example.com/a:1"), "abc=", lines.append, lambda *_: None,
             threading.Event(), 10)  # fmt: skip
    assert lines == ["Pulling"]
    assert asked[0].startswith(b"POST /v1.41/images/create?fromImage=r.example.com%2Fa&tag=1 ")
    assert b"\r\nX-Registry-Auth: abc=\r\n" in asked[0]


def test_a_pull_ends_when_it_is_canceled_and_at_its_limit(tmp_path: Path) -> None:
    def hanging(connection: socket.socket) -> None:
        connection.sendall(OK + chunk({"status": "Pulling"}))
        until_closed(connection)

    with server(tmp_path / "s", hanging) as host:
        cancel = threading.Event()
        for expected, timeout_s, on_line in (
            (DeployCanceled, 30.0, lambda line: cancel.set()),
            (DeployError, 0.2, print),
        ):
            cancel.clear()
            with pytest.raises(expected):
                pull(DockerHttp(host, 5), "", parse("a"), "", on_line, lambda *_: None, cancel, timeout_s)


def test_a_login_that_is_refused_says_so_without_the_password(tmp_path: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b'HTTP/1.1 500 No\r\nContent-Length: 26\r\n\r\n{"message":"unauthorized"}')

    with server(tmp_path / "s", answer) as host, pytest.raises(EngineError, match="unauthorized") as caught:
        login(DockerHttp(host, 5), "", "r.example.com", "me", "swordfish")
    assert "swordfish" not in caught.value.message + caught.value.hint and "password" in caught.value.hint
