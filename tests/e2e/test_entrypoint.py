"""An image with an ENTRYPOINT: whoever names a command gets that command, not a second server with odd arguments."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

SERVER = 'ENTRYPOINT ["/tiny"]'
WRAPPER = 'ENTRYPOINT ["/entry.sh"]'
ENTRY = '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n'


def make(tiny_app: Callable[..., Path], name: str, entrypoint: str, **files: str) -> Path:
    """A repository whose image has a shell, too."""
    repository = tiny_app(name)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", repository / "busybox")
    (repository / "entry.sh").write_text(ENTRY)
    (repository / "entry.sh").chmod(0o755)
    copies = ["COPY busybox /bin/sh", "COPY busybox /bin/echo", "COPY busybox /bin/env", "COPY entry.sh /entry.sh"]
    text = apps.tiny_dockerfile("v1", extra=[*copies, entrypoint], cmd="[]" if entrypoint == SERVER else '["/tiny"]')
    apps.commit(repository, "With an entrypoint", {"Dockerfile": text, **files})
    return repository


def test_run_and_other_processes_run_their_own_words(server: Server, tiny_app: Callable[..., Path]) -> None:
    formation = json.dumps({"formation": {"worker": {"quantity": 1}}})
    procfile = {"Procfile": "web: /tiny\nworker: /tiny work\n", "app.json": formation}
    said = server.push_ok(make(tiny_app, "plain", SERVER, **procfile), "plain")
    assert "ENTRYPOINT /tiny does not run: the commands of the Procfile take its place" in said, said
    assert "to run it with them: `entrypoint = true` in a gitship.toml; to run it alone: remove the Procfile" in said
    assert server.get("plain").body == "v1\n"
    done = server.ssh("run", "--timeout", "5s", "plain", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done
    [worker] = server.containers("gitship.app=plain", "gitship.process=worker")
    wait_until(lambda: "working v1" in docker_cli.docker(server.docker_host, "logs", worker), 10, "it works")
    # the words for a server that the image is, when that is what is wanted
    released = server.ssh("run", "--entrypoint", "plain", "release")
    assert (released.returncode, released.stdout) == (0, "migrating v1\n"), released


def test_cron_runs_its_own_words(server: Server, tiny_app: Callable[..., Path]) -> None:
    cron = '[cron.tick]\nschedule = "@yearly"\ncommand = "echo ticked"\ntimeout = 20\n'
    server.push_ok(make(tiny_app, "hourly", SERVER, **{"gitship.toml": cron}), "hourly")
    assert server.ssh("cron:run", "hourly", "tick").returncode == 0
    wait_until(lambda: "ticked" in server.ssh("cron:log", "hourly", "tick").stdout, 20, "it has run")


def test_an_entrypoint_that_runs_what_it_is_given_stays(server: Server, tiny_app: Callable[..., Path]) -> None:
    assert "does not run" not in server.push_ok(make(tiny_app, "wrapped", WRAPPER), "wrapped")
    assert server.get("wrapped", "/env?WRAPPED").body == "yes"
    assert "WRAPPED=yes" in server.ssh("run", "--timeout", "5s", "wrapped", "env").stdout
    assert "WRAPPED" not in server.ssh("run", "--no-entrypoint", "wrapped", "env").stdout


def test_the_setting_decides_before_what_is_found(server: Server, tiny_app: Callable[..., Path]) -> None:
    files = {"gitship.toml": "entrypoint = false\n", "Procfile": "web: /tiny\n"}
    assert "does not run" not in server.push_ok(make(tiny_app, "unwrapped", WRAPPER, **files), "unwrapped")
    assert server.get("unwrapped", "/env?WRAPPED").body == ""
    files = {"gitship.toml": "entrypoint = true\n"}
    server.push_ok(make(tiny_app, "argued", SERVER, **files), "argued")
    assert server.ssh("run", "argued", "release").stdout == "migrating v1\n"


def test_a_worker_that_is_a_second_web_server_is_told(server: Server, tiny_app: Callable[..., Path]) -> None:
    procfile = {"Procfile": "web: /tiny\nworker: /tiny\n", "app.json": '{"formation": {"worker": {"quantity": 1}}}'}
    said = server.push_ok(make(tiny_app, "double", SERVER, **procfile), "double")
    assert "worker listens on 8000, as web does" in said, said


def test_run_knows_the_process_types(server: Server, tiny_app: Callable[..., Path]) -> None:
    procfile = {"Procfile": "web: /tiny\nmigrate: echo 'by the Procfile'\n"}
    server.push_ok(make(tiny_app, "typed", SERVER, **procfile), "typed")
    done = server.ssh("run", "typed", "migrate")
    assert (done.returncode, done.stdout) == (0, "by the Procfile\n"), done
