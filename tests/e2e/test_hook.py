"""A push by another road than SSH, here a file path, deploys too: the post-receive hook asks the running server."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server

pytestmark = pytest.mark.e2e


def push_by_path(server: Server, repository: Path, app: str, ref: str = "main") -> subprocess.CompletedProcess[str]:
    target = server.data_dir / "repos" / f"{app}.git"
    return subprocess.run(
        ["git", "push", str(target), ref], cwd=repository, env=apps.clean_env(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_push_by_file_path_deploys_and_shows_the_output(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("path")
    server.push_ok(repository, "path")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    done = push_by_path(server, repository, "path")
    assert done.returncode == 0, done.stderr
    assert "=====> http://path.localhost" in done.stderr, done.stderr
    assert server.get("path").body == "v2\n"


def test_failed_deploy_by_file_path_keeps_the_old_release_and_says_so(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("badpath")
    server.push_ok(repository, "badpath")
    before = server.server_ref("badpath")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2", {"CRASH": "6"})})
    done = push_by_path(server, repository, "badpath")
    assert "cannot start: CRASH=6" in done.stderr, done.stderr
    assert server.get("badpath").body == "v1\n"
    assert "is back where it was" in done.stderr, done.stderr
    assert server.server_ref("badpath") == before is not None
    apps.commit(repository, "Three", {"Dockerfile": apps.tiny_dockerfile("v3")})
    server.push_ok(repository, "badpath")
    assert server.get("badpath").body == "v3\n"


def test_other_branch_by_file_path_does_not_deploy(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("sidepath")
    server.push_ok(repository, "sidepath")
    apps.git(repository, "checkout", "-q", "-b", "feature")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    push_by_path(server, repository, "sidepath", "feature")
    assert server.get("sidepath").body == "v1\n"
    assert len(server.deploys("sidepath")) == 1


def test_push_by_file_path_without_a_server_says_how_to_go_on(
    own_server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("alone")
    own_server.push_ok(repository, "alone")
    assert own_server.stop() == 0
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    done = push_by_path(own_server, repository, "alone")
    assert "gitship serve" in done.stderr, done.stderr
    assert own_server.get("alone").body == "v1\n"
    own_server.start()
    assert own_server.get("alone").body in ("v1\n", "v2\n")
