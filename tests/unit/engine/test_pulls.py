"""Names of images, and what a pull's stream says."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gitship.engine.pulls import Progress, authorization, failed
from gitship.engine.references import DEFAULT_SERVER, Reference, parse
from gitship.errors import GitshipError

pytestmark = pytest.mark.unit
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "server", "shown"),
    [
        ("shop", DEFAULT_SERVER, "shop:latest"),
        ("library/shop:1.2", DEFAULT_SERVER, "library/shop:1.2"),
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
    progress = Progress()
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
        ("dial tcp: connection refused", "can this server reach"),
    ],
)
def test_a_failed_pull_says_what_to_do(text: str, hint: str) -> None:
    assert hint in failed(Reference("r.example.com/a", "r.example.com", "1"), text).hint


def test_the_default_registry_is_the_engines_to_know() -> None:
    header = json.loads(base64.urlsafe_b64decode(authorization(DEFAULT_SERVER, "me", "pä?>")))
    assert header == {"username": "me", "password": "pä?>", "serveraddress": ""}
