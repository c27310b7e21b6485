"""Keys that are limited to some apps, and the audit log, with the stock ssh and git on a server that really deploys."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import add_key
from tests.e2e.harness import Server, make_key

pytestmark = pytest.mark.e2e


def audit(server: Server, *options: str) -> list[dict[str, Any]]:
    done = server.ssh("audit", "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert isinstance(rows, list)
    return [row for row in rows if row["action"] != "audit"]


def said(done: subprocess.CompletedProcess[str], app: str) -> tuple[int, str, str]:
    return done.returncode, done.stdout.replace(app, "*"), done.stderr.replace(app, "*")


def test_a_limited_key_pushes_to_its_app_and_the_others_do_not_exist(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    shop, secret = tiny_app("shop"), tiny_app("secret", version="s1")
    server.push_ok(secret, "secret")
    assert server.ssh("apps:create", "shop").returncode == 0
    key = add_key(server, "ci", "--role", "deployer", "--app", "shop")

    assert server.push(shop, "shop", key=key).returncode == 0
    assert server.get("shop").body == "v1\n"
    assert [row["name"] for row in json.loads(server.ssh("apps:list", "--format", "json", key=key).stdout)] == ["shop"]

    for git in ("push", "fetch"):
        there, missing = (server.git(shop, git, server.url(app), "main", key=key) for app in ("secret", "absent"))
        assert "no app 'secret'" in there.stderr
        assert said(there, "secret") == said(missing, "absent")
        assert there.returncode != 0
    assert server.get("secret").body == "s1\n"
    assert server.database("SELECT name FROM apps ORDER BY name") == [("secret",), ("shop",)]
    for command in (("ps:restart",), ("config:set", "A=1"), ("logs",), ("apps:create",)):
        there, missing = (server.ssh(command[0], app, *command[1:], key=key) for app in ("secret", "absent"))
        assert said(there, "secret") == said(missing, "absent")
        assert there.returncode == 1

    assert server.ssh("keys:grant", "ci", "secret").returncode == 0
    assert server.git(shop, "fetch", server.url("secret"), "main", key=key).returncode == 0
    assert server.ssh("keys:revoke", "ci", "secret").returncode == 0
    assert "no app 'secret'" in server.git(shop, "fetch", server.url("secret"), "main", key=key).stderr


def test_the_audit_log_has_who_did_what_and_what_came_of_it(server: Server, tiny_app: Callable[..., Path]) -> None:
    key, viewer = add_key(server, "ada"), add_key(server, "eve", "--role", "viewer")
    repository = tiny_app("diary")
    assert server.push(repository, "diary", key=key).returncode == 0
    assert server.push(repository, "diary", key=viewer).returncode != 0
    assert server.push(repository, "diary", refspec="HEAD:refs/heads/other", key=key).returncode != 0
    assert server.push(repository, "diary", key=key).returncode == 0  # nothing to push
    assert server.ssh("config:set", "diary", "TOKEN=swordfish", key=key).returncode == 0
    assert server.ssh("apps:destroy", "diary", "--force", key=key).returncode == 1

    rows = list(reversed(audit(server, "--app", "diary")))
    deploy, last = server.database(
        "SELECT min(d.id), max(d.id) FROM deploys d JOIN apps a ON a.id = app_id WHERE a.name = 'diary'"
    )[0]
    assert [(row["key"], row["action"], row["outcome"], row["detail"]) for row in rows] == [
        ("ada", "git push", "ok", f"deploy {deploy}"),
        ("eve", "git push", "refused", ""),
        ("ada", "git push", "failed", "nothing was deployed"),
        ("ada", "git push", "ok", "nothing was deployed"),
        ("ada", "config:set", "ok", f"TOKEN, deploy {last}"),
        ("ada", "apps:destroy", "refused", ""),
    ]
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", f"{key}.pub"], capture_output=True, text=True, timeout=10, check=True
    ).stdout.split()[1]
    assert {(row["fingerprint"], row["address"]) for row in rows if row["key"] == "ada"} == {(fingerprint, "127.0.0.1")}
    assert "swordfish" not in server.ssh("audit", "-n", "1000").stdout
    assert server.ssh("audit", key=key).returncode == 1


def test_an_unknown_key_is_noted_once_a_minute(server: Server) -> None:
    stranger = make_key(server.base / "stranger")
    for _ in range(3):
        assert "Permission denied" in server.ssh("apps:list", key=stranger).stderr
    rows = [row for row in audit(server) if row["action"] == "login"]
    assert [(row["key"], row["outcome"], row["address"]) for row in rows] == [("", "refused", "127.0.0.1")]
