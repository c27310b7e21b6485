"""Rename, lock, stop, start, build again and retry: on a real server, as visitors and pushers see them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server
from tests.e2e.load import load
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
PROCFILE = "web: /tiny\nrelease: /tiny release\n"


def info(server: Server, app: str) -> dict[str, Any]:
    done = server.ssh("apps:info", app, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_rename_fails_no_request_and_keeps_everything(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("re-name")
    server.push_ok(repository, "re-name")
    assert server.ssh("domains:add", "re-name", "www.example.com").returncode == 0
    assert server.ssh("config:set", "re-name", "COLOUR=blue").returncode == 0
    with load(server.http_port, "www.example.com", ["v1"], workers=4) as visitors:
        done = server.ssh("apps:rename", "re-name", "big.store")
        assert done.returncode == 0, done.stdout + done.stderr
        assert server.get("re-name").status == 404
        report = visitors.end()
    assert report.failed == 0, report
    assert server.get("big.store").body == "v1\n"
    assert server.get("big.store", "/env?COLOUR").body == "blue"
    assert server.get("big.store", "/env?GITSHIP_APP").body == "big.store"
    assert [r[0] for r in server.database("SELECT number FROM releases ORDER BY number")] == [1, 2]
    wait_until(lambda: server.containers() == ["big.store.web.1.v2"], 20, "the old name's containers end")
    assert "Switched" in server.ssh("logs:deploy", "big.store", "1").stdout

    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "big.store")
    assert server.get("big.store").body == "v2\n"
    server.restart()
    assert server.request("www.example.com").body == "v2\n"
    assert server.get("re-name").status == 404


def test_a_repository_that_is_off_the_disk_is_told_and_made_anew_by_a_push(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("lost")
    server.push_ok(repository, "lost")
    shutil.rmtree(server.data_dir / "repos" / "lost.git")
    asked = server.git(repository, "ls-remote", server.url("lost"))
    assert "the repository of 'lost' is missing" in asked.stderr and "push lost once" in asked.stderr
    assert server.get("lost").body == "v1\n"
    head = apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "lost")
    assert (server.get("lost").body, server.server_ref("lost")) == ("v2\n", head)


def test_a_rename_that_is_canceled_leaves_the_old_name_alone(server: Server, tiny_app: Callable[..., Path]) -> None:
    slow = apps.tiny_dockerfile("v1", {"BOOT_MS": "2000"})
    server.push_ok(tiny_app("before", files={"Dockerfile": slow}), "before")
    assert server.ssh("apps:rename", "before", "after", "--detach").returncode == 0
    wait_until(lambda: any(n.startswith("after.") for n in server.containers()), 10, "the new name's container")
    assert "is being renamed" in server.ssh("apps:create", "after").stderr
    assert server.ssh("deploys:cancel", "before").returncode == 0
    assert server.get("before").body == "v1\n"
    assert server.get("after").status == 404
    assert server.server_ref("before") is not None
    assert server.ssh("apps:create", "after").returncode == 0  # the name is not reserved any more


def has_container(server: Server, app: str) -> bool:
    return any(name.startswith(f"{app}.web") for name in server.containers())


def is_all_live(server: Server, app: str) -> bool:
    return {state for state, _, _ in server.deploys(app)} == {"live"}


def test_the_name_of_a_rename_that_is_under_way_goes_to_no_other_app(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    slow = apps.tiny_dockerfile("v1", {"BOOT_MS": "2000"})
    server.push_ok(tiny_app("stall", files={"Dockerfile": slow}), "stall")
    assert server.ssh("apps:create", "squatter").returncode == 0
    for old, new in (("stall", "store"), ("store", "api.store")):  # directly below the server's domain, and below that
        assert server.ssh("apps:rename", old, new, "--detach").returncode == 0
        wait_until(partial(has_container, server, new), 10, "the new name's container")
        taken = server.ssh("domains:add", "squatter", f"{new}.localhost")
        assert taken.returncode == 1, taken.stdout
        wait_until(partial(is_all_live, server, new), 30, "the rename ends")
        assert server.get(new).body == "v1\n"
    told = server.ssh("domains:add", "squatter", "shed.localhost").stderr
    assert "shed.localhost is directly below localhost" in told and "apps:create shed" in told
    assert json.loads(server.ssh("domains:list", "squatter", "--format", "json").stdout) == [
        {"domain": "squatter.localhost", "own": True}
    ]


def test_a_locked_app_takes_no_push_and_no_change(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("locked")
    server.push_ok(repository, "locked")
    before = server.server_ref("locked")
    assert server.ssh("apps:lock", "locked", "'until the sale ends'").returncode == 0
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    refused = server.push(repository, "locked")
    assert refused.returncode != 0
    assert "until the sale ends" in refused.stderr and "apps:unlock locked" in refused.stderr
    for command in (("config:set", "locked", "A=1"), ("ps:scale", "locked", "web=2"), ("ps:restart", "locked")):
        assert "until the sale ends" in server.ssh(*command).stderr
    assert server.server_ref("locked") == before and len(server.deploys("locked")) == 1
    assert server.ssh("apps:unlock", "locked").returncode == 0
    server.push_ok(repository, "locked")
    assert server.get("locked").body == "v2\n"


def test_stopped_means_no_container_and_a_page(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("pause"), "pause")
    done = server.ssh("ps:stop", "pause")
    assert done.returncode == 0, done.stderr
    assert "visitors see that pause is stopped" in done.stdout and "is live" not in done.stdout
    answer = server.get("pause")
    assert answer.status == 503 and "ps:start pause" in answer.body
    wait_until(lambda: not any(n.startswith("pause.") for n in server.containers()), 20, "its container ends")
    assert server.ssh("config:set", "pause", "A=1").returncode == 0  # waits: must not start it
    server.restart()
    answer = server.get("pause")
    assert answer.status == 503 and "ps:start pause" in answer.body
    assert info(server, "pause")["stopped"] is True
    again = server.ssh("ps:stop", "pause")
    assert (again.returncode, again.stdout, "pause is already stopped: no change" in again.stderr) == (0, "", True)
    assert server.ssh("config:set", "pause", "CRASH=3").returncode == 0
    failed = server.ssh("ps:start", "pause")
    assert (failed.returncode, "pause stays stopped" in failed.stdout) == (1, True), failed.stdout
    assert server.get("pause").status == 503
    assert server.ssh("config:unset", "pause", "CRASH").returncode == 0
    assert server.ssh("ps:start", "pause").returncode == 0
    assert server.get("pause", "/env?A").body == "1"
    assert info(server, "pause")["stopped"] is False


def test_rebuild_makes_a_new_release_of_the_same_commit(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("again"), "again")
    assert server.ssh("ps:rebuild", "again").returncode == 0
    first, second = server.database(
        "SELECT commit_sha, cause FROM releases r JOIN apps a ON a.id = r.app_id WHERE a.name = 'again' ORDER BY number"
    )
    assert first[0] == second[0] and second[1].startswith("rebuild ")


def test_retry_deploys_the_failed_commit_without_a_push(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("second")
    server.push_ok(repository, "second")
    good = server.server_ref("second")
    failing = {"RELEASE_EXIT": "3"}
    bad = apps.commit(repository, "Migrate", {"Procfile": PROCFILE, "Dockerfile": apps.tiny_dockerfile("v2", failing)})
    assert server.push(repository, "second").returncode != 0
    shown = json.loads(server.ssh("deploys:info", "second", "--format", "json").stdout)
    assert shown["state"] == "failed" and shown["failed_stage"] == "release command" and shown["reason"]
    assert shown["stages"][0]["stage"] == "building"
    assert server.server_ref("second") == good
    assert server.ssh("deploys:retry", "second").returncode == 1  # it fails still, and nothing changes
    assert server.server_ref("second") == good and server.get("second").body == "v1\n"
    assert (
        server.ssh("config:set", "second", "RELEASE_EXIT=0", "--no-restart").returncode == 0
    )  # config is over the image's ENV
    done = server.ssh("deploys:retry", "second")
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.server_ref("second") == bad and server.get("second").body == "v2\n"


def test_env_files_survive_the_way_there_and_back(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("envfiles"), "envfiles")
    values = {
        "KEY": "-----BEGIN-----\nline two\n\tthree \\ back\n",
        "QUOTES": """it's "quoted" $HOME `id` ${X}""",
        "TEXT": "Grüße, 你好 🚀",
        "LONG": "x y" * 21_845,
        "EMPTY": "",
    }
    first = "\n".join(f"{n}='{v}'" for n, v in values.items() if "'" not in v)
    done = server.ssh(
        "config:import", "envfiles", stdin=f'# keys\n{first}\nexport QUOTES="it\'s \\"quoted\\" \\$HOME `id` ${{X}}"\n'
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    for name, value in values.items():
        assert server.get("envfiles", f"/env?{name}").body[:4000] == value[:4000], name  # tiny's answer ends at 4 KiB
    inspected = docker_cli.docker(server.docker_host, "inspect", "-f", "{{json .Config.Env}}", "envfiles.web.1.v2")
    assert f"LONG={values['LONG']}" in json.loads(inspected)
    for format_ in ("env", "shell"):
        exported = server.ssh("config:export", "envfiles", "--format", format_)
        assert server.ssh("apps:create", f"copy-{format_}").returncode == 0
        assert server.ssh("config:import", f"copy-{format_}", stdin=exported.stdout).returncode == 0
        assert json.loads(server.ssh("config:export", f"copy-{format_}", "--format", "json").stdout) == values
    bad = server.ssh("config:import", "envfiles", stdin="A=1\nB\n")
    assert bad.returncode == 1 and "line 2" in bad.stderr


def test_config_of_all_apps_lies_below_an_app_s_own(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("shared")
    server.push_ok(repository, "shared")
    assert server.ssh("config:set", "shared", "OWN=mine").returncode == 0
    done = server.ssh("config:global:set", "EVERY=all", "OWN=everyone")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (server.get("shared", "/env?EVERY").body, server.get("shared", "/env?OWN").body) == ("all", "mine")
    assert "EVERY" not in server.ssh("config:show", "shared").stdout
    apps.commit(repository, "Colour the basket", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "shared")
    assert server.get("shared", "/env?EVERY").body == "all"
    shown = json.loads(server.ssh("releases:info", "shared", "--format", "json").stdout)
    assert [c["subject"] for c in shown["commits"]] == ["Colour the basket"]
    assert server.ssh("releases:rollback", "shared", "v2").returncode == 0
    assert (server.get("shared", "/env?EVERY").body, server.get("shared", "/env?OWN").body) == ("", "mine")
    assert server.ssh("config:global:unset", "EVERY", "OWN", "--no-restart").returncode == 0


def test_logs_go_with_the_app_and_not_with_its_name(server: Server, tiny_app: Callable[..., Path]) -> None:
    """From how an earlier version kept them, over a rename, to an app that is made anew under the name."""
    repository = tiny_app("billing")
    server.push_ok(repository, "billing")
    [(first,)] = server.database("SELECT max(id) FROM deploys")
    run = server.ssh("run", "--detach", "billing", "/tiny", "release").stdout.strip()
    wait_until(lambda: "[exit code" in server.ssh("logs:run", "billing", run).stdout, 20, "the run ends")
    server.get("billing", "/log?in-v1")
    assert server.ssh("ps:restart", "billing").returncode == 0
    wait_until(lambda: len(server.containers("gitship.app=billing")) == 1, 30, "the first container has ended")

    def read(app: str) -> list[str]:
        words = (("logs:deploy", app, str(first)), ("logs:run", app, run), ("logs", app, "--release", "v1"))
        return [server.ssh(*command).stdout for command in words]

    before = read("billing")
    assert "Switched" in before[0] and "[exit code" in before[1] and "in-v1" in before[2]
    server.stop()
    place = server.app_logs("billing")
    place.rename(place.with_name("billing"))
    server.start()
    assert read("billing") == before and not place.with_name("billing").exists()
    assert server.ssh("apps:rename", "billing", "invoices").returncode == 0
    after = read("invoices")
    assert after[:2] == before[:2] and after[2].startswith(before[2])  # then what its containers said in the rename
    assert server.app_logs("invoices") == place

    server.push_ok(repository, "billing")
    assert server.ssh("logs:run", "billing", run).returncode != 0
    assert server.ssh("logs:deploy", "billing", str(first)).returncode != 0
    assert "in-v1" not in server.ssh("logs", "billing", "--release", "v1").stdout
    assert server.ssh("apps:destroy", "invoices", "--force").returncode == 0
    assert not place.exists() and server.app_logs("billing").is_dir()
