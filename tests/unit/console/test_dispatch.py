"""From words to exit codes."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitship.console import command_registry
from gitship.model import Role
from tests.unit.commands.world import World


@pytest.mark.parametrize("argv", [(), ("help",), ("--help",), ("-h",)])
def test_no_words_and_help_list_every_command_by_noun(world: World, argv: tuple[str, ...]) -> None:
    client = world.run(*argv)
    assert (client.code, client.err) == (0, "")
    for command in command_registry.load().values():
        assert (f"  {command.name} " in client.out) is not command.hidden
    assert "ssh -p 2222 deploy@example.com" in client.out


@pytest.mark.parametrize(
    "argv", [("help", "config:set"), ("config:set", "--help"), ("config:set", "shop", "A=1", "-h")]
)
def test_help_of_a_command_tells_arguments_role_and_examples(world: World, argv: tuple[str, ...]) -> None:
    client = world.run(*argv)
    assert client.code == 0
    for part in ("config:set APP [NAME=VALUE ...]", "--detach", "the app's name", "role deployer", "LOG_LEVEL=debug"):
        assert part in client.out


@pytest.mark.parametrize(
    "line",
    [
        "apps:create UPPER", "allow:add shop nonsense", "auth:set shop a:b", "bodylimit:set shop lots",
        "builder:set shop --dockerfile ../x", "cache:purge shop --url [", "cache:set shop --ttl lots",
        "capabilities:add shop NOPE", "checks:set shop --timeout -1", "config:set shop 1A=2",
        "cron:add shop x -- true", "domains:add shop a..b", "git:from-image shop a::b", "git:set shop deploy-branch ..",
        "https:enable shop --hsts x", "logs shop --since nope", "notify:add n ftp://x",
        "notify:add n http://x --events nope", "ports:set shop lots", "ps:pause shop --for x", "ps:scale shop web=-1",
        "ratelimit:set shop --requests 5 --per x", "releases:rollback shop abc", "resources:limit shop --memory abc",
        "run shop --timeout x -- true", "storage:mount shop data:rel", "storage:mount shop nonsense",
    ],
)  # fmt: skip
def test_a_word_that_is_nothing_of_its_kind_ends_with_2(world: World, line: str) -> None:
    """Whatever exists: a script tells what it typed wrongly from what is not there, or not now."""
    world.ok("apps:create", "shop")
    client = world.run(*line.split())
    assert (client.code, client.out) == (2, ""), client.err
    assert client.err.startswith("error: ") and "hint: " in client.err


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("releases:rollback shop 99", "see `releases:list shop`"),
        ("domains:remove shop a.example", "see `domains:list shop`"),
        ("apps:info elsewhere", "see `apps:list`"),
    ],
)
def test_a_hint_can_be_typed_as_it_stands(world: World, line: str, hint: str) -> None:
    world.memory.push("shop")
    assert hint in world.run(*line.split()).err


def test_help_flag_after_the_delimiter_is_a_value(world: World) -> None:
    client = world.run("config:set", "shop", "--", "--help")
    assert client.code == 2
    assert "'--help' is not NAME=VALUE" in client.err


def test_help_of_a_noun_lists_its_commands_only(world: World) -> None:
    client = world.run("help", "ps")
    assert client.code == 0
    assert "ps:scale" in client.out
    assert "apps:list" not in client.out


def test_help_of_a_command_that_is_a_noun_too_tells_of_the_command(world: World) -> None:
    assert "--since" in world.run("help", "logs").out


def test_no_line_of_help_is_longer_than_its_reader_has_room_for(world: World) -> None:
    for name, item in command_registry.load().items():
        if item.hidden:
            continue
        for columns, client in (
            (100, world.run("help", name)),
            (70, world.run("help", name, pty=True, columns=70)),
        ):
            lines = re.sub(r"\x1b\[[0-9;]*m", "", client.out).splitlines()
            usage, after = lines[0], lines[1 : lines.index("Examples") if "Examples" in lines else None]
            assert usage == command_registry.usage(item)
            long = [line for line in after if len(line) > columns and len(line.split("  ")[-1]) > 24]
            assert long == [], (name, columns)


def test_the_overview_gives_a_long_usage_a_line_of_its_own(world: World) -> None:
    lines = world.run("help").out.splitlines()
    at = lines.index("  capabilities:add APP [CAPABILITY ...]")
    assert lines[at + 1].startswith(" " * 35 + "add kernel capabilities")
    [other] = [line for line in lines if line.startswith("  apps:list")]
    assert other[34:].startswith(" list your apps")


def test_no_help_has_a_line_break_within_a_sentence() -> None:
    for name, item in command_registry.load().items():
        assert "\n" not in item.details and "\n" not in item.about, name
        assert all(argument.default not in ("()", "None") for argument in command_registry.arguments(item)), name


def test_help_of_nothing_known_names_the_nearest(world: World) -> None:
    client = world.run("help", "config:sett")
    assert client.code == 2
    assert "hint: did you mean `help config:set`?" in client.err


def test_unknown_command_names_the_nearest_and_exits_2(world: World) -> None:
    client = world.run("app:create", "shop")
    assert client.code == 2
    assert client.out == ""
    assert client.err == "error: no command 'app:create'\nhint: did you mean `apps:create`?\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("apps:create",), "error: APP is missing\nhint: usage: apps:create APP;"),
        (("apps:create", "a", "b"), "error: too many arguments: 'b'\n"),
        (("logs", "shop", "--folow"), "did you mean --follow?"),
        (("logs", "shop", "-n", "many"), "unable to convert"),
        (("apps:list", "--format", "xml"), '"table", "json"'),
        (("logs:deploy", "shop", "x"), "unable to convert"),
        (("config:set", "shop", "--context", "x"), "unknown option: --context"),
    ],
)
def test_wrong_words_are_explained_with_the_usage_and_exit_2(world: World, argv: tuple[str, ...], says: str) -> None:
    client = world.run(*argv)
    assert client.code == 2
    assert says.lower() in client.err.lower()
    assert "hint: usage: " in client.err


def test_an_error_goes_to_stderr_with_its_hint_and_exits_1(world: World) -> None:
    world.ok("apps:create", "shop")
    client = world.run("config:show", "shpo")
    assert (client.code, client.out) == (1, "")
    assert client.err == "error: no app 'shpo'\nhint: did you mean 'shop'?\n"


@pytest.mark.parametrize(("short", "full"), [("apps", "NAME"), ("keys", "ROLE"), ("--version", "gitship ")])
def test_short_names_work(world: World, short: str, full: str) -> None:
    world.ok("apps:create", "shop")
    world.store.add_key("ada", "SHA256:x", "ssh-ed25519 AAAA", Role.ADMIN)
    assert full in world.ok(short).out


@pytest.mark.parametrize("short", ["config", "ps", "releases", "domains", "deploys"])
def test_a_noun_alone_lists(world: World, short: str) -> None:
    world.memory.push("shop")
    world.ok("config:set", "shop", "A=1")
    assert len(world.ok(short, "shop").out.splitlines()) >= 2


def test_aliases_never_hide_another_command() -> None:
    commands = command_registry.load()
    aliases = [alias for command in commands.values() for alias in command.aliases]
    assert len(aliases) == len(set(aliases))
    assert not set(aliases) & set(commands)


def test_what_was_typed_cannot_write_to_the_terminal(world: World) -> None:
    client = world.run("apps\x1b]0;owned\x07:list", pty=True)
    assert "\x1b]0" not in client.err
    assert "\x07" not in client.err


WORDS = st.one_of(
    st.sampled_from(
        ["shop", "web=1", "A=1", "v1", "--force", "--detach", "-n", "0", "--", "--format", "json", "", "-"]
    ),
    st.text(max_size=20),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(command_registry.load())), words=st.lists(WORDS, max_size=5), pty=st.booleans())
def test_no_words_make_anything_but_an_answer(world: World, name: str, words: list[str], pty: bool) -> None:
    if world.store.find_app("shop") is None:
        world.memory.push("shop")
    follows = ("-f", "--follow")
    client = world.run(name, *(w for w in words if not w.startswith(follows)), pty=pty)
    assert client.code in (0, 1, 2, 3, 130)
    if client.code in (1, 2):
        assert "error: " in client.err.replace("\x1b[1;31m", "")


def test_quiet_leaves_results_and_errors_only(world: World) -> None:
    world.memory.push("shop")
    world.memory.push("blog")
    assert world.ok("apps:list", "--quiet").out == "blog\nshop\n"
    assert world.ok("-h", "-q").out
    empty = world.ok("domains:list", "shop", "-q")
    assert (empty.out, empty.err) == ("shop.example.com\n", "")
    none = world.ok("redirects:list", "shop", "-q")
    assert (none.out, none.err) == ("", "")
    assert [row["name"] for row in world.ok("apps:list", "-q", "--format", "json").json] == ["blog", "shop"]
    restarted = world.ok("ps:restart", "shop", "--quiet")
    assert (restarted.out, restarted.err) == ("", "")
    wrong = world.run("apps:info", "nothing", "--quiet")
    assert (wrong.code, wrong.out) == (1, "")
    assert "no app 'nothing'" in wrong.err


def test_quiet_after_a_programs_first_word_is_the_programs(world: World) -> None:
    world.memory.push("shop")
    world.ok("run", "-q", "shop", "echo", "-q")
    [(_, command)] = world.memory.programs.ran
    assert command.words == ("echo", "-q")
