"""`releases:rollback` brings a release back by the same pipeline: a new release with the old image and config."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server
from tests.e2e.load import load
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def test_rollback_brings_the_previous_release_back(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("undo")
    server.push_ok(repository, "undo")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "undo")

    with load(server.http_port, "undo.localhost", ["v1", "v2"], workers=4) as visitors:
        began = time.monotonic()
        done = server.ssh("releases:rollback", "undo")
        print(f"rollback: {time.monotonic() - began:.2f} s")
        assert done.returncode == 0, done.stderr
        assert server.get("undo").body == "v1\n"
        report = visitors.end()
    assert report.failed == 0, report
    assert "Building" not in done.stdout + done.stderr

    releases = json.loads(server.ssh("releases:list", "undo", "--format", "json").stdout)
    assert len(releases) == 3
    images = dict(server.database("SELECT number, image_id FROM releases ORDER BY number"))
    assert images[3] == images[1] != images[2]


def test_rollback_to_a_named_release_and_to_none(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("named")
    server.push_ok(repository, "named")
    for version in ("v2", "v3"):
        apps.commit(repository, version, {"Dockerfile": apps.tiny_dockerfile(version)})
        server.push_ok(repository, "named")
    assert server.ssh("releases:rollback", "named", "v1").returncode == 0
    assert server.get("named").body == "v1\n"
    done = server.ssh("releases:rollback", "named", "v99")
    assert done.returncode != 0 and "v99" in done.stderr
    assert server.get("named").body == "v1\n"


def test_rollback_restores_the_config_of_that_release(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("settings")
    server.push_ok(repository, "settings")
    assert server.ssh("config:set", "settings", "COLOUR=red").returncode == 0
    assert server.get("settings", "/env?COLOUR").body == "red"
    assert server.ssh("releases:rollback", "settings").returncode == 0
    assert server.get("settings", "/env?COLOUR").body == ""


def test_push_after_a_rollback_deploys_the_new_commit(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("onward")
    server.push_ok(repository, "onward")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "onward")
    assert server.ssh("releases:rollback", "onward").returncode == 0
    apps.commit(repository, "Three", {"Dockerfile": apps.tiny_dockerfile("v3")})
    server.push_ok(repository, "onward")
    assert server.get("onward").body == "v3\n"


def test_rollback_with_nothing_to_go_back_to_is_refused(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("only"), "only")
    done = server.ssh("releases:rollback", "only")
    assert done.returncode != 0
    assert "error:" in done.stderr and "hint:" in done.stderr
    assert server.get("only").body == "v1\n"


def test_rollback_to_a_release_whose_image_is_gone_says_how_to_build_it_again(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("pruned")
    server.push_ok(repository, "pruned")
    [(image,)] = server.database(
        "SELECT image_id FROM releases JOIN apps ON apps.id = app_id WHERE apps.name = 'pruned' AND number = 1"
    )
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "pruned")
    wait_until(
        lambda: server.containers("gitship.app=pruned") == ["pruned.web.1.v2"], 30, "the first release has ended"
    )
    docker_cli.docker(server.docker_host, "rmi", "-f", image)
    done = server.ssh("releases:rollback", "pruned", "v1")
    assert (done.returncode, "the image of v1 no longer exists" in done.stdout + done.stderr) == (1, True)
    assert server.get("pruned").body == "v2\n"
    [command] = re.findall(r"build it again: (git:deploy .+)", done.stdout + done.stderr)[:1]
    assert server.ssh(*command.split()).returncode == 0
    assert server.get("pruned").body == "v1\n"


def test_rollback_takes_the_release_before_though_it_differs_in_nothing(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    """Else it goes on to a release without the database's address, and the app comes up on an empty one."""
    server.push_ok(tiny_app("same"), "same")
    assert server.ssh("config:set", "same", "DATABASE_URL=postgres://db").returncode == 0
    assert server.ssh("ps:rebuild", "same").returncode == 0
    done = server.ssh("releases:rollback", "same")
    assert (done.returncode, "same: back to v2" in done.stderr + done.stdout) == (0, True), done.stderr
    assert "v2 is identical to v3" in done.stderr + done.stdout
    assert "for an earlier one: releases:rollback same v1" in done.stderr + done.stdout
    assert server.get("same", "/env?DATABASE_URL").body == "postgres://db"


def test_rollback_names_the_config_that_comes_and_goes(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("names"), "names")
    assert server.ssh("config:set", "names", "OLD=1", "MODE=a").returncode == 0
    assert server.ssh("config:unset", "names", "OLD").returncode == 0
    assert server.ssh("config:set", "names", "DATABASE_URL=x", "MODE=b").returncode == 0
    done = server.ssh("releases:rollback", "names", "v2")
    assert "config: adds OLD; removes DATABASE_URL; changes MODE\n" in done.stderr + done.stdout, done.stderr


def test_a_release_that_never_went_live_is_marked(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("marked")
    server.push_ok(repository, "marked")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2", {"CRASH": "3"})})
    assert server.push(repository, "marked").returncode == 1
    rows = json.loads(server.ssh("releases:list", "marked", "--format", "json").stdout)
    assert [(r["release"], r["live"], r["went_live"]) for r in rows] == [(2, False, False), (1, True, True)]
    assert "never live" in server.ssh("releases:list", "marked").stdout
