"""A day's commands in one script, with the real ssh, git and curl."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).with_name("daily.sh")
STEPS = [
    "create", "config with odd values", "domain", "push", "scale", "logs -f", "run with a terminal", "rollback",
    "destroy", "done",
]  # fmt: skip


def test_a_day_with_an_app(server: Server, tiny_app: Callable[..., Path], base: Path) -> None:
    repository = tiny_app("repository")
    shutil.copy(shutil.which("busybox") or "/bin/busybox", repository)
    extra = ["COPY busybox /busybox"]
    apps.commit(repository, "With a shell", {"Dockerfile": apps.tiny_dockerfile("v1", extra=extra)})
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2", extra=extra)})
    work = base / "work"
    work.mkdir()
    env = apps.clean_env(
        SSH=" ".join(server.ssh_command()), HTTP=f"127.0.0.1:{server.http_port}", REPO=str(repository),
        REMOTE=server.url("daily"), WORK=str(work), LC_ALL="C.UTF-8",
    )  # fmt: skip
    env["PATH"] = os.environ["PATH"]
    done = subprocess.run(
        ["bash", str(SCRIPT)],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n--- server\n{server.logs[-3000:]}"
    assert [line.removeprefix("== ") for line in done.stdout.splitlines() if line.startswith("== ")] == STEPS
    assert server.containers("gitship.app=daily") == []
