"""What gitship makes is closed to the other users of the machine, although no service unit has set a umask."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.apps import git
from tests.e2e.commands import ok
from tests.e2e.harness import Server, serving
from tests.places import free_port
from tests.unit.certs import bundle
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

OTHERS = stat.S_IRWXG | stat.S_IRWXO
DOMAIN = "shop.gitship-modes.net"
# varnishd, when root has started it, reads and writes its files as users of its own, who are in the group varnish, and
# haproxy talks to it as one of the group haproxy. They have to get through two directories, and into their files.
THROUGH = {".": 0o711, "varnish": 0o711, "varnish/websockets": 0o711}
GROUPS = ("varnish", "haproxy")
MODULES = "varnish/workdir/vmod_cache/"  # varnishd's copies of its own libraries, which lie in a closed directory
CRON = '[cron.tick]\nschedule = "0 0 1 1 *"\ncommand = ["/bin/busybox", "echo", "tick"]\n'


@pytest.fixture
def server(base: Path, docker_host: str) -> Iterator[Server]:
    """Of a user whose umask closes nothing."""
    before = os.umask(0)
    try:
        https = {"https": {"listen": f"127.0.0.1:{free_port()}"}}
        with serving(Server(base / "server", docker_host, https, as_users_do=True), lambda: False) as started:
            yield started
    finally:
        os.umask(before)


def open_to_others(data_dir: Path) -> list[str]:
    groups = {group.gr_gid for group in grp.getgrall() if group.gr_name in GROUPS} | {os.getegid()}
    found = []
    for path in (data_dir, *data_dir.rglob("*")):
        try:
            about = path.lstat()
        except FileNotFoundError:  # it was a temporary file
            continue
        name, mode = str(path.relative_to(data_dir)), stat.S_IMODE(about.st_mode)
        if stat.S_ISLNK(about.st_mode) or not mode & OTHERS:
            continue
        of_varnish = name.startswith("varnish/") and about.st_gid in groups and os.geteuid() == 0
        if THROUGH.get(name) == mode or name.startswith(MODULES) or (of_varnish and not mode & stat.S_IRWXO):
            continue
        found.append(f"{mode:04o} {name}")
    return found


def a_days_work(server: Server, base: Path) -> None:
    repository = apps.busybox(base / "shop")
    apps.commit(repository, "cron", {"gitship.toml": CRON})
    server.push_ok(repository, "shop")
    apps.commit(repository, "broken", {"Dockerfile": "FROM scratch\nRUN nothing\n"})
    assert server.push(repository, "shop").returncode != 0
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    ok(server, "config:set", "shop", "A=b")
    ok(server, "ps:restart", "shop")
    ok(server, "run", "shop", "/bin/busybox", "true")
    ok(server, "run", "shop", "--detach", "/bin/busybox", "echo", "detached")
    ok(server, "cron:run", "shop", "tick")
    ok(server, "storage:mount", "shop", "data:/data")
    ok(server, "domains:add", "shop", DOMAIN)
    assert server.ssh("certs:add", "shop", stdin=bundle(DOMAIN)).returncode == 0
    ok(server, "apps:clone", "shop", "shop-test")
    ok(server, "apps:rename", "shop-test", "shop-next")
    ok(server, "cache:set", "shop", "--ttl", "60")
    backup = [*server.ssh_command(), "deploy@127.0.0.1", "server:backup", "--volumes"]
    subprocess.run(backup, stdout=subprocess.DEVNULL, timeout=60, env=apps.clean_env(), check=True)
    server.restart()  # what is copied, swept and repaired at a start
    server.kill9()
    server.start()
    server.push_ok(repository, "shop-next", "--force")
    ok(server, "apps:destroy", "shop-next", "--force")


def test_no_other_user_can_look_at_what_a_server_has(server: Server, base: Path) -> None:
    a_days_work(server, base)
    wait_until(lambda: server.get("shop").status in (200, 401), 20, "it serves")
    made = {str(path.relative_to(server.data_dir)).split("/")[0] for path in server.data_dir.rglob("*")}
    assert {"logs", "repos", "varnish", "hooks", "gitship.db", "certs", "copies"} <= made, made
    found = open_to_others(server.data_dir)
    assert not found, "\n".join(found)


def test_what_an_earlier_gitship_has_left_open_is_closed_at_the_start(server: Server, base: Path) -> None:
    server.push_ok(apps.busybox(base / "shop"), "shop")
    server.stop()
    for path in (server.data_dir / "logs", server.data_dir / "repos", server.data_dir / "hooks"):
        for one in (path, *path.rglob("*")):
            one.chmod(0o755 if one.is_dir() else 0o644)
    server.start()
    assert [line for line in open_to_others(server.data_dir) if "/" not in line] == []
