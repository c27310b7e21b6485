"""What a container may do, asked from inside: web process, one-off, release command, `enter`."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship.engine.hardening import KEPT
from tests.e2e import apps
from tests.e2e.commands import ok, shown
from tests.e2e.harness import Server

pytestmark = pytest.mark.e2e

BUSYBOX = "/bin/busybox"
# Bits of capabilities(7).
BITS = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "NET_BIND_SERVICE": 10, "NET_RAW": 13,
}  # fmt: skip
PROCFILE = "web: /bin/busybox httpd -f -p 8080 -h /www\nrelease: /bin/busybox cat /proc/self/status\n"


def bits(*names: str) -> int:
    return sum(1 << BITS[name] for name in names)


def facts(status: str) -> dict[str, str]:
    """The lines of /proc/self/status."""
    words = (line.removeprefix("remote:").strip().partition(":") for line in status.splitlines())
    return {name: value.strip() for name, _, value in words}


def confined(status: str, *more: str) -> bool:
    found = facts(status)
    sets = {int(found[name], 16) for name in ("CapBnd", "CapPrm", "CapEff")}
    return sets == {bits(*KEPT, *more)} and found["NoNewPrivs"] == "1" and found["Seccomp"] == "2"


def status(server: Server, app: str) -> str:
    return ok(server, "run", app, BUSYBOX, "cat", "/proc/self/status")


def test_every_kind_of_container_is_confined_and_an_admin_can_give_back(server: Server, base: Path) -> None:
    repository = apps.busybox(base / "held")
    apps.commit(repository, "Processes", {"Procfile": PROCFILE})
    pushed = server.push_ok(repository, "held")
    assert confined(pushed[pushed.index("Release command") :]), pushed
    assert confined(status(server, "held"))
    assert confined(ok(server, "enter", "held", "web", BUSYBOX, "cat", "/proc/1/status"))

    assert server.ssh("capabilities:add", "held", "SYS_ADMIN").returncode != 0
    ok(server, "capabilities:add", "held", "NET_RAW")
    assert confined(status(server, "held"), "NET_RAW")
    assert confined(ok(server, "enter", "held", "web", BUSYBOX, "cat", "/proc/1/status"), "NET_RAW")
    ok(server, "capabilities:remove", "held", "NET_RAW")
    assert confined(ok(server, "enter", "held", "web", BUSYBOX, "cat", "/proc/1/status"))
    ok(server, "releases:rollback", "held", "v2")  # which had it
    assert confined(ok(server, "enter", "held", "web", BUSYBOX, "cat", "/proc/1/status"))
    assert confined(status(server, "held"))


def test_a_read_only_root_has_scratch_space_and_volumes(server: Server, base: Path) -> None:
    repository = apps.busybox(base / "fixed")
    apps.commit(repository, "Read-only", {"gitship.toml": "[processes.web]\nread_only = true\n"})
    server.push_ok(repository, "fixed")
    ok(server, "storage:mount", "fixed", "data:/data")

    def writes(path: str) -> bool:
        return server.ssh("enter", "fixed", "web", BUSYBOX, "touch", path).returncode == 0

    assert [writes(path) for path in ("/www/x", "/etc/x", "/tmp/x", "/run/x", "/data/x")] == [
        False, False, True, True, True,
    ]  # fmt: skip
    assert server.get("fixed").status == 200
    [row] = shown(server, "resources:show", "fixed")
    assert row["read_only"] is True
    ok(server, "resources:limit", "fixed", "--writable")
    assert writes("/www/x")
    ok(server, "resources:limit", "fixed", "--process", "run", "--read-only")
    assert server.ssh("run", "fixed", BUSYBOX, "touch", "/www/x").returncode != 0
