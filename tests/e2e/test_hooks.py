"""The server's own hooks and its policy, on real deploys: what they may stop, and that nothing has changed then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server, running
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
HOOK_LIMIT_S = 1.0


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str) -> Iterator[Server]:
    """One that allows images of `allowed/`, warns of root, takes no image above 3 MB and kills hooks after a second."""
    policy = {"base_images": ["allowed/*"], "root": "warn", "max_image": "3m"}
    hooks = {"timeout": HOOK_LIMIT_S}
    with running(module_base / "server", docker_host, lambda: False, policy=policy, hooks=hooks) as started:
        yield started


@pytest.fixture
def hook(server: Server) -> Iterator[Callable[..., Path]]:
    """Puts a shell script at a point: ``hook("before-build", "10-scan", "exit 1")``; gone after the test."""
    made: list[Path] = []

    def put(point: str, name: str, text: str, mode: int = 0o755) -> Path:
        path = server.data_dir / "hooks" / f"{point}.d" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(mode)
        made.append(path)
        return path

    yield put
    for path in made:
        path.unlink(missing_ok=True)


def test_hooks_run_at_their_points_in_order_with_what_they_need(
    server: Server, tiny_app: Callable[..., Path], hook: Callable[..., Path], base: Path
) -> None:
    trace = base / "trace"
    words = "$GITSHIP_POINT $GITSHIP_KIND $GITSHIP_APP r=$GITSHIP_RELEASE $GITSHIP_STAGE $GITSHIP_URL"
    for point in ("before-build", "after-build", "before-switch", "after-deploy", "on-failure"):
        hook(point, "10-trace", f'echo "{words}" >> {trace}; echo "seen: $GITSHIP_APP"; cat > {base}/{point}.json')
    hook("after-deploy", "20-ignored", "exit 1", 0o644)
    said = server.push_ok(tiny_app("points"), "points")
    url = f"http://points.localhost:{server.http_port}"
    assert trace.read_text().splitlines() == [
        f"before-build push points r= building {url}",
        f"after-build push points r=1 building {url}",
        f"before-switch push points r=1 checking {url}",
        f"after-deploy push points r=1 draining {url}",
    ]
    assert said.count("10-trace: seen: points") == 4
    assert "hook after-deploy/20-ignored is skipped: it is not executable" in said
    assert '"app": "points"' in (base / "after-deploy.json").read_text()
    trace.unlink()
    assert server.ssh("config:set", "points", "A=1").returncode == 0
    assert [line.split()[:2] for line in trace.read_text().splitlines()] == [
        ["before-switch", "config"],
        ["after-deploy", "config"],
    ]
    listed = server.ssh("hooks:list").stdout
    assert "20-ignored" in listed and "chmod +x" in listed


def test_a_hook_before_the_switch_that_fails_changes_nothing(
    server: Server, tiny_app: Callable[..., Path], hook: Callable[..., Path], base: Path
) -> None:
    repository = tiny_app("hooked")
    server.push_ok(repository, "hooked")
    before = server.server_ref("hooked")
    hook("on-failure", "10-why", f'echo "$GITSHIP_STAGE|$GITSHIP_REASON" > {base}/why')
    apps.commit(repository, "Version two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    for point, stage, text, why in (
        ("before-build", "building", "echo looking; echo 'CVE found' >&2; exit 3", "exited 3: CVE found"),
        ("after-build", "building", "kill -9 $$", "was killed by signal 9"),
        ("before-switch", "checking", "sleep 60", "took longer than 1 s and was killed"),
    ):
        gate = hook(point, "10-gate", text)
        done = server.push(repository, "hooked")
        assert done.returncode != 0
        assert f"{stage} failed: hook {point}/10-gate {why}" in done.stderr
        assert "v1 keeps serving, unchanged" in done.stderr
        assert (base / "why").read_text() == f"{stage}|hook {point}/10-gate {why}\n"
        assert server.get("hooked").body == "v1\n"
        assert server.server_ref("hooked") == before
        assert server.containers("gitship.app=hooked") == ["hooked.web.1.v1"]
        gate.unlink()
    refused = hook("before-build", "10-open", "exit 0", 0o757)
    assert "must not run: it is writable by everyone" in server.push(repository, "hooked").stderr
    refused.unlink()
    server.push_ok(repository, "hooked")
    assert server.get("hooked").body == "v2\n"


def test_a_hook_after_the_switch_takes_nothing_back(
    server: Server, tiny_app: Callable[..., Path], hook: Callable[..., Path]
) -> None:
    hook("after-deploy", "10-hangs", "sleep 60")
    hook("after-deploy", "20-fails", "echo oh; exit 2")
    said = server.push_ok(tiny_app("told"), "told")
    assert "hook after-deploy/10-hangs took longer than 1 s and was killed; this changes nothing" in said
    assert "hook after-deploy/20-fails exited 2: oh; this changes nothing" in said
    assert server.get("told").body == "v1\n"
    wait_until(lambda: server.deploys("told")[-1][0] == "live", 10, "the deploy ends as live")


def test_a_base_image_that_is_not_allowed_is_refused_before_the_build(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("based")
    said = server.push_ok(repository, "based")
    assert "the image runs as root; end the Dockerfile with a line such as" in said
    before = server.server_ref("based")
    dockerfile = "FROM scratch AS a\nFROM scratch\nCOPY --from=python:3.12 / /\n"
    apps.commit(repository, "From elsewhere", {"Dockerfile": dockerfile})
    done = server.push(repository, "based")
    assert done.returncode != 0
    assert "building failed: Dockerfile line 3: the image docker.io/library/python:3.12 is not allowed" in done.stderr
    assert "this server builds from: allowed/*" in done.stderr
    apps.commit(repository, "By a link", {"Dockerfile": None, "other": "FROM python\n"})
    (repository / "Dockerfile").symlink_to("other")
    apps.commit(repository, "Linked")
    assert "Dockerfile is a link" in server.push(repository, "based").stderr
    assert (server.server_ref("based"), server.get("based").body) == (before, "v1\n")


def test_an_image_that_is_too_large_goes_again(server: Server, tiny_app: Callable[..., Path], docker_host: str) -> None:
    repository = tiny_app("heavy")
    server.push_ok(repository, "heavy")
    text = apps.tiny_dockerfile("v2", extra=["COPY ballast /"])
    apps.commit(repository, "Heavy", {"Dockerfile": text, "ballast": b"x" * 6_000_000})
    done = server.push(repository, "heavy")
    assert done.returncode != 0
    assert "MB, and this server allows 3 MB" in done.stderr
    assert server.get("heavy").body == "v1\n"
    label = f"label=gitship.server={server.server_id()}"
    images = docker_cli.docker(docker_host, "images", "-q", "--filter", label, "--filter", "label=gitship.app=heavy")
    assert len(images.split()) == 1
    assert [
        row[1]
        for row in server.database(
            "SELECT r.app_id, r.number FROM releases r JOIN apps a ON a.id = r.app_id WHERE a.name = 'heavy'"
        )
    ] == [1]
