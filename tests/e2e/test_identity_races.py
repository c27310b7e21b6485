"""Rights and names that change in the very moment in which others act, many times over."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.commands import add_key, ok
from tests.e2e.harness import Server, make_key
from tests.e2e.held import HeldCommand

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROUNDS = 6
AT_ONCE = 6
STORM_COMMANDS = 60


def config(server: Server, app: str) -> set[str]:
    rows = server.database("SELECT c.name FROM config c JOIN apps a ON a.id = c.app_id WHERE a.name = ?", app)
    return {str(name) for (name,) in rows}


def test_nothing_is_set_by_a_key_once_its_removal_is_done(server: Server) -> None:
    """Who was told that it was done can rely on that, and the audit log knows of each whether it was."""
    ok(server, "apps:create", "raced")
    refused = 0
    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        for number in range(ROUNDS):
            key = add_key(server, f"racer{number}")
            names = [f"R{number}N{n}" for n in range(AT_ONCE)]
            held = {name: HeldCommand(server, key, "config:import", "raced") for name in names}
            running = {name: pool.submit(command.give, f"{name}=1\n") for name, command in held.items()}
            ending = pool.submit(server.ssh, *random.choice(
                [("keys:remove", f"racer{number}"), ("keys:limit", f"racer{number}", "--no-apps")]
            ))  # fmt: skip
            assert ending.result().returncode == 0
            there = config(server, "raced")
            codes = {name: result.result() for name, result in running.items()}
            assert config(server, "raced") == there, "something was set after the right was gone"
            done = there & set(names)
            assert {name for name, code in codes.items() if code == 0} <= done
            sql = "SELECT count(*) FROM audit WHERE key_name = ? AND outcome = 'ok'"
            assert server.database(sql, f"racer{number}") == [(len(done),)]
            refused += sum(code != 0 for code in codes.values())
    print(f"{refused} of {ROUNDS * AT_ONCE} were refused")


def test_a_storm_of_names_and_rights_holds_nothing_up(server: Server, tiny_app: Callable[..., Path]) -> None:
    """Renames, removals, limits, pushes and pauses at once: no lock waits for another that waits for it."""
    server.push_ok(tiny_app("stormy"), "stormy")
    repository = tiny_app("storm-source")
    public = {f"s{n}": Path(f"{make_key(server.base / f's{n}')}.pub").read_text() for n in range(3)}
    streams = [HeldCommand(server, server.key, "logs", "stormy", "-f")]
    for name, text in public.items():
        ok(server, "keys:add", name, stdin=text)
    choices = random.Random(5)

    def one(number: int) -> None:
        name, app = f"s{number % 3}", choices.choice(["stormy", "storm-b", "storm-c"])
        other = choices.choice(["stormy", "storm-b", "storm-c"])
        words = choices.choice([
            ("apps:rename", app, other), ("apps:create", app), ("apps:destroy", app, "--force"),
            ("keys:limit", name, app), ("keys:grant", name, "--all"), ("keys:remove", name), ("keys:add", name),
            ("config:set", app, f"A={number}", "--detach"), ("ps:pause", app, "--for", "1s"), ("ps:restart", app),
            ("maintenance:on", app), ("maintenance:off", app), ("domains:add", app, f"d{number}.example.com"),
            ("releases:promote", app, other), ("deploys:cancel", app), ("push",), ("push", "no-deploy"),
        ])  # fmt: skip
        key = server.base / name if choices.random() < 0.5 else server.key
        if words[0] == "push":
            options = ("-o", "no-deploy") if len(words) > 1 else ()
            ref = "HEAD:refs/heads/side" if len(words) > 1 else "main"
            server.push(repository, app, *options, refspec=ref, key=key)
        else:
            stdin = public[name] if words[0] == "keys:add" else ""
            server.ssh(*words, key=server.key if words[0].startswith("keys") else key, stdin=stdin)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(one, range(STORM_COMMANDS)))
    ok(server, "apps:create", "after-the-storm", timeout_s=20)
    for stream in streams:
        stream.process.kill()
        stream.ended()
    assert "Traceback" not in server.logs, server.logs[server.logs.index("Traceback") - 1500 :][:6000]
    server.restart()
    ok(server, "apps:list", timeout_s=20)
