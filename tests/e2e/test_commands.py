"""The commands over ssh with the stock client, on a server that really deploys."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server, make_key
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def rows(server: Server, *command: str) -> list[dict[str, object]]:
    done = server.ssh(*command, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_help_names_every_command_of_the_first_set(server: Server) -> None:
    text = server.ssh("help").stdout
    for command in (
        "apps:create", "apps:list", "apps:destroy", "keys:add", "keys:list", "keys:remove", "config:set",
        "config:unset", "config:show", "domains:add", "domains:remove", "domains:list", "ps:scale", "ps:list",
        "ps:restart", "logs", "releases:list", "releases:rollback", "deploys:cancel",
    ):  # fmt: skip
        assert command in text, f"{command} is missing in:\n{text}"


def test_session_without_a_command_prints_the_help(server: Server) -> None:
    done = server.ssh()
    assert "apps:create" in done.stdout + done.stderr


def test_unknown_command_names_the_nearest(server: Server) -> None:
    done = server.ssh("app:create", "x")
    assert done.returncode == 2
    assert "apps:create" in done.stderr


def test_app_is_created_listed_and_destroyed_with_all_it_had(server: Server, tiny_app: Callable[..., Path]) -> None:
    assert server.ssh("apps:create", "gone").returncode == 0
    assert server.get("gone").status == 503
    assert server.ssh("apps:create", "gone").returncode == 3
    server.push_ok(tiny_app("gone"), "gone")
    assert "gone" in {row["name"] for row in rows(server, "apps:list")}

    refused = server.ssh("apps:destroy", "gone")
    assert refused.returncode != 0 and server.get("gone").body == "v1\n"
    done = server.ssh("apps:destroy", "gone", "--force")
    assert done.returncode == 0, done.stderr
    assert server.get("gone").status == 404
    assert "gone" not in {row["name"] for row in rows(server, "apps:list")}
    for kind in ("container", "network", "image"):
        label = "gitship.app=gone"
        assert docker_cli.names(server.docker_host, kind, f"gitship.server={server.server_id()}", label) == [], kind
    assert not (server.data_dir / "repos" / "gone.git").exists()
    assert server.ssh("logs", "gone").returncode != 0


def test_app_can_be_made_again_after_it_was_destroyed(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("again")
    server.push_ok(repository, "again")
    assert server.ssh("apps:destroy", "again", "--force").returncode == 0
    server.push_ok(repository, "again")
    assert server.get("again").body == "v1\n"
    assert [row["release"] for row in rows(server, "releases:list", "again")] == [1]


def test_unknown_host_is_404_and_domain_leads_to_its_app(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("hosts"), "hosts")
    assert server.request("www.example.com").status == 404
    assert server.ssh("domains:add", "hosts", "WWW.Example.com").returncode == 0
    assert server.request("www.example.com").body == "v1\n"
    assert server.request("WWW.example.com.:80").body == "v1\n"
    taken = server.ssh("apps:create", "other")
    assert taken.returncode == 0
    assert server.ssh("domains:add", "other", "www.example.com").returncode != 0
    assert "www.example.com" in server.ssh("domains:list", "hosts").stdout
    assert server.ssh("domains:remove", "hosts", "www.example.com").returncode == 0
    assert server.request("www.example.com").status == 404


def test_second_key_pushes_by_its_role(server: Server, tiny_app: Callable[..., Path]) -> None:
    deployer, viewer = (make_key(server.base / role) for role in ("deployer", "viewer"))
    for key in (deployer, viewer):
        public = Path(f"{key}.pub").read_text()
        done = server.ssh("keys:add", key.name, "--role", key.name, stdin=public)
        assert done.returncode == 0, done.stderr
    repository = tiny_app("roles")
    assert server.push(repository, "roles", key=viewer).returncode != 0
    assert server.database("SELECT 1 FROM apps WHERE name = 'roles'") == []
    assert server.push(repository, "roles", key=deployer).returncode == 0
    assert server.get("roles").body == "v1\n"

    assert server.ssh("apps:list", key=viewer).returncode == 0
    assert server.ssh("config:set", "roles", "A=1", key=viewer).returncode != 0
    assert server.ssh("keys:list", key=deployer).returncode != 0
    assert {"deployer", "viewer"} <= {row["name"] for row in rows(server, "keys:list")}

    assert server.ssh("keys:remove", "deployer").returncode == 0
    assert "Permission denied" in server.push(repository, "roles", key=deployer).stderr


def test_last_admin_key_stays(server: Server) -> None:
    [admin] = [row["name"] for row in rows(server, "keys:list") if row["role"] == "admin"][:1]
    assert server.ssh("keys:remove", str(admin)).returncode != 0
    assert server.ssh("apps:list").returncode == 0


def test_logs_show_what_the_app_printed(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("talks"), "talks")
    server.get("talks", "/log?first-words")
    wait_until(lambda: "first-words" in server.ssh("logs", "talks").stdout, 10, "the line is in the log")
    text = server.ssh("logs", "talks", "-n", "1").stdout
    assert len(text.strip().splitlines()) == 1


def test_followed_logs_come_live_and_end_with_the_client(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("follows"), "follows")
    command = [*server.ssh_command(), "deploy@127.0.0.1", "logs", "follows", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as tail:
        assert tail.stdout is not None
        seen = tail.stdout.readline()
        server.get("follows", "/log?live-line")
        while "live-line" not in seen:
            line = tail.stdout.readline()
            assert line, f"the log ended: {seen}"
            seen += line
        tail.send_signal(signal.SIGINT)
        tail.wait(10)
    assert server.process is not None
    threads = Path(f"/proc/{server.process.pid}/task")

    def names() -> list[str]:
        return [(t / "comm").read_text().strip() for t in threads.iterdir() if (t / "comm").exists()]

    wait_until(lambda: len(names()) < 60, 10, "the threads of the session are gone")


def test_restart_makes_new_containers(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("anew"), "anew")
    [before] = docker_cli.docker(
        server.docker_host, "ps", "-q", "--filter", f"label=gitship.server={server.server_id()}",
        "--filter", "label=gitship.app=anew",
    ).split()  # fmt: skip
    done = server.ssh("ps:restart", "anew")
    assert done.returncode == 0, done.stderr

    def now() -> list[str]:
        return docker_cli.docker(
            server.docker_host, "ps", "-q", "--filter", f"label=gitship.server={server.server_id()}",
            "--filter", "label=gitship.app=anew",
        ).split()  # fmt: skip

    wait_until(lambda: len(now()) == 1 and now() != [before], 20, "one other container")
    assert server.get("anew").body == "v1\n"


def test_releases_are_listed_with_commit_and_cause(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("history")
    server.push_ok(repository, "history")
    head = apps.git(repository, "rev-parse", "--short=7", "HEAD")
    text = server.ssh("releases:list", "history").stdout
    assert "v1" in text and head in text


def test_local_command_line_reaches_the_running_server(server: Server) -> None:
    done = server.gitship("apps:list")
    assert done.returncode == 0, done.stderr
    bare = server.gitship()
    assert (bare.returncode, "apps:create" in bare.stdout) == (0, True), bare.stderr
    listed = server.gitship("keys:list")
    assert listed.returncode == 0 and "admin" in listed.stdout


def test_the_pages_figures_are_for_whoever_has_a_token(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("paged"), "paged")
    address = f"http://127.0.0.1:{server.web_port}/api/apps"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(address, timeout=10)
    made = server.ssh("web:token", "tests", "--quiet")
    assert made.returncode == 0, made.stderr
    asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {made.stdout.strip()}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert "paged" in answer.read().decode()
