"""Whatever a key has open ends at once with its right, whichever way it goes, and the audit log says how."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.console.audit_entry import CUT
from tests.e2e import apps
from tests.e2e.commands import add_key, ok
from tests.e2e.harness import Server
from tests.e2e.held import HeldCommand
from tests.e2e.test_identity_attacks import HeldPusher, gate, newest, state
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
__all__ = ["gate"]


def outcomes(server: Server, key: str) -> list[tuple[str, str, str]]:
    """(action, outcome, detail) of what the audit log has of the key."""
    rows = server.database("SELECT action, outcome, detail FROM audit WHERE key_name = ? ORDER BY id", key)
    return [(str(action), str(outcome), str(detail)) for action, outcome, detail in rows]


@pytest.fixture
def kept(server: Server, base: Path) -> Iterator[str]:
    """An app with a volume of some megabytes."""
    server.push_ok(apps.busybox(base / "cut"), "cut")
    ok(server, "storage:mount", "cut", "data:/data")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("big")
        entry.size = 32 << 20
        tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    subprocess.run(
        [*server.ssh_command(), "deploy@127.0.0.1", "storage:import", "cut", "data", "--replace"],
        input=archive.getvalue(), check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    yield "cut"
    ok(server, "apps:destroy", "cut", "--force")


@pytest.mark.parametrize("how", ["keys:remove", "keys:limit", "keys:revoke"])
def test_all_that_is_open_ends_with_the_right_to_it(
    server: Server, kept: str, base: Path, gate: Path, how: str
) -> None:
    name = how.replace(":", "-")
    other = f"other-{name}"
    ok(server, "apps:create", other)
    key = add_key(server, name, *(("--app", kept, "--app", other) if how == "keys:revoke" else ()))
    gate.unlink(missing_ok=True)
    repository = base / "cut"
    apps.commit(repository, f"for {how}", {"index.html": how})
    push = HeldPusher(server, key, repository, kept)
    wait_until(lambda: state(server, newest(server, kept))[0] == "building", 20, "the push builds")
    deploy = newest(server, kept)
    held = {
        "run": HeldCommand(server, key, "run", kept, "/bin/busybox", "cat"),
        "run -t": HeldCommand(server, key, "run", kept, "/bin/busybox", "cat", terminal=True),
        "enter -t": HeldCommand(server, key, "enter", kept, "web", "/bin/busybox", "cat", terminal=True),
        "logs -f": HeldCommand(server, key, "logs", kept, "-f"),
        "logs:deploy": HeldCommand(server, key, "logs:deploy", kept, str(deploy)),
        "storage:import": HeldCommand(server, key, "storage:import", kept, "data", "--replace"),
        "git-upload-pack": HeldCommand(server, key, "git-upload-pack", kept),
        "git-receive-pack": HeldCommand(server, key, "git-receive-pack", kept),
        "config:import": HeldCommand(server, key, "config:import", kept),
        "git:from-archive": HeldCommand(server, key, "git:from-archive", kept),
    }
    wait_until(lambda: len(server.containers(f"gitship.app={kept}")) >= 3, 30, "the one-off containers run")
    held["git-upload-pack"].until_said("HEAD")
    held["git-receive-pack"].until_said("report-status")
    wait_until(
        lambda: {"storage:import", "config:import", "git:from-archive", "run", "enter"}
        <= {action for action, _, _ in outcomes(server, name)},
        20, "all have begun",
    )  # fmt: skip
    words = {"keys:remove": (name,), "keys:limit": (name, other), "keys:revoke": (name, kept)}[how]
    ok(server, how, *words)
    codes = {kind: command.ended() for kind, command in held.items()}
    assert all(code != 0 for kind, code in codes.items()), codes
    unexplained = [kind for kind, command in held.items() if not kind.startswith("git-") and "key" not in command.said]
    assert unexplained == [], {kind: held[kind].said for kind in unexplained}
    assert push.ended() != 0
    print(push.said)
    wait_until(lambda: state(server, deploy)[0] == "failed", 20, "the deploy fails")
    gate.touch()
    wait_until(lambda: len(server.containers(f"gitship.app={kept}")) == 1, 20, "the one-off containers end")
    wait_until(lambda: all(outcome != "started" for _, outcome, _ in outcomes(server, name)), 10, "all have ended")
    found = outcomes(server, name)
    assert len(found) == 8, found  # two pushes, two runs, one of each of what else is no mere look
    assert {outcome for _, outcome, _ in found} == {"failed"}, found
    assert all(detail.endswith(CUT) for _, _, detail in found), found
    if how != "keys:remove":
        ok(server, "keys:remove", name)
