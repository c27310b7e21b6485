"""What an audit tried against acting by identity: rights that end, and apps that change, while something is under way.

A server's hook holds deploys where the test wants them: they wait for a file.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.commands import add_key, ok
from tests.e2e.harness import Server, running
from tests.e2e.held import HeldCommand
from tests.e2e.test_identity import app_id, begun, made_anew
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture
def gate(server: Server, base: Path) -> Iterator[Path]:
    """While this file is not there, no build begins."""
    go = base / "go"
    hook = server.data_dir / "hooks" / "before-build.d" / "10-gate"
    hook.write_text(f"#!/bin/sh\nwhile [ ! -e {go} ]; do sleep 0.05; done\n")
    hook.chmod(0o755)
    yield go
    go.touch()
    hook.unlink()


def state(server: Server, deploy: int) -> tuple[str, str, str]:
    [(state, stage, reason)] = server.database("SELECT state, failed_stage, reason FROM deploys WHERE id = ?", deploy)
    return str(state), str(stage), str(reason)


def newest(server: Server, app: str) -> int:
    rows = server.database("SELECT max(d.id) FROM deploys d JOIN apps a ON a.id = d.app_id WHERE a.name = ?", app)
    return int(rows[0][0] or 0)


def ended(server: Server, deploy: int) -> tuple[str, str, str]:
    wait_until(lambda: state(server, deploy)[0] in ("live", "failed", "canceled"), 60, f"deploy {deploy} ends")
    return state(server, deploy)


@pytest.mark.parametrize("how", ["keys:remove", "keys:limit"])
def test_a_deploy_ends_with_the_right_of_its_key_before_its_code_runs(
    server: Server, tiny_app: Callable[..., Path], gate: Path, how: str
) -> None:
    """Not only at its commit: until then its code would have run with the app's config, its volumes and visitors."""
    app = how.replace(":", "-")
    gate.touch()
    repository = tiny_app(app)
    server.push_ok(repository, app)
    ok(server, "apps:create", f"{app}-other")
    key = add_key(server, f"intern-{app}")
    apps.commit(repository, "v2", {"Dockerfile": apps.tiny_dockerfile("v2")})
    gate.unlink()
    push = HeldPusher(server, key, repository, app)
    wait_until(lambda: state(server, newest(server, app))[0] == "building", 20, "the second deploy builds")
    deploy = newest(server, app)
    ok(server, how, f"intern-{app}", *((f"{app}-other",) if how == "keys:limit" else ()))
    gate.touch()
    how_ended, stage, reason = ended(server, deploy)
    assert (how_ended, stage) == ("failed", "building"), reason
    assert "key" in reason
    assert server.database("SELECT release_id FROM deploys WHERE id = ?", deploy) == [(None,)]
    assert server.get(app).body == "v1\n"
    assert push.ended() != 0


class HeldPusher:
    """`git push` in the background, with a key of its own."""

    def __init__(self, server: Server, key: Path, repository: Path, app: str) -> None:
        self.process = subprocess.Popen(
            ["git", "push", server.url(app), "main"], cwd=repository, env=server.git_env(key),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.said = ""

    def ended(self) -> int:
        self.said, _ = self.process.communicate(timeout=60)
        return self.process.returncode


def test_a_promotion_takes_nothing_from_an_app_that_the_key_may_use_no_longer(
    server: Server, tiny_app: Callable[..., Path], gate: Path
) -> None:
    gate.touch()
    server.push_ok(tiny_app("secret-src", version="theirs"), "secret-src")
    repository = tiny_app("promo-dst")
    server.push_ok(repository, "promo-dst")
    key = add_key(server, "promoter", "--app", "secret-src", "--app", "promo-dst")
    apps.commit(repository, "v2", {"Dockerfile": apps.tiny_dockerfile("v2")})
    gate.unlink()
    waiting = server.start_push(repository, "promo-dst")
    wait_until(lambda: state(server, newest(server, "promo-dst"))[0] == "building", 20, "the deploy before it builds")
    before = newest(server, "promo-dst")
    done = server.ssh("releases:promote", "secret-src", "promo-dst", "--detach", key=key)
    assert done.returncode == 0, done.stderr
    deploy = newest(server, "promo-dst")
    assert deploy > before
    ok(server, "keys:limit", "promoter", "promo-dst")
    gate.touch()
    waiting.communicate(timeout=60)
    how_ended, _, reason = ended(server, deploy)
    assert how_ended == "failed", reason
    assert server.get("promo-dst").body == "v2\n"


def test_an_archive_that_was_held_back_stores_nothing_in_another_app(server: Server) -> None:
    ok(server, "apps:create", "archived")
    key = add_key(server, "archiver", "--app", "archived")
    held = HeldCommand(server, key, "git:from-archive", "archived")
    begun(server, "git:from-archive", "archived")
    ok(server, "apps:rename", "archived", "archived-2")
    ok(server, "apps:create", "archived")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = 13
        archive.addfile(entry, io.BytesIO(b"FROM scratch\n"))
    assert held.process.stdin is not None
    held.process.stdin.write(data.getvalue())
    held.process.stdin.close()
    assert held.ended() != 0, held.said
    objects = server.data_dir / "repos" / "archived.git" / "objects"
    assert not any(objects.glob("[0-9a-f][0-9a-f]/*"))
    assert app_id(server, "archived") != app_id(server, "archived-2")


def test_a_server_stops_in_order_while_a_destroyed_app_was_paused(
    base: Path, docker_host: str, tiny_app: Callable[..., Path]
) -> None:
    with running(base / "own", docker_host, lambda: False) as server:
        server.push_ok(tiny_app("paused"), "paused")
        ok(server, "ps:pause", "paused", "--for", "30s")
        made_anew(server, "paused")
        assert server.stop() == 0, server.logs[-3000:]
        assert "Traceback" not in server.logs, server.logs[-3000:]
        server.start()
