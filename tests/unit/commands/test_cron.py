"""cron: what is typed becomes an entry that holds at once, over what the release's files say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gitship.model import CronEntry, CronOutcome, Overlap, Role
from gitship.oneoff import crontab
from tests.unit.commands.world import World

FILE_ENTRY = CronEntry("report", "0 3 * * *", ("./report",), "app.json")


@pytest.fixture
def shop(world: World) -> World:
    """An app whose live release has an entry of its own."""
    world.memory.push("shop")
    app = world.store.app("shop")
    live = world.store.release(app.live_release or 0)
    release = world.store.create_release(
        app.id, commit=live.commit, image_id=live.image_id, image_bytes=1, config={}, processes=live.processes,
        cause="push", created_by="ada", cron=(FILE_ENTRY,),
    )  # fmt: skip
    world.store.set_live(app.id, release.id, [])
    return world


def listed(world: World) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in world.ok("cron:list", "shop", "--format", "json").json}


@pytest.mark.parametrize(
    ("typed", "schedule", "words"),
    [
        (("0 3 * * mon", "./x", "-a"), "0 3 * * mon", ["./x", "-a"]),
        (("0", "3", "*", "*", "mon", "./x", "-a"), "0 3 * * mon", ["./x", "-a"]),
        (("@daily", "./x", "0 3"), "@daily", ["./x", "0 3"]),
        (("  0   3 * * 1-5 ", "./x", "--help"), "0 3 * * 1-5", ["./x", "--help"]),
    ],
    ids=str,
)
def test_a_schedule_may_have_lost_its_quotes_on_the_way(
    shop: World, typed: tuple[str, ...], schedule: str, words: list[str]
) -> None:
    assert shop.ok("cron:add", "shop", "nightly", *typed).out == f"added nightly of shop: {schedule}\n"
    row = listed(shop)["nightly"]
    assert (row["schedule"], row["command"], row["source"]) == (schedule, words, "command")
    assert row["next_at"] is not None


def test_options_come_before_the_schedule_and_are_kept(shop: World) -> None:
    shop.ok(
        "cron:add",
        "--timezone",
        "Europe/Berlin",
        "--overlap",
        "queue",
        "--timeout",
        "2h",
        "shop",
        "sync",
        "@hourly",
        "s",
    )
    row = listed(shop)["sync"]
    assert (row["timezone"], row["overlap"], row["timeout"]) == ("Europe/Berlin", "queue", 7200.0)
    entry = crontab.entries(shop.store, shop.store.app("shop"))["sync"]
    assert (entry.overlap, entry.timeout_s) == (Overlap.QUEUE, 7200.0)


def test_one_by_command_counts_over_the_files_until_it_is_removed(shop: World) -> None:
    assert listed(shop)["report"]["source"] == "app.json"
    assert shop.ok("cron:add", "shop", "report", "@weekly", "./mine").out.startswith("changed report")
    assert (listed(shop)["report"]["schedule"], listed(shop)["report"]["source"]) == ("@weekly", "command")
    shop.memory.push("shop")  # a release without entries: those by command stay
    assert listed(shop)["report"]["source"] == "command"
    shop.store.set_live(shop.store.app("shop").id, 2, [])
    removed = shop.ok("cron:remove", "shop", "report")
    assert "the one in app.json applies again: 0 3 * * *" in removed.err
    assert listed(shop)["report"]["schedule"] == "0 3 * * *"
    refused = shop.run("cron:remove", "shop", "report")
    assert refused.code == 1 and "comes from app.json" in refused.err and "cron:suspend shop report" in refused.err


def test_suspend_and_resume_outlive_a_deploy_and_count_over_the_file(shop: World) -> None:
    shop.ok("cron:suspend", "shop", "report")
    assert (listed(shop)["report"]["suspended"], listed(shop)["report"]["next_at"]) == (True, None)
    assert "no change" in shop.ok("cron:suspend", "shop", "report").err
    shop.ok("cron:resume", "shop", "report")
    assert (listed(shop)["report"]["suspended"], listed(shop)["report"]["next_at"] is None) == (False, False)
    app = shop.store.app("shop")
    live = shop.store.release(app.live_release or 0)
    again = shop.store.create_release(
        app.id, commit=None, image_id="x", image_bytes=1, config={}, processes=live.processes, cause="push",
        created_by="ada", cron=(dataclasses.replace(FILE_ENTRY, suspended=True),),
    )  # fmt: skip
    shop.store.set_live(app.id, again.id, [])
    assert listed(shop)["report"]["suspended"] is False


def test_nothing_is_due_while_the_app_is_stopped(shop: World) -> None:
    shop.ok("ps:stop", "shop")
    shop.ok("cron:add", "shop", "nightly", "@daily", "x")
    assert listed(shop)["nightly"]["next_at"] is None
    shop.ok("cron:run", "shop", "nightly")  # somebody wants it


@pytest.mark.parametrize("code", [0, 3])
def test_run_shows_what_is_printed_and_ends_as_the_command_did(shop: World, code: int) -> None:
    shop.memory.runs.code = code
    done = shop.run("cron:run", "shop", "report")
    assert done.code == code
    assert done.out.startswith("./report\n") and "\x1b" not in done.out
    [row] = shop.ok("cron:history", "shop", "--format", "json").json
    assert (row["run"], row["name"], row["by"], row["due_at"], row["exit_code"]) == (1, "report", "ada", None, code)
    assert row["outcome"] == ("failed" if code else "ok")
    log = shop.ok("cron:log", "shop", "report", "1")
    assert log.out == done.out and f"exit code {code}" in log.err


def test_run_tells_other_ends_apart(shop: World) -> None:
    shop.memory.runs.outcome = CronOutcome.TIMED_OUT
    assert shop.run("cron:run", "shop", "report").code == 124
    shop.memory.runs.outcome = CronOutcome.REPLACED
    replaced = shop.run("cron:run", "shop", "report")
    assert replaced.code == 1 and "run 2 of report replaced" in replaced.err
    shop.memory.runs.outcome = CronOutcome.RUNNING
    assert shop.run("cron:run", "shop", "report").code == 130  # the client has gone, it goes on
    assert "run 4 of report has begun" in shop.ok("cron:run", "shop", "report", "--detach").out


def test_history_is_newest_first_and_can_be_cut(shop: World) -> None:
    shop.ok("cron:add", "shop", "other", "@daily", "x")
    for name in ("report", "other", "report"):
        shop.ok("cron:run", "shop", name)
    rows = shop.ok("cron:history", "shop", "--format", "json").json
    assert [(row["run"], row["name"]) for row in rows] == [(3, "report"), (2, "other"), (1, "report")]
    assert [row["run"] for row in shop.ok("cron:history", "shop", "report", "-n", "1", "--format", "json").json] == [3]
    shop.ok("cron:remove", "shop", "other")
    assert [r["run"] for r in shop.ok("cron:history", "shop", "other", "--format", "json").json] == [2]


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (("cron:add", "shop", "Nightly!", "@daily", "x"), 2, "not a name"),
        (("cron:add", "shop", "n"), 2, "the schedule or the command is missing"),
        (("cron:add", "shop", "n", "@daily"), 2, "which command?"),
        (("cron:add", "shop", "n", "0", "3", "*", "*", "*"), 2, "which command?"),
        (("cron:add", "shop", "n", "0 3 * *", "x"), 2, "five fields"),
        (("cron:add", "shop", "n", "61 3 * * *", "x"), 2, "invalid minute '61'"),
        (("cron:add", "shop", "n", "@never", "x"), 2, "@hourly"),
        (("cron:add", "--timezone", "Mars/Base", "shop", "n", "@daily", "x"), 2, "not a known time zone"),
        (("cron:add", "--overlap", "maybe", "shop", "n", "@daily", "x"), 2, "maybe"),
        (("cron:add", "--timeout", "soon", "shop", "n", "@daily", "x"), 2, "not a time"),
        (("cron:remove", "shop", "reprot"), 3, "did you mean 'report'?"),
        (("cron:suspend", "shop", "no"), 1, "no cron entry 'no'"),
        (("cron:resume", "shop", "no"), 1, "no cron entry 'no'"),
        (("cron:run", "shop", "no"), 1, "no cron entry 'no'"),
        (("cron:history", "shop", "no"), 1, "no cron entry 'no'"),
        (("cron:history", "shop", "-n", "0"), 2, "1 or more"),
        (("cron:log", "shop", "report"), 1, "no run that ran"),
        (("cron:log", "shop", "report", "7"), 1, "no run 7"),
        (("cron:log", "shop", "report", "x"), 2, "x"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_bad_input_changes_nothing(shop: World, typed: tuple[str, ...], code: int, said: str) -> None:
    before = shop.store.app_settings(shop.store.app("shop").id)
    done = shop.run(*typed)
    assert (done.code, said in done.err, "hint: " in done.err) == (code, True, True), done.err
    assert shop.store.app_settings(shop.store.app("shop").id) == before


def test_an_app_that_was_never_deployed_keeps_entries_but_runs_none(world: World) -> None:
    world.ok("apps:create", "empty")
    world.ok("cron:add", "empty", "nightly", "@daily", "x")
    assert world.ok("cron:list", "empty", "--format", "json").json[0]["next_at"] is None
    refused = world.run("cron:run", "empty", "nightly")
    assert refused.code == 1 and "never been deployed" in refused.err


def test_so_many_and_no_more(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crontab, "MOST_PER_APP", 2)
    shop.ok("cron:add", "shop", "one", "@daily", "x")
    refused = shop.run("cron:add", "shop", "two", "@daily", "x")
    assert refused.code == 1 and "already has 2 cron entries" in refused.err
    shop.ok("cron:add", "shop", "one", "@weekly", "x")


def test_the_audit_log_has_the_schedule_but_not_the_command(shop: World) -> None:
    shop.ok("cron:add", "shop", "nightly", "@daily", "./x", "--token=swordfish")
    details = [entry.detail for entry in shop.store.audit()]
    assert "nightly @daily" in details and not any("swordfish" in detail for detail in details)


def test_a_viewer_sees_entries_and_history_but_no_output(shop: World) -> None:
    shop.ok("cron:run", "shop", "report")
    assert shop.run("cron:list", "shop", role=Role.VIEWER).code == 0
    assert shop.run("cron:history", "shop", role=Role.VIEWER).code == 0
    assert "no permission" in shop.run("cron:log", "shop", "report", role=Role.VIEWER).err
