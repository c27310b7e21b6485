"""README's reference says what is declared, all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gitship import config
from gitship.appfiles import gitship_toml
from gitship.console import command_registry, reference

pytestmark = pytest.mark.unit

README = Path(__file__).parents[3] / "README.md"


def test_readme_is_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    assert reference.updated(text) == text, "run: python -m gitship.console.reference --write README.md"


def test_every_command_with_its_arguments_and_keys_is_in_it() -> None:
    text = README.read_text(encoding="utf-8")
    for command in command_registry.load().values():
        if command.hidden:
            assert command.name not in text
            continue
        section = text.partition(f"**`{command_registry.usage(command)}`**")[2].partition("\n**`")[0]
        assert section, command.name
        assert f"Role: {command.role}." in section
        for argument in command_registry.arguments(command):
            assert argument.about, (command.name, argument.names)
            assert all(f"`{name}`" in section for name in argument.names)
        assert all(f"`{column.key}` ({column.about})" in section for column in command.columns)
        assert all(f"`{example}`" in section for example in command.examples)


def test_every_setting_is_in_it() -> None:
    text = README.read_text(encoding="utf-8")
    rows = [*config.reference(), *gitship_toml.reference()]
    assert len(rows) > 20
    for key, default, about in rows:
        escaped = about.replace("|", "\\|")
        assert f"| `{key}` | `{default}` | {escaped} |" in text or f"| `{key}` |  | {escaped} |" in text


def test_every_command_has_an_example_that_parses() -> None:
    for command in command_registry.load().values():
        if command.hidden:
            continue
        assert command.examples, command.name
        for example in command.examples:
            name, *tokens = re.split(" [<>] ", example)[0].split()
            assert name == command.name
            command_registry.parse(command, command_registry.delimited(command, tuple(tokens)))


def test_only_the_text_between_the_markers_changes(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    table = f"{reference.DOKKU_BEGIN}\nan old table\n{reference.DOKKU_END}\nbetween\n"
    text = f"before\n{table}{reference.BEGIN}\nwhat stood there\n{reference.END}\nafter\n"
    file.write_text(text, encoding="utf-8")
    assert reference.main(["--write", str(file)]) == 0
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{reference.DOKKU_BEGIN}\n\n| Dokku | gitship |")
    assert f"{reference.DOKKU_END}\nbetween\n{reference.BEGIN}\n\n### Commands" in text
    assert text.endswith(f"{reference.END}\nafter\n")
    assert "what stood there" not in text and "an old table" not in text
    assert reference.main(["--write", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == text


def test_a_file_without_markers_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "README.md"
    file.write_text("nothing", encoding="utf-8")
    assert reference.main(["--write", str(file)]) == 1
    assert "needs the lines" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "nothing"
