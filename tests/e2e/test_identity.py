"""Acts by identity: what was looked up when a command began is looked at again when it acts.

Between the two a client holds its standard input, a question or its pack back, while others destroy the app, make
another of that name, rename it, or take the key's right away.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.commands import add_key, ok
from tests.e2e.harness import Server
from tests.e2e.held import HeldCommand, HeldPush
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def app_id(server: Server, app: str) -> int:
    rows = server.database("SELECT id FROM apps WHERE name = ?", app)
    return int(rows[0][0]) if rows else 0


def begun(server: Server, action: str, app: str) -> None:
    """The command has passed its look-up: it stands in the audit log, and has not ended."""
    sql = "SELECT 1 FROM audit WHERE action = ? AND app = ? AND outcome = 'started'"
    wait_until(lambda: server.database(sql, action, app), 10, f"{action} {app}")


def made_anew(server: Server, app: str) -> int:
    """An admin destroys it, and makes another of that name."""
    ok(server, "apps:destroy", app, "--force")
    ok(server, "apps:create", app)
    return app_id(server, app)


def test_a_dropped_first_push_takes_no_other_app_with_it(server: Server, tiny_app: Callable[..., Path]) -> None:
    deployer = add_key(server, "dropper")
    held = HeldCommand(server, deployer, "git-receive-pack", "billing")
    wait_until(lambda: app_id(server, "billing"), 10, "the app of the push")
    first = app_id(server, "billing")
    ok(server, "apps:destroy", "billing", "--force")
    server.push_ok(tiny_app("billing"), "billing")
    ok(server, "storage:mount", "billing", "data:/data")
    held.process.kill()
    held.ended()
    wait_until(
        lambda: server.database("SELECT 1 FROM audit WHERE action = 'git push' AND outcome <> 'started' AND"
                                " key_name = 'dropper'"),
        10, "the end of the dropped push",
    )  # fmt: skip
    assert app_id(server, "billing") not in (0, first)
    assert server.get("billing").body == "v1\n"
    assert "data" in ok(server, "storage:list", "billing")


def test_a_first_push_that_was_dropped_leaves_what_others_have_set(server: Server) -> None:
    deployer = add_key(server, "second")
    for app, command in (("untouched", ()), ("wanted", ("config:set", "wanted", "A=1"))):
        held = HeldCommand(server, deployer, "git-receive-pack", app)
        wait_until(partial(app_id, server, app), 10, "the app of the push")
        if command:
            ok(server, *command)
        held.process.kill()
        held.ended()
    wait_until(lambda: not app_id(server, "untouched"), 10, "the app of the dropped push is gone")
    sql = "SELECT 1 FROM audit WHERE action = 'git push' AND app = 'untouched' AND detail LIKE '%was removed'"
    wait_until(lambda: server.database(sql), 10, "the audit log says so")
    assert ok(server, "config:get", "wanted", "A") == "1\n"


def test_the_answer_to_a_question_is_for_the_app_that_was_asked_about(server: Server) -> None:
    ok(server, "apps:create", "old")
    held = HeldCommand(server, server.key, "apps:destroy", "old", terminal=True)
    held.until_said("Type its name to continue")
    ok(server, "apps:rename", "old", "older")
    ok(server, "apps:create", "old")
    there = {app: app_id(server, app) for app in ("old", "older")}
    assert held.give("old\r") == 1
    assert "old is now called older" in held.said
    assert {app: app_id(server, app) for app in ("old", "older")} == there


@pytest.mark.parametrize(
    ("command", "given", "left"),
    [
        (("errors:set", "--page", "-"), "<p>mine</p>", "SELECT 1 FROM settings WHERE app_id = ?"),
        (("auth:set", "ada"), "a long password\n", "SELECT 1 FROM settings WHERE app_id = ?"),
        (("maintenance:on", "--page", "-"), "<p>mine</p>", "SELECT 1 FROM settings WHERE app_id = ?"),
        (("config:import",), "A=1\n", "SELECT 1 FROM config WHERE app_id = ?"),
    ],
)
def test_what_waits_for_its_input_acts_on_no_other_app(
    server: Server, command: tuple[str, ...], given: str, left: str
) -> None:
    app = command[0].replace(":", "-")
    ok(server, "apps:create", app)
    deployer = add_key(server, f"key-{app}", "--app", app)
    held = HeldCommand(server, deployer, command[0], app, *command[1:])
    begun(server, command[0], app)
    new = made_anew(server, app)
    code = held.give(given)
    assert code != 0, held.said
    assert server.database(left, new) == []


def test_a_held_push_of_another_branch_stores_nothing_in_another_app(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("stored")
    ok(server, "apps:create", "stored")
    deployer = add_key(server, "storer", "--app", "stored")
    held = HeldPush(server, deployer, repository, "stored", "-o", "no-deploy", ref="HEAD:refs/heads/feature")
    made_anew(server, "stored")
    code, said = held.go_on()
    assert code != 0, said
    assert server.server_ref("stored", "refs/heads/feature") is None
    assert not any((server.data_dir / "repos" / "stored.git" / "objects").glob("[0-9a-f][0-9a-f]"))


def test_a_held_fetch_reads_no_other_app_of_that_name(server: Server, tiny_app: Callable[..., Path]) -> None:
    ok(server, "apps:create", "read")
    mine = tiny_app("mine")
    branch = "HEAD:refs/heads/feature"
    assert server.push(mine, "read", "-o", "no-deploy", refspec=branch).returncode == 0
    key = add_key(server, "reader", "--app", "read")
    held = HeldCommand(server, key, "git-upload-pack", "read", protocol="version=2")
    held.until_said("ls-refs")
    ok(server, "apps:rename", "read", "renamed")
    ok(server, "apps:create", "read")
    theirs = tiny_app("theirs", version="secret")
    assert server.push(theirs, "read", "-o", "no-deploy", refspec=branch).returncode == 0
    held.give("0014command=ls-refs\n00010000")
    assert apps.git(theirs, "rev-parse", "HEAD") not in held.said
    assert apps.git(mine, "rev-parse", "HEAD") in held.said


def test_a_removed_or_limited_key_goes_on_with_nothing(server: Server, base: Path) -> None:
    server.push_ok(apps.busybox(base / "kept"), "kept")
    ok(server, "apps:create", "other")
    for ended in (("keys:remove", "gone"), ("keys:limit", "gone", "other")):
        key = add_key(server, "gone")
        commands = [
            HeldCommand(server, key, "logs", "kept", "-f"),
            HeldCommand(server, key, "run", "kept", "/bin/busybox", "cat"),
            HeldCommand(server, key, "enter", "kept", "web", "/bin/busybox", "cat"),
            HeldCommand(server, key, "errors:set", "kept", "--page", "-"),
        ]
        begun(server, "errors:set", "kept")
        wait_until(lambda: len(server.containers("gitship.app=kept")) == 2, 20, "the one-off container runs")
        ok(server, *ended)
        for command in commands:
            assert command.ended() in (1, 255), command.said
            assert "key" in command.said
        wait_until(lambda: len(server.containers("gitship.app=kept")) == 1, 20, "the one-off container ends")
        assert server.database("SELECT 1 FROM settings WHERE name = 'error-page'") == []
        if ended[0] == "keys:limit":
            ok(server, "keys:remove", "gone")


def test_a_push_that_was_held_back_goes_nowhere_without_its_key(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("pushed")
    server.push_ok(repository, "pushed")
    ok(server, "apps:create", "other-app")
    for ended in (("keys:remove", "late"), ("keys:limit", "late", "other-app")):
        key = add_key(server, "late")
        apps.commit(repository, "v2", {"Dockerfile": apps.tiny_dockerfile("v2")})
        before = server.server_ref("pushed")
        held = HeldPush(server, key, repository, "pushed")
        ok(server, *ended)
        code, said = held.go_on()
        assert code != 0, said
        assert server.server_ref("pushed") == before
        assert server.get("pushed").body == "v1\n"
        if ended[0] == "keys:limit":
            ok(server, "keys:remove", "late")
