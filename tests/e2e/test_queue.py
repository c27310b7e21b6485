"""Who deploys when: one deploy per app at a time, the newest queued push wins, apps in parallel, `-o detach`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server, running
from tests.e2e.load import load
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def slow(version: str, ms: int = 2500) -> str:
    """A Dockerfile whose build takes ``ms``."""
    return apps.tiny_dockerfile(version, {"RELEASE_MS": str(ms)}, extra=['RUN ["/tiny", "release"]'])


def copies(repository: Path, base: Path, versions: dict[str, str]) -> list[Path]:
    """Clones of the repository, each with one more commit."""
    made = []
    for version, dockerfile in versions.items():
        clone = base / f"{repository.name}-{version}"
        apps.git(base, "clone", "-q", str(repository), str(clone))
        apps.commit(clone, version, {"Dockerfile": dockerfile})
        made.append(clone)
    return made


def ends(push: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = push.communicate(timeout=60)
    return push.returncode, output


def test_detached_push_returns_at_once_and_goes_live(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("detached")
    server.push_ok(repository, "detached")
    commit = apps.commit(repository, "Slow", {"Dockerfile": slow("v2")})
    said = server.push_ok(repository, "detached", "-o", "detach")
    assert server.get("detached").body == "v1\n"  # the push was answered before the deploy's end
    assert "logs:deploy" in said, said
    wait_until(lambda: server.get("detached").body == "v2\n", 30, "the detached deploy is live")
    wait_until(lambda: server.server_ref("detached") == commit, 5, "the ref has moved")


def test_newest_queued_push_wins(server: Server, tiny_app: Callable[..., Path], base: Path) -> None:
    repository = tiny_app("newest")
    server.push_ok(repository, "newest")
    first, second, third = copies(repository, base, {v: slow(v, 3000 if v == "v2" else 50) for v in ("v2", "v3", "v4")})
    apps.git(second, "pull", "-q", "--no-rebase", "-X", "theirs", str(first), "main")
    pushes = [server.start_push(first, "newest")]
    wait_until(lambda: server.deploys("newest")[-1][0] == "building", 20, "the first one builds")
    for clone in (second, third):
        expected = len(server.deploys("newest")) + 1
        pushes.append(server.start_push(clone, "newest", "--force"))
        wait_until(lambda n=expected: len(server.deploys("newest")) == n, 20, "it is queued")  # type: ignore[misc]
    results = [ends(push) for push in pushes]
    assert "superseded" in results[1][1] or "newer" in results[1][1], results[1][1]
    assert results[1][0] != 0
    states = [state for state, _, _ in server.deploys("newest")]
    assert states[2] == "superseded"
    assert server.get("newest").body in ("v2\n", "v4\n")
    unfinished = "SELECT id FROM deploys WHERE state NOT IN ('live', 'failed', 'canceled', 'superseded')"
    wait_until(lambda: not server.database(unfinished), 20, "no deploy stays unfinished")


def test_newer_push_ends_the_running_build_when_so_configured(
    base: Path, docker_host: str, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("hasty")
    with running(base / "server", docker_host, lambda: False, deploy={"on_new_push": "cancel"}) as server:
        server.push_ok(repository, "hasty")
        old, new = copies(repository, base, {"v2": slow("v2", 1_000_000), "v3": slow("v3", 50)})
        first = server.start_push(old, "hasty")
        wait_until(lambda: server.deploys("hasty")[-1][0] == "building", 20, "the first one builds")
        server.push_ok(new, "hasty")  # or it would wait in vain for the other build's end
        code, output = ends(first)
        assert code != 0 and ("superseded" in output or "newer" in output), output
        assert server.get("hasty").body == "v3\n"


def test_canceled_build_ends_and_changes_nothing(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("canceled")
    server.push_ok(repository, "canceled")
    good = apps.git(repository, "rev-parse", "HEAD")
    apps.commit(repository, "Very slow", {"Dockerfile": slow("v2", 30_000)})
    push = server.start_push(repository, "canceled")
    wait_until(lambda: server.deploys("canceled")[-1][0] == "building", 20, "it builds")
    done = server.ssh("deploys:cancel", "canceled")
    assert done.returncode == 0, done.stderr
    code, output = ends(push)
    assert code != 0 and "cancel" in output, output
    assert server.get("canceled").body == "v1\n"
    assert server.server_ref("canceled") == good
    assert server.ssh("deploys:cancel", "canceled").returncode != 0  # there is none any more
    apps.commit(repository, "Quick", {"Dockerfile": apps.tiny_dockerfile("v3")})
    server.push_ok(repository, "canceled")


def test_apps_deploy_in_parallel_and_never_mix(server: Server, tiny_app: Callable[..., Path]) -> None:
    names = ["alpha", "beta", "gamma"]
    repositories = {n: tiny_app(n, version=f"{n}-1") for n in names}
    for name, repository in repositories.items():
        server.push_ok(repository, name)
    visitors = [load(server.http_port, f"{n}.localhost", [f"{n}-{i}" for i in range(1, 5)], workers=4) for n in names]
    with visitors[0] as a, visitors[1] as b, visitors[2] as c:
        for i in range(2, 5):
            for name, repository in repositories.items():
                apps.commit(repository, f"{i}", {"Dockerfile": slow(f"{name}-{i}", 300)})
            pushes = [server.start_push(repository, name) for name, repository in repositories.items()]
            for push in pushes:
                code, output = ends(push)
                assert code == 0, output
        reports = [running.end() for running in (a, b, c)]
    for report in reports:
        assert report.failed == 0, f"{report.failures} {report.samples}"
        assert report.requests > 200
