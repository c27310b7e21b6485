"""A Dockerfile that is not where it is looked for: the hint's own command, and the same push again, bring it live."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server

pytestmark = pytest.mark.e2e


def told(stderr: str) -> str:
    """What the pusher reads, as one line: hints are wrapped."""
    return " ".join(stderr.replace("remote:  !", "").split())


def move(repository: Path, places: dict[str, str]) -> None:
    for old, new in places.items():
        (repository / new).parent.mkdir(parents=True, exist_ok=True)
        (repository / old).rename(repository / new)
    apps.commit(repository, "Elsewhere")


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("lower", {"Dockerfile": "dockerfile"}),
        ("podman", {"Dockerfile": "Containerfile"}),
        ("inside", {"Dockerfile": "services/web/Dockerfile", "tiny": "services/web/tiny"}),
        ("beside", {"Dockerfile": "docker/Dockerfile.prod"}),
        ("both", {"Dockerfile": "services/web/web.Dockerfile", "tiny": "services/web/tiny"}),
    ],
)
def test_the_command_of_the_hint_brings_it_live(
    server: Server, tiny_app: Callable[..., Path], name: str, places: dict[str, str]
) -> None:
    repository = tiny_app(name)
    move(repository, places)
    refused = server.push(repository, name)
    assert refused.returncode != 0
    found = re.search(rf"builder:set {name}[^,;]*(?=, push again)", told(refused.stderr))
    assert found is not None, refused.stderr
    assert server.ssh(*shlex.split(found[0])).returncode == 0
    server.push_ok(repository, name)
    assert server.get(name).body == "v1\n"


def test_a_path_by_command_is_not_sent_to_gitship_toml(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("told")
    assert server.ssh("apps:create", "told").returncode == 0
    assert server.ssh("builder:set", "told", "--dockerfile", "nowhere/Dockerfile").returncode == 0
    refused = told(server.push(repository, "told").stderr)
    assert "builder:set told --dockerfile Dockerfile, or builder:unset told --dockerfile" in refused, refused
    assert "gitship.toml" not in refused
