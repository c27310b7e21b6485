"""An app that answers its check with a byte every 3 s: nobody has to wait for it, whatever its time-outs are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server, running
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
COPY drip.sh /drip.sh
EXPOSE 8000
CMD ["/bin/busybox", "nc", "-ll", "-p", "8000", "-e", "/bin/busybox", "sh", "/drip.sh"]
"""
DRIP = r"""/bin/busybox printf 'HTTP/1.1 200 OK\r\nX-Slow: '
while :; do /bin/busybox printf x; /bin/busybox sleep 3; done
"""
PATIENT = """[[processes.web.checks]]
path = "/"
timeout = 3600
deadline = 3600
"""
HURRIED = "[deploy]\ncheck_timeout = 4\n"


def dripping(path: Path, settings: str = PATIENT) -> Path:
    repository = apps.new_repository(path, {"Dockerfile": DOCKERFILE, "drip.sh": DRIP, "gitship.toml": settings})
    shutil.copy(shutil.which("busybox") or "/bin/busybox", repository / "busybox")
    apps.commit(repository, "Busybox")
    return repository


def checking(server: Server, repository: Path, app: str) -> subprocess.Popen[str]:
    """A push of it, once the check is being answered."""
    push = server.start_push(repository, app)
    wait_until(lambda: server.deploys(app) and server.deploys(app)[-1][0] == "checking", 60, "it is checked")
    wait_until(lambda: _connected(server, app), 20, "the check is connected")
    return push


def _connected(server: Server, app: str) -> bool:
    rows = server.database(f"SELECT address FROM addresses WHERE owner LIKE '{app}.%' AND released_at IS NULL")
    table = Path("/proc/net/tcp").read_text()
    wanted = ["".join(f"{int(part):02X}" for part in reversed(str(row[0]).split("."))) for row in rows]
    return any(f"{address}:1F40 01" in table for address in wanted)


def ended(push: subprocess.Popen[str]) -> str:
    output, _ = push.communicate(timeout=30)
    assert push.returncode != 0, output
    return output


def test_it_fails_at_its_limit(server: Server, base: Path) -> None:
    done = server.push(dripping(base / "late", HURRIED), "late")
    assert done.returncode != 0
    assert "web is not healthy after 4 s: no answer on port 8000 within 4 s" in done.stderr, done.stderr


def test_cancel_ends_it(server: Server, base: Path) -> None:
    push = checking(server, dripping(base / "tocancel"), "tocancel")
    assert server.ssh("deploys:cancel", "tocancel").returncode == 0
    assert "canceled during its checks" in ended(push)
    assert not server.containers("gitship.app=tocancel")


def test_destroy_ends_it(server: Server, base: Path) -> None:
    push = checking(server, dripping(base / "todestroy"), "todestroy")
    done = server.ssh("apps:destroy", "todestroy", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    ended(push)
    assert not server.containers("gitship.app=todestroy")
    assert "todestroy" not in server.ssh("apps:list").stdout


def test_the_end_of_the_server_ends_it_and_all_others(base: Path, docker_host: str) -> None:
    with running(base / "server", docker_host, lambda: False, deploy={"on_new_push": "cancel"}) as server:
        push = checking(server, dripping(base / "older"), "newer")
        newer = base / "newer"
        apps.git(base, "clone", "-q", str(base / "older"), str(newer))
        apps.commit(newer, "Newer", {"x": "y"})
        later = server.start_push(newer, "newer")
        assert "superseded" in ended(push)
        wait_until(lambda: server.deploys("newer")[-1][0] == "checking", 30, "the newer one is checked")
        assert server.stop() == 0
        ended(later)
        states = [row[0] for row in server.database("SELECT state FROM deploys ORDER BY id")]
        assert states == ["superseded", "canceled"]
        server.start()
