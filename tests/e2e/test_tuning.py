"""Port, checks, limits and build settings by command: each goes live as a release of its own, or changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server
from tests.e2e.load import load

pytestmark = pytest.mark.e2e


def limits(server: Server, app: str) -> tuple[int, int, int]:
    """Memory in bytes, billionths of a processor and processes, as Docker has them for the app's only container."""
    name = server.containers(f"gitship.app={app}")[-1]
    text = docker_cli.docker(
        server.docker_host, "inspect", "-f",
        "[{{.HostConfig.Memory}}, {{.HostConfig.NanoCpus}}, {{.HostConfig.PidsLimit}}]", name,
    )  # fmt: skip
    memory, cpus, pids = json.loads(text.replace("<nil>", "0"))
    return memory, cpus, pids


def releases(server: Server, app: str) -> int:
    sql = "SELECT count(*) FROM releases r JOIN apps a ON a.id = r.app_id WHERE a.name = ?"
    return int(server.database(sql, app)[0][0])


def test_a_port_goes_live_without_a_failed_request(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("port")
    server.push_ok(repository, "port")
    assert shown(server, "ports:show", "port") == {"port": 8000, "source": "EXPOSE", "live": 8000}
    with load(server.http_port, "port.localhost", ["v1"], workers=2) as visitors:
        assert "Building" not in ok(server, "ports:set", "port", "3000")
        report = visitors.end()
    assert report.failed == 0, report
    assert server.get("port", "/env?PORT").body == "3000"
    assert shown(server, "ports:show", "port") == {"port": 3000, "source": "ports:set", "live": 3000}

    ok(server, "ports:set", "port", "3500", "--no-restart")
    assert shown(server, "ports:show", "port") == {"port": 3500, "source": "ports:set", "live": 3000}
    ok(server, "ps:restart", "port")
    assert server.get("port", "/env?PORT").body == "3500"
    ok(server, "ports:unset", "port")
    assert server.get("port", "/env?PORT").body == "8000"
    ok(server, "releases:rollback", "port")
    assert server.get("port", "/env?PORT").body == "3500"  # a release keeps what it was made with

    count = releases(server, "port")
    for bad in ("0", "65536", "-1", "http", "8e3"):
        refused(server, "ports:set", "port", "--", bad)
    assert releases(server, "port") == count


def test_checks_that_are_set_decide(server: Server, tiny_app: Callable[..., Path]) -> None:
    files = {"gitship.toml": "[deploy]\ncheck_timeout = 4\n"}  # what fails here fails soon
    server.push_ok(tiny_app("checked", files=files), "checked")
    assert {row["source"] for row in shown(server, "checks:show", "checked")} == {"default"}
    ok(server, "checks:set", "checked", "--path", "/env?MARK", "--header", "'X-Mark: 1'", "--timeout", "2")
    (row,) = shown(server, "checks:show", "checked")
    assert (row["check"], row["source"], row["timeout"]) == ("GET /env?MARK", "checks:set", 2.0)
    assert row["headers"] == {"X-Mark": "1"}

    said = refused(server, "checks:set", "checked", "--path", "/env?MARK", "--content", "ready")
    assert "the response does not contain 'ready'" in said and "v2 keeps serving" in said
    assert shown(server, "checks:show", "checked")[0]["content"] is None

    assert [look["passed"] for look in shown(server, "checks:run", "checked")] == [True]
    ok(server, "checks:skip", "checked", "--once")
    ok(server, "checks:set", "checked", "--path", "/env?MARK", "--content", "ready")
    tried = server.ssh("checks:run", "checked")
    assert tried.returncode == 1 and "the response does not contain 'ready'" in tried.stdout
    assert shown(server, "checks:show", "checked")[0]["skipped"] is None  # once is over
    ok(server, "config:set", "checked", "MARK=ready")
    assert server.ssh("checks:run", "checked").returncode == 0
    ok(server, "checks:unset", "checked")
    assert {row["source"] for row in shown(server, "checks:show", "checked")} == {"default"}

    for bad in (["--path", "x"], ["--timeout", "0"], ["--header", "nothing"], ["--process", "worker"], ["--port", "0"]):
        refused(server, "checks:set", "checked", *bad)


def test_skipped_checks_still_see_a_container_that_ends(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("skips"), "skips")
    ok(server, "checks:skip", "skips")
    assert "exited 4" in refused(server, "config:set", "skips", "CRASH=4")
    assert server.get("skips").body == "v1\n"
    assert shown(server, "checks:show", "skips")[0]["skipped"] == "always"
    ok(server, "checks:skip", "skips", "--off")
    assert shown(server, "checks:show", "skips")[0]["skipped"] is None


def test_a_context_by_command_counts_for_the_image_that_was_built_of_it(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    api = {"api/Dockerfile": apps.tiny_dockerfile("api"), "api/Procfile": "web: /tiny\nworker: /tiny work\n"}
    repository = tiny_app("nested", files=api)
    (repository / "api" / "tiny").write_bytes((repository / "tiny").read_bytes())
    (repository / "api" / "tiny").chmod(0o755)
    apps.commit(repository, "The binary there, too")
    assert server.ssh("apps:create", "nested").returncode == 0
    ok(server, "builder:set", "nested", "--context", "api")
    server.push_ok(repository, "nested")
    assert server.get("nested").body == "api\n"
    ok(server, "builder:unset", "nested")  # counts at the next build, and not for the image that is there
    ok(server, "ports:set", "nested", "3000")
    assert [row["process"] for row in shown(server, "ps:scale", "nested")] == ["web", "worker"]


def test_limits_reach_docker(server: Server, tiny_app: Callable[..., Path]) -> None:
    files = {"gitship.toml": "[processes.web]\npids = 90\n"}
    server.push_ok(tiny_app("limited", files=files), "limited")
    ok(server, "resources:limit", "limited", "--memory", "64m", "--cpus", "0.5")
    assert limits(server, "limited") == (64 << 20, 500_000_000, 90)
    ok(server, "resources:limit", "limited", "--process", "web", "--pids", "50", "--detach")
    ok(server, "resources:limit", "limited", "--process", "web", "--memory", "32m")
    row, _ = shown(server, "resources:show", "limited")
    assert (row["memory_bytes"], row["cpus"], row["pids"]) == (32 << 20, 0.5, 50)  # neither change undid the other
    ok(server, "resources:unset", "limited")
    assert limits(server, "limited") == (0, 0, 90)

    count = releases(server, "limited")
    for bad in (
        ["--memory", "5m"], ["--memory", "lots"], ["--memory", "900000g"], ["--cpus", str((os.cpu_count() or 1) + 1)],
        ["--cpus", "0"], ["--pids", "0"], [], ["--process", "ghost", "--pids", "5"],
    ):  # fmt: skip
        refused(server, "resources:limit", "limited", *bad)
    assert releases(server, "limited") == count


def test_builder_settings_count_at_the_next_build(server: Server, tiny_app: Callable[..., Path]) -> None:
    other = apps.tiny_dockerfile("v2", extra=("ARG FLAVOUR", "ARG SIZE", "ENV FLAVOUR=$FLAVOUR SIZE=$SIZE"))
    two = other.replace("FROM scratch", "FROM scratch AS first", 1) + "FROM first AS second\nENV VERSION=v3\n"
    repository = tiny_app("built", files={"docker/Other": two})
    server.push_ok(repository, "built")
    ok(
        server, "builder:set", "built", "--dockerfile", "docker/Other", "--target", "first",
        "--arg", "FLAVOUR=plum", "--arg-from-config", "SIZE",
    )  # fmt: skip
    assert server.get("built").body == "v1\n" and releases(server, "built") == 1
    assert "config, which does not have SIZE" in refused(server, "ps:rebuild", "built")
    assert server.get("built").body == "v1\n"
    ok(server, "config:set", "built", "SIZE=9")
    ok(server, "ps:rebuild", "built")
    assert server.get("built").body == "v2\n"
    assert server.get("built", "/env?FLAVOUR").body == "plum"
    assert {row["name"]: row["value"] for row in shown(server, "builder:show", "built")} == {
        "dockerfile": "docker/Other", "target": "first", "arg FLAVOUR": "plum", "arg SIZE": None,
    }  # fmt: skip
    ok(server, "builder:unset", "built", "--target")
    ok(server, "ps:rebuild", "built")
    assert server.get("built").body == "v3\n"
    ok(server, "builder:set", "built", "--dockerfile", "docker/Gone")
    told = " ".join(
        refused(server, "ps:rebuild", "built").replace(" ! ", "").split()
    )  # gitship.toml would change nothing
    assert "builder:unset built --dockerfile" in told and "gitship.toml" not in told, told
    ok(server, "builder:unset", "built")
    assert shown(server, "builder:show", "built") == []
    for bad in (["--dockerfile", "../x"], ["--context", "/etc"], ["--arg", "1A=x"], ["--arg", "A"], []):
        refused(server, "builder:set", "built", *bad)
