"""The cache of a deployed app: its rules by file and by command, purges, the release before, and a hung container."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.commands import ok, shown
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

OLD = "/public/app.1.css"


def sources(server: Server, app: str) -> dict[str, tuple[object, str]]:
    rows = shown(server, "cache:status", app)
    return {row["rule"]: (row["value"], row["source"]) for row in rows}


def cached(server: Server, app: str, path: str) -> list[str]:
    return [server.get(app, path).headers["x-cache"] for _ in range(2)]


def test_rules_go_live_with_the_release_or_at_once_by_command(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("rules")
    server.push_ok(repository, "rules")
    assert cached(server, "rules", "/") == ["pass", "pass"]
    apps.commit(repository, "Cache", {"gitship.toml": '[cache]\nttl = "60s"\nstrip_query = ["utm_*"]\n'})
    server.push_ok(repository, "rules")
    assert sources(server, "rules")["ttl"] == (60, "gitship.toml")
    assert cached(server, "rules", "/?utm_source=a") == ["miss", "hit"]
    assert cached(server, "rules", "/") == ["hit", "hit"]
    before = len(server.deploys("rules"))
    ok(server, "cache:set", "rules", "--ttl", "0")
    ok(server, "cache:purge", "rules")
    assert cached(server, "rules", "/") == ["pass", "pass"]
    assert len(server.deploys("rules")) == before
    ok(server, "cache:unset", "rules")
    ok(server, "cache:purge", "rules", "--url", "'/*'")
    assert cached(server, "rules", "/") == ["miss", "hit"]
    ok(server, "releases:rollback", "rules", "v1")  # and with it what its file said
    assert sources(server, "rules")["ttl"] == (None, "default")
    assert cached(server, "rules", "/") == ["pass", "pass"]


def test_files_of_the_release_before_through_restarts_and_deploys(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("files")
    server.push_ok(repository, "files")
    assert server.get("files", OLD).body == "v1\n"
    gone = {"GONE": OLD}
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2", gone)})
    server.push_ok(repository, "files")
    for change in (None, ("ps:scale", "files", "web=2"), ("ps:restart", "files"), ("cache:set", "files", "--ttl", "5")):
        if change:
            ok(server, *change)
        answer = server.get("files", OLD)
        assert (answer.status, answer.body, answer.headers["x-cache"]) == (200, "v1\n", "previous"), change
    vcl = (server.data_dir / "varnish/boot.cli").read_text()
    server.restart()
    assert server.get("files", OLD).headers["x-cache"] == "previous"
    assert (server.data_dir / "varnish/boot.cli").read_text() == vcl  # nothing was loaded anew
    ok(server, "cache:set", "files", "--assets-for", "0")
    assert server.get("files", OLD).status == 404
    ok(server, "cache:unset", "files")
    assert server.get("files", OLD).status == 200
    apps.commit(repository, "Three", {"Dockerfile": apps.tiny_dockerfile("v3", gone)})
    server.push_ok(repository, "files")
    assert server.get("files", OLD).status == 404  # the one before only


def test_a_failed_deploy_leaves_the_release_before_as_it_was(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("kept")
    server.push_ok(repository, "kept")
    server.get("kept", OLD)
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2", {"GONE": OLD})})
    server.push_ok(repository, "kept")
    row = server.database("SELECT value FROM settings WHERE name = 'release-before'")
    apps.commit(repository, "Bad", {"Dockerfile": apps.tiny_dockerfile("v3", {"CRASH": "3"})})
    assert server.push(repository, "kept").returncode != 0
    assert server.database("SELECT value FROM settings WHERE name = 'release-before'") == row
    assert server.get("kept", OLD).headers["x-cache"] == "previous"


def test_pages_are_in_the_cache_before_the_first_visitor(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("warm", files={"gitship.toml": '[cache]\nwarm = ["/public/a", "/public/gone", "/"]\n'})
    server.push_ok(repository, "warm")
    ok(server, "maintenance:on", "warm")  # is no hindrance
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2", {"GONE": "/public/gone"})})
    told = server.push_ok(repository, "warm")
    assert "Warmed 1 of 3 pages" in told
    assert "/public/gone at warm.localhost" in told and "answered 404" in told
    assert "cannot be cached" in told
    ok(server, "maintenance:off", "warm")
    answer = server.get("warm", "/public/a")
    assert (answer.body, answer.headers["x-cache"]) == ("v2\n", "hit")
    assert ok(server, "logs", "warm").count("asked for /public/a") == 1
    assert "Warmed" not in ok(server, "ps:restart", "warm")


@contextlib.contextmanager
def paused(server: Server, container: str) -> Iterator[None]:
    docker_cli.docker(server.docker_host, "pause", container)
    try:
        yield
    finally:
        docker_cli.docker(server.docker_host, "unpause", container)


def test_a_container_that_hangs_is_taken_out_and_an_app_that_crashes_has_its_own_page(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    checks = '{"healthchecks": {"web": [{"path": "/healthz"}]}, "formation": {"web": {"quantity": 2}}}'
    server.push_ok(tiny_app("hangs", files={"app.json": checks}), "hangs")
    ok(server, "errors:set", "hangs", "--page", "-", stdin="<p>soon back")
    server.get("hangs", "/public/a.css")
    first, _ = server.containers("gitship.app=hangs")
    with paused(server, first):
        began = time.monotonic()

        def answered() -> bool:
            try:
                answers = [server.get("hangs", method="POST", body=b"x", timeout_s=1.0) for _ in range(4)]
            except TimeoutError:
                return False
            return {a.status for a in answers} == {200}

        wait_until(answered, 60, "the hung container gets no visitors")
        print(f"taken out after {time.monotonic() - began:.1f} s")
    answer = server.get("hangs", "/crash")  # each container that is asked ends
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, "<p>soon back", "5")
    assert server.get("hangs", "/public/a.css").status == 200
