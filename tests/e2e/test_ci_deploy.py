"""The manual's script for CI: git, a key that may push one app, the server's pinned host key, nobody to ask."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, laptop
from tests.e2e.harness import Server, make_key
from tests.manual import blocks

pytestmark = pytest.mark.e2e

SCRIPT = next(block for block in blocks("sh") if "$DEPLOY_KEY" in block)
APP = "hello"


class Job:
    """A CI system's run of the script in a fresh clone; secrets come by the environment."""

    def __init__(self, server: Server, base: Path) -> None:
        self.env = laptop.make(base / "home", server)
        key = make_key(base / "ci")
        assert server.ssh("keys:add", "ci", "--app", APP, stdin=key.with_suffix(".pub").read_text()).returncode == 0
        scan = subprocess.run(
            ["ssh-keyscan", "-p", "2222", "localhost"], env=self.env, capture_output=True, text=True, timeout=30,
            check=True,
        )  # fmt: skip
        self.env |= {"DEPLOY_KEY": key.read_text().rstrip("\n"), "DEPLOY_KNOWN_HOSTS": scan.stdout, "CI": "true"}

    def run(self, repository: Path, script: str = SCRIPT, **more: str) -> subprocess.CompletedProcess[str]:
        apps.git(repository, "checkout", "-q", "--detach")  # as CI systems check out
        try:
            return subprocess.run(
                ["bash", "-e", "-c", script], cwd=repository, env={**self.env, **more}, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=110, check=False,
            )  # fmt: skip
        finally:
            apps.git(repository, "checkout", "-q", "main")


def test_the_exit_code_says_whether_it_is_live(server: Server, tiny_app: Callable[..., Path], base: Path) -> None:
    repository = tiny_app(APP)
    assert server.ssh("apps:create", APP).returncode == 0
    job = Job(server, base)

    done = job.run(repository)
    assert done.returncode == 0, done.stderr
    assert server.get(APP).body == "v1\n"
    assert (repository / "deploy_key").stat().st_mode & 0o077 == 0

    apps.git(repository, "checkout", "-q", "main")
    apps.commit(
        repository, "Broken", {"Dockerfile": apps.tiny_dockerfile("v2", {"CRASH": "1"}), ".gitignore": "deploy_*\n"}
    )
    failed = job.run(repository)
    assert failed.returncode != 0
    assert "checking failed" in failed.stderr
    assert server.get(APP).body == "v1\n"

    other = job.run(repository, SCRIPT.replace(f"/{APP} ", "/other "))
    assert other.returncode != 0
    assert "other" not in server.ssh("apps").stdout

    stranger = make_key(base / "stranger").with_suffix(".pub").read_text()
    posing = job.run(repository, DEPLOY_KNOWN_HOSTS=f"[localhost]:2222 {stranger}")
    assert posing.returncode != 0
    assert "Host key verification failed" in posing.stderr
