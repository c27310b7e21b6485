"""The manual's generated parts say what is declared, all of it."""

from __future__ import annotations

import re

import pytest

from gitship import config, docs
from gitship.appfiles import app_json, gitship_toml
from gitship.console import command_registry, reference
from gitship.errors import ConfigError
from tests.manual import TEXTS

ALL = "\n".join(TEXTS.values())


def test_the_manual_is_up_to_date() -> None:
    made = reference.blocks()
    for text in TEXTS.values():
        assert reference.updated(text, made) == text, "run: python -m gitship.console.reference --write"


def test_every_generated_part_stands_in_one_file() -> None:
    for name in reference.blocks():
        assert ALL.count(f"<!-- {name}:begin -->\n\n") == ALL.count(f"\n\n<!-- {name}:end -->") == 1, name


def test_every_command_with_its_arguments_and_keys_is_in_it() -> None:
    text = docs.topics()["commands"].text
    for command in command_registry.load().values():
        if command.hidden:
            assert command.name not in text
            continue
        section = re.split(r"\n##+ ", text.partition(f"\n### {command.name}\n")[2])[0]
        assert f"`{command_registry.usage(command)}`" in section, command.name
        assert f"Role: {command.role}." in section
        for argument in command_registry.arguments(command):
            assert argument.about, (command.name, argument.names)
            assert all(f"`{name}`" in section for name in argument.names)
        assert all(f"`{column.key}` ({column.about})" in section for column in command.columns)
        assert all(f"`{example}`" in section for example in command.examples)


@pytest.mark.parametrize(
    ("topic", "rows"),
    [("settings", config.reference()), ("gitship-toml", gitship_toml.reference()), ("app-json", app_json.KEYS)],
)
def test_every_key_is_in_it(topic: str, rows: list[tuple[str, str, str]]) -> None:
    assert len(rows) > 20
    for key, default, about in rows:
        escaped = about.replace("|", "\\|")
        assert f"| `{key}` | {f'`{default}`' if default else ''} | {escaped} |" in docs.topics()[topic].text


@pytest.mark.parametrize("key", [key for key, _, _ in app_json.KEYS if key != "env.<name>"])
def test_app_json_reads_each_key_that_the_manual_names(key: str) -> None:
    """A value of no right kind is refused under its path, so something reads it."""
    words = key.replace("<type>", "web").replace("<name>", "NAME").split(".")
    text = "[{}]" if words[-1] in ("value", "generator", "httpHeaders") else "{}"
    beside = {"command": '"./x"', "schedule": '"@daily"'} if words[0] == "cron[]" else {}
    for word in reversed(words):
        inner = {**beside, word.removesuffix("[]"): f"[{text}]" if word.endswith("[]") else text}
        text = "{" + ", ".join(f'"{name}": {value}' for name, value in inner.items()) + "}"
        beside = {}
    with pytest.raises(ConfigError, match=re.escape(".".join(words).replace("[]", "[0]"))):
        app_json.parse(text.encode())


def test_defaults_are_as_a_user_writes_them() -> None:
    defaults = {key: default for key, default, _ in config.reference()}
    assert defaults["docker.min_free"] == "500m"
    assert defaults["disk.build_cache"] == "20g"
    assert defaults["docker.build_memory"] == "0"
    assert (defaults["docker.firewall"], defaults["web.public"]) == ("true", "false")
    assert (defaults["deploy.drain_timeout"], defaults["docker.build_share"]) == ("30", "0.25")
    assert defaults["docker.host_paths"] == "[]"


def test_every_command_has_an_example_that_parses() -> None:
    for command in command_registry.load().values():
        if command.hidden:
            continue
        assert command.examples, command.name
        for example in command.examples:
            name, *tokens = re.split(" [<>] ", example)[0].split()
            assert name == command.name
            command_registry.parse(command, command_registry.delimited(command, tuple(tokens)))


def test_only_the_text_between_the_markers_changes() -> None:
    text = "before\n<!-- roles:begin -->\nwhat stood there\n<!-- roles:end -->\nafter\n"
    new = reference.updated(text, {"roles": "made"})
    assert new == "before\n<!-- roles:begin -->\n\nmade\n\n<!-- roles:end -->\nafter\n"
    assert reference.updated(new, {"roles": "made"}) == new
