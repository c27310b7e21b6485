"""Listings: JSON with stable keys, plain columns in a pipe, tables of the window's width on a terminal."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from gitship.console import command_registry
from gitship.console.listing import ago, iso, size
from gitship.containers.discrepancies import Change, RepairAction
from gitship.deploy.hook_files import HookPoint, directory
from gitship.engine.types import LogLine
from gitship.git.repository import Repositories
from gitship.model import Role
from tests.unit.commands.happenings import crash
from tests.unit.commands.world import ADA, World

# These print live containers, lines or a plan, and have tests of their own.
OTHERS = {"help", "logs", "run:list", "checks:run", "server:apply", "server:cleanup", "services:info"}
NO_APP = (
    "apps:list",
    "keys:list",
    "audit",
    "config:global:show",
    "registry:list",
    "notify:list",
    "hooks:list",
    "maintenance:list",
    "stats:list",
    "web:tokens",
    "server:reconcile",
    "policy:show",
    "services:list",
    "services:engines",
    "backups:list",
    "backups:schedules",
    "backups:target:list",
)
LISTINGS = sorted(c.name for c in command_registry.load().values() if c.columns and not c.one and c.name not in OTHERS)
SINGLE = sorted(c.name for c in command_registry.load().values() if c.one and c.name not in OTHERS)
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def full(everything: World) -> World:
    """A reconciliation puts right what is amiss."""
    everything.memory.reconciling.amiss = [Change("shop", RepairAction.START, "shop.web.1.v3", "it was exited")]
    return everything


@pytest.fixture(scope="module")
def everything(settled: World) -> World:
    """Something of everything that is listed."""
    world = settled
    world.ok("notify:add", "shop", "https://hooks.example.com/shop")
    world.memory.push("shop")
    world.ok("config:set", "shop", "A=1", "B=2")
    world.ok("domains:add", "shop", "www.example.net")
    world.ok("keys:add", "ada", "--role", "admin", ADA)
    world.ok("allow:add", "shop", "192.0.2.0/24")
    world.ok("redirects:add", "shop", "/old", "/new")
    world.ok("ratelimit:set", "shop", "--requests", "100")
    world.ok("bodylimit:set", "shop", "100m")
    world.ok("builder:set", "shop", "--target", "web")
    world.ok("cron:add", "shop", "nightly", "@daily", "./report")
    world.ok("cron:run", "shop", "nightly")
    world.ok("storage:mount", "shop", "data:/var/lib/shop", "--no-restart")
    world.ok("https:enable", "shop")
    world.ok("config:global:set", "C=3", "--no-restart")
    world.memory.happen(crash(world))
    world.ok("web:token", "grafana")
    service = world.store.create_service("shop", "postgres", "17", "postgres:17", 1 << 29, "db", "x", None)
    target = world.store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    world.store.begin_backup(
        service.subject, target, "ada", engine="postgres", version="17", schedule=None, encrypted=True
    )
    schedule = world.store.add_backup_schedule(service.subject, target, "0 3 * * *", "7d", "ada", 1 << 30)
    archive = world.store.open_archive(service, schedule)
    world.store.change_wal_archive(archive.id, last_at=200.0)
    base = world.store.begin_backup(
        service.subject, target, "ada", engine="postgres", version="17", schedule=None, encrypted=True,
        archive_id=archive.id,
    )  # fmt: skip
    world.store.change_backup(base.id, sha256="a", as_of=100.0)
    assert world.run("auth:set", "shop", "visitor", stdin=b"a long password\n").code == 0
    hook = directory(world.settings.hooks_dir, HookPoint.BEFORE_BUILD) / "10-scan"
    hook.parent.mkdir(parents=True)
    hook.touch(mode=0o755)
    assert world.run("registry:login", "registry.example.com", "ci", stdin=b"a long password\n").code == 0
    Repositories(world.settings.repositories, None).create("shop")
    return world


# These take no app (`notify:log` takes a webhook, `backups:times` a service: each is called as the app is).
def argv(name: str) -> tuple[str, ...]:
    return (name,) if name in NO_APP else (name, "shop")


@pytest.mark.parametrize("name", LISTINGS)
def test_json_has_exactly_the_declared_keys(full: World, name: str) -> None:
    rows = full.ok(*argv(name), "--format", "json").json
    command = command_registry.load()[name]
    assert rows
    for row in rows:
        assert list(row) == [column.key for column in command.columns]
        for key, value in row.items():
            if key.endswith("_at") and value is not None:
                assert ISO.fullmatch(value), (key, value)


@pytest.mark.parametrize("name", SINGLE)
def test_one_thing_is_one_object_with_exactly_the_declared_keys_and_a_line_each(full: World, name: str) -> None:
    shown = full.ok(*argv(name), "--format", "json").json
    columns = command_registry.load()[name].columns
    assert list(shown) == [column.key for column in columns]
    assert all(ISO.fullmatch(value) for key, value in shown.items() if key.endswith("_at") and value is not None)
    lines = full.ok(*argv(name)).out.splitlines()
    assert len(lines) == len([column for column in columns if not column.json_only])
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


def test_whatever_has_documented_keys_is_looked_at_and_can_print_them() -> None:
    with_keys = {c.name for c in command_registry.load().values() if c.columns}
    assert {*LISTINGS, *SINGLE, *OTHERS} == with_keys
    for name in with_keys:
        assert any(
            "--format" in argument.names for argument in command_registry.arguments(command_registry.load()[name])
        ), name


@pytest.mark.parametrize("name", LISTINGS)
def test_a_pipe_gets_aligned_columns_without_colour_or_boxes(full: World, name: str) -> None:
    lines = full.ok(*argv(name)).out.splitlines()
    assert len(lines) >= 2
    assert all(line.isprintable() and line == line.rstrip() for line in lines)
    assert not re.search("[\u2500-\u257f]", "".join(lines))
    for title in re.finditer(r"(?:^|  )(\S)", lines[0]):  # every column begins where its title does
        assert all(
            line[title.start(1) - 1] == " " for line in lines[1:] if title.start(1) and len(line) > title.start(1)
        )


@pytest.mark.parametrize("name", LISTINGS)
@pytest.mark.parametrize("columns", [60, 200])
def test_a_terminal_gets_a_table_within_its_width(full: World, name: str, columns: int) -> None:
    client = full.run(*argv(name), pty=True, columns=columns)
    assert client.code == 0
    assert "\x1b[1m" in client.out
    shown = re.sub(r"\x1b\[[0-9;]*m", "", client.out)
    assert max(cell_len(line) for line in shown.split("\r\n")) <= columns


def test_a_narrow_terminal_loses_no_letter(world: World) -> None:
    name = "a-very-long-name-indeed-of-an-application-for-a-narrow-window"
    world.ok("apps:create", name)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", world.run("apps:list", pty=True, columns=60).out)
    first_column = "".join(line[:20] for line in shown.split("\r\n"))
    assert "…" not in shown
    assert sum(first_column.count(letter) for letter in "vyl") >= sum(name.count(letter) for letter in "vyl")


@pytest.mark.parametrize("pty", [False, True])
def test_every_line_ends_as_its_reader_expects(full: World, pty: bool) -> None:
    client = full.run("apps:list", "--format", "json", pty=pty)
    bare = re.findall(r"(?<!\r)\n", client.out)
    assert ("\r" in client.out) is pty
    assert bool(bare) is not pty


def test_nothing_to_list_is_said_on_stderr_and_is_an_empty_array_in_json(world: World) -> None:
    plain = world.ok("apps:list")
    assert plain.out == ""
    assert "no apps yet" in plain.err
    assert world.ok("apps:list", "--format", "json").json == []


def test_a_key_that_makes_no_app_is_not_told_to_push_one(world: World) -> None:
    assert "git push" in world.ok("apps:list", role=Role.DEPLOYER).err
    viewer = world.ok("apps:list", role=Role.VIEWER).err
    assert "git push" not in viewer and "deployer" in viewer
    limited = world.client("apps:list", role=Role.DEPLOYER)
    limited.session = replace(limited.session, identity=replace(limited.session.identity, apps=frozenset()))
    told = world.go(limited).err
    assert "git push" not in told and f"keys:grant {limited.session.identity.key_name} APP" in told


def test_values_cannot_break_the_table(world: World) -> None:
    world.ok("apps:create", "shop")
    world.ok("config:set", "shop", "A=one\ntwo\x1b[2J[bold]x[/bold]")
    plain = world.ok("config:show", "shop", "--reveal")
    assert plain.out.splitlines()[1] == "A     one\\ntwo\\x1b[2J[bold]x[/bold]"
    assert "\x1b[2J" not in world.run("config:show", "shop", "--reveal", pty=True).out


def test_a_log_in_json_is_one_object_per_line(full: World) -> None:
    full.memory.engine.print_line(LogLine("shop.web.1.v2", 1_700_000_000.25, "stderr", "odd \x1b[1m\ttext"))
    rows = full.ok("logs", "shop", "--format", "json", "--grep", "odd").out.splitlines()
    assert len(rows) == 1
    client = full.ok("logs", "shop", "--format", "json", "--grep", "odd", role=Role.VIEWER)
    assert client.json == {
        "at": "2023-11-14T22:13:20Z",
        "process": "web.1",
        "container": "shop.web.1.v2",
        "stream": "stderr",
        "text": "odd \x1b[1m\ttext",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7200, "2 h ago"),
        (172_800, "2 days ago"),
        (-0.5, "0 s ago"),
        (-9, "in 9 s"),
        (-7200, "in 2 h"),
    ],
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    assert ago(now - timedelta(seconds=seconds), now) == text


def test_times_are_utc() -> None:
    assert iso(datetime.fromisoformat("2026-01-31T12:00:00+02:00")) == "2026-01-31T10:00:00Z"


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (0, "0 B"), (999, "999 B"), (84_000_000, "84 MB"), (5 * 10**12, "5 TB")]
)
def test_sizes_have_a_unit(count: int | None, text: str) -> None:
    assert size(count) == text
