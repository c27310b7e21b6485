from __future__ import annotations

import pytest

from gitship.commands.config import ENVIRONMENT_BYTES, VARIABLE_BYTES
from tests.unit.commands.world import World

VALUES = {
    "SPACES": "two  words ",
    "QUOTES": """a "b" 'c' `d`""",
    "DOLLAR": "$HOME ${X} $(id) \\n %s",
    "LINES": "one\ntwo\r\n\tthree",
    "UTF8": "grüße 你好 🚀",
    "EQUALS": "a=b=c",
    "DASHES": "--force",
    "EMPTY": "",
    "LONG": "x" * 65536,
    "MARKUP": "[bold]x[/bold] :smile:",
}


def values(world: World) -> dict[str, str]:
    rows = world.ok("config:show", "shop", "--reveal", "--format", "json").json
    return {row["name"]: row["value"] for row in rows}


def test_values_survive_exactly(shop: World) -> None:
    shop.ok("config:set", "shop", *(f"{name}={value}" for name, value in VALUES.items()))
    assert values(shop) == VALUES
    assert shop.store.releases(shop.store.app("shop").id)[0].config == VALUES
    for name, value in VALUES.items():
        assert shop.ok("config:get", "shop", name).out == value + "\n"


def test_a_value_from_standard_input_loses_one_line_end_only(shop: World) -> None:
    client = shop.run("config:set", "shop", "A=1", "--stdin", "PEM", stdin="-----\nkey ü\n\n".encode())
    assert client.code == 0, client.err
    assert values(shop) == {"A": "1", "PEM": "-----\nkey ü\n"}


def test_a_change_deploys_and_prints_names_but_no_value(shop: World) -> None:
    client = shop.ok("config:set", "shop", "SECRET=swordfish", "B=2")
    assert client.out.startswith("setting SECRET, B for shop\n-----> Deploy 2")
    assert "v2" in client.out
    assert "swordfish" not in client.out + client.err
    assert shop.store.deploy(2).kind == "config"


def test_an_app_without_a_release_only_remembers(world: World) -> None:
    world.ok("apps:create", "shop")
    client = world.ok("config:set", "shop", "A=1")
    assert client.out == "set A for shop\n"
    assert "the next deploy uses it" in client.err
    assert values(world) == {"A": "1"}


def test_what_is_set_already_deploys_nothing(shop: World) -> None:
    shop.ok("config:set", "shop", "A=1")
    client = shop.ok("config:set", "shop", "A=1")
    assert "no change: these values are already set" in client.err
    assert len(shop.store.deploys(1)) == 2


def test_unset_removes_and_deploys(shop: World) -> None:
    shop.ok("config:set", "shop", "A=1", "B=2")
    shop.ok("config:unset", "shop", "A")
    assert values(shop) == {"B": "2"}
    assert shop.store.releases(1)[0].config == {"B": "2"}


def test_unset_of_an_unknown_name_changes_nothing(shop: World) -> None:
    shop.ok("config:set", "shop", "COLOUR=1", "B=2")
    client = shop.run("config:unset", "shop", "B", "COLOR")
    assert client.code == 3
    assert "did you mean COLOUR?" in client.err
    assert values(shop) == {"COLOUR": "1", "B": "2"}


def test_values_are_hidden_unless_asked_for(shop: World) -> None:
    shop.ok("config:set", "shop", "SECRET=swordfish")
    for argv in (("config", "shop"), ("config:show", "shop"), ("config:show", "shop", "--format", "json")):
        client = shop.ok(*argv)
        assert "SECRET" in client.out
        assert "swordfish" not in client.out
    assert "swordfish" in shop.ok("config:show", "shop", "--reveal").out


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("A=x", "y"), 2, "quotes for both shells"),
        (("1A=x",), 2, "not a variable name"),
        (("A-B=x",), 2, "not a variable name"),
        (("=x",), 2, "not a variable name"),
        (("A=1", "A=2"), 2, "twice"),
        ((), 2, "nothing to set"),
        (("A=a\0b",), 1, "NUL"),
        (("A=\udcff",), 1, "not UTF-8"),
        (("A=" + "x" * (VARIABLE_BYTES - 1),), 1, "bytes long"),
    ],
)
def test_what_cannot_be_a_variable_is_refused_whole(shop: World, argv: tuple[str, ...], code: int, says: str) -> None:
    client = shop.run("config:set", "shop", "GOOD=1", *argv) if argv else shop.run("config:set", "shop")
    assert client.code == code
    assert says in client.err
    assert values(shop) == {}


def test_the_largest_variable_that_linux_takes_is_taken(shop: World) -> None:
    shop.ok("config:set", "shop", "A=" + "x" * (VARIABLE_BYTES - 2))
    assert len(values(shop)["A"]) == VARIABLE_BYTES - 2


def test_all_together_have_a_limit(world: World) -> None:
    world.ok("apps:create", "shop")
    each = "x" * 100_000
    for number in range(ENVIRONMENT_BYTES // 100_100):
        world.ok("config:set", "shop", f"V{number}={each}")
    client = world.run("config:set", "shop", f"LAST={each}")
    assert client.code == 1
    assert f" bytes; the limit is {ENVIRONMENT_BYTES:,}" in client.err


def test_every_variable_is_unset_at_once_when_that_is_said(world: World) -> None:
    world.ok("apps:create", "shop")
    world.ok("config:set", "shop", "A=1", "B=2")
    for words in ((), ("A", "--all")):
        assert world.run("config:unset", "shop", *words).code == 2
    world.ok("config:unset", "shop", "--all")
    assert world.store.config(world.store.app("shop").id) == {}
    assert "no change: these values are already set" in world.ok("config:unset", "shop", "--all").err
