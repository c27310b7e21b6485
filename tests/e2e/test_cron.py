"""Cron on a real server: entries of the files and by command, runs by hand and by the clock, kill -9, limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.commands import ok, shown
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

APP = "almanac"
APP_JSON = json.dumps({"cron": [{"command": "sh -c 'echo $COLOUR; exit 3'", "schedule": "0 3 * * *"}]})
TOML = """
[cron.slow]
schedule = "0 4 1 1 *"
command = "echo begun; sleep 5; echo done"
timezone = "Europe/Berlin"
overlap = "skip"

[cron.greedy]
schedule = "@yearly"
command = ["dd", "if=/dev/zero", "of=/dev/null", "bs=60M", "count=1"]
"""
BY_APP_JSON = "sh-c-echo-colour-exit-3"


@pytest.fixture(scope="module")
def shop(server: Server, module_base: Path) -> Server:
    """A server with an app whose files have entries, and one by command that is due every minute."""
    repository = module_base / APP
    apps.busybox(repository)
    copies = [f"COPY busybox /bin/{name}" for name in ("sh", "sleep", "dd")]
    text = (apps.APPS / "busybox" / "Dockerfile").read_text().replace("EXPOSE", "\n".join([*copies, "EXPOSE"]))
    apps.commit(repository, "Cron", {"Dockerfile": text, "app.json": APP_JSON, "gitship.toml": TOML})
    server.push_ok(repository, APP)
    ok(server, "config:set", APP, "COLOUR=red")
    assert ok(server, "cron:add", APP, "tick", "'* * * * *'", "sh", "-c", "'echo tick'").startswith("added tick")
    return server


def entries(server: Server) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in shown(server, "cron:list", APP)}


def history(server: Server, name: str) -> list[dict[str, Any]]:
    """Newest first."""
    return list(shown(server, "cron:history", APP, name))


def one_offs(server: Server) -> list[str]:
    return server.containers("gitship.one-off", f"gitship.app={APP}")


def test_entries_of_all_three_sources_are_listed_with_when_they_are_due(shop: Server) -> None:
    found = entries(shop)
    assert {name: row["source"] for name, row in found.items()} == {
        BY_APP_JSON: "app.json", "slow": "gitship.toml", "greedy": "gitship.toml", "tick": "command",
    }  # fmt: skip
    assert found[BY_APP_JSON]["next_at"].endswith("T03:00:00Z")
    assert found["slow"]["next_at"].endswith("-01-01T03:00:00Z")  # 04:00 in Berlin
    assert found["tick"]["next_at"].endswith(":00Z")


def test_a_run_by_hand_streams_and_ends_as_its_command_does(shop: Server) -> None:
    done = shop.ssh("cron:run", APP, BY_APP_JSON)
    assert (done.returncode, done.stdout) == (3, "red\n"), done.stderr
    [run] = history(shop, BY_APP_JSON)
    assert (run["outcome"], run["exit_code"], run["reason"]) == ("failed", 3, "exit code 3")
    assert ok(shop, "cron:log", APP, BY_APP_JSON) == "red\n"
    wait_until(lambda: not [n for n in one_offs(shop) if f"cron-{run['run']}." in n], 10, "its container is gone")


def test_entries_of_files_go_and_come_back_with_their_release(shop: Server, module_base: Path) -> None:
    repository = module_base / APP
    apps.commit(repository, "No app.json", {"app.json": None})
    shop.push_ok(repository, APP)
    assert set(entries(shop)) == {"slow", "greedy", "tick"}
    shop.restart()
    assert set(entries(shop)) == {"slow", "greedy", "tick"}
    ok(shop, "releases:rollback", APP)
    assert set(entries(shop)) == {BY_APP_JSON, "slow", "greedy", "tick"}


def test_a_wrong_entry_fails_the_push_with_its_key(shop: Server, module_base: Path) -> None:
    repository = module_base / APP
    apps.commit(repository, "Wrong", {"gitship.toml": TOML.replace("0 4 1 1 *", "0 24 1 1 *")})
    refused = shop.push(repository, APP)
    assert refused.returncode != 0
    assert "cron.slow.schedule has an invalid hour '24'" in refused.stderr
    assert "slow" in entries(shop)


def test_kill_9_takes_up_what_runs_and_runs_it_once(shop: Server) -> None:
    assert "has begun" in ok(shop, "cron:run", APP, "slow", "--detach")
    refused = shop.ssh("cron:run", APP, "slow")
    assert refused.returncode == 1 and "slow of almanac is already running" in refused.stderr
    shop.kill9()
    shop.start()
    assert history(shop, "slow")[0]["outcome"] in ("running", "ok")  # a busy machine starts gitship slowly
    wait_until(lambda: history(shop, "slow")[0]["outcome"] == "ok", 20, "its end is seen", every_s=0.3)
    assert len(history(shop, "slow")) == 1
    assert ok(shop, "cron:log", APP, "slow") == "begun\ndone\n"


def test_a_container_that_vanished_while_gitship_was_down_does_not_run_for_ever(shop: Server) -> None:
    ok(shop, "cron:run", APP, "slow", "--detach")
    shop.kill9()
    [name] = [n for n in one_offs(shop) if f"cron-{_newest(shop)}." in n]
    docker_cli.docker(shop.docker_host, "rm", "-f", name)
    shop.start()
    wait_until(lambda: history(shop, "slow")[0]["outcome"] == "failed", 20, "it is stopped", every_s=0.3)
    assert "how it ended is unknown" in history(shop, "slow")[0]["reason"]


def _newest(server: Server) -> int:
    sql = "SELECT number FROM cron_runs WHERE entry = 'slow' ORDER BY id DESC LIMIT 1"
    return int(server.database(sql)[0][0])


def test_a_run_over_its_limit_is_killed_and_says_so(shop: Server, module_base: Path) -> None:
    releases = shown(shop, "releases:list", APP)
    assert "the next one-off" in shop.ssh("resources:limit", APP, "--process", "run", "--memory", "16m").stderr
    killed = shop.ssh("cron:run", APP, "greedy")
    assert killed.returncode == 137, killed.stderr
    assert "exit code 137: killed" in history(shop, "greedy")[0]["reason"]
    assert shop.ssh("run", APP, "dd", "if=/dev/zero", "of=/dev/null", "bs=60M", "count=1").returncode == 137
    greedy = "web: /busybox httpd -f\nrelease: dd if=/dev/zero of=/dev/null bs=60M count=1\n"
    apps.commit(module_base / APP, "A greedy release command", {"Procfile": greedy, "gitship.toml": TOML})
    pushed = shop.push(module_base / APP, APP)
    assert pushed.returncode != 0 and "count=1` exited 137" in pushed.stderr
    ok(shop, "resources:unset", APP, "--process", "run")
    assert shop.ssh("cron:run", APP, "greedy").returncode == 0
    live = [row["release"] for row in releases if row["live"]]
    assert live == [r["release"] for r in shown(shop, "releases:list", APP) if r["live"]]


def test_last_what_is_due_every_minute_has_run_once_a_minute(shop: Server) -> None:
    """Stands last: most of its minute has passed in the tests before."""
    wait_until(lambda: [r for r in history(shop, "tick") if r["outcome"] == "ok"], 65, "a minute is over", every_s=0.5)
    runs = history(shop, "tick")
    due = [run["due_at"] for run in runs]
    assert len(set(due)) == len(due) and all(each.endswith(":00Z") for each in due)
    assert ok(shop, "cron:log", APP, "tick") == "tick\n"
    ok(shop, "ps:stop", APP)
    assert entries(shop)["tick"]["next_at"] is None
