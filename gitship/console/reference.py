"""Generates the reference parts of the manual from the declarations: `python -m gitship.console.reference --write`."""

from __future__ import annotations

import argparse
import ast
import functools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

from gitship import config, docs
from gitship.appfiles import app_json, gitship_toml
from gitship.assets import PACKAGE
from gitship.console import command_registry, dispatch, suggestions
from gitship.console.command_registry import Command
from gitship.services import engine_keys
from gitship.services.engine_catalog import EngineCatalog

EXIT_CODES = (
    (dispatch.EXIT_OK, "success, or no change (stderr says so)"),
    (dispatch.EXIT_ERROR, "an error, no permission, or a deploy that did not go live"),
    (
        dispatch.EXIT_USAGE,
        "a usage error: an unknown command or option, or an invalid value, for example `lots` for a size",
    ),
    (
        dispatch.EXIT_UNCHANGED,
        "no change: what should be created exists, or what should be removed does not. An app that does not "
        "exist is an error (1), also for a key that may not see it",
    ),
    (dispatch.EXIT_INTERRUPTED, "interrupted by Ctrl-C; a deploy that was being shown goes on"),
    ("any", "`run`, `enter` and `cron:run` exit with the program's own code; 124: it timed out, 127: it was not found"),
    (255, "from `ssh` itself: no connection, or the key may not log in"),
)
ROLES = (
    ("viewer", "view everything except config values and keys"),
    ("deployer", "also push, deploy and change apps"),
    ("admin", "also manage keys and destroy apps"),
    (
        "viewer or deployer with a list of apps (`keys:limit`)",
        "the same for these apps only; it cannot see other apps or create any",
    ),
)


def blocks() -> dict[str, str]:
    """Each generated part by its name; it stands in one file of the manual, between comments of that name."""
    return {
        "commands": _commands(),
        "dokku": suggestions.table(),
        "exit-codes": _table(("code", "meaning"), ((str(code), text) for code, text in EXIT_CODES)),
        "roles": _table(("role", "a key with it may"), ROLES),
        "settings": _settings(config.reference()),
        "gitship-toml": _settings(gitship_toml.reference()),
        "app-json": _settings(app_json.KEYS),
        "engine-keys": _settings(engine_keys.KEYS),
        "engine-actions": _table(
            ("action", "placeholders", "what it does"),
            ((f"`{name}`", _words(action.values), action.about) for name, action in engine_keys.ACTIONS.items()),
        ),
        "engines": _engines(),
        "modules": _modules(),
    }


def _engines() -> str:
    rows = []
    for name, engine in EngineCatalog.load(None).engines.items():
        logins = "also read-only" if engine.login_read_only else "own" if engine.own_logins else "shared"
        kept = engine.upgrade, "yes" if engine.dump else "no"
        rows.append((f"`{name}`", _words(engine.versions), f"`{engine.image}`", logins, *kept))
    return _table(("engine", "versions", "image", "logins", "upgrade", "backups"), rows)


def _words(words: Iterable[str]) -> str:
    """Sorted where they have no order of their own."""
    return ", ".join(f"`{word}`" for word in (sorted(words) if isinstance(words, frozenset) else words))


def _commands() -> str:
    parts = []
    for noun, commands in command_registry.by_noun(c for c in command_registry.load().values() if not c.hidden):
        parts.append(f"## {noun or 'help and version'}")
        parts += [_command(command) for command in commands]
    return "\n\n".join(parts)


@functools.cache  # parses them all
def _modules() -> str:
    """Every module by its docstring's first line, a list for each package."""
    parts = []
    for package in sorted(path.parent for path in PACKAGE.rglob("__init__.py")):
        parts.append(f"### {package.relative_to(PACKAGE.parent)}/")
        lines = []
        for path in sorted(package.glob("*.py")):
            about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            if about:
                lines.append(f"- `{path.name}`: {' '.join(about.partition(chr(10) * 2)[0].split())}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _settings(rows: Iterable[tuple[str, str, str]]) -> str:
    return _table(
        ("key", "default", "what it does"),
        ((f"`{key}`", f"`{default}`" if default else "", about) for key, default, about in rows),
    )


def _command(command: Command) -> str:
    head = (
        f"### {command.name}\n\n`{command_registry.usage(command)}`\n\n{command.about[0].upper()}{command.about[1:]}."
    )
    if command.details:
        head += f" {command.details}"
    also = "".join(f" Short: `{alias}`." for alias in command.aliases)
    head += f" Role: {command.role}.{also}"
    lines = [head, ""]
    for argument in command_registry.arguments(command):
        names = ", ".join(f"`{name}`" for name in argument.names)
        default = f" (default `{argument.default}`)" if argument.default else ""
        lines.append(f"- {names}: {argument.about}{default}")
    if command.columns:
        lines.append(
            f"- {command.json_shape}: " + ", ".join(f"`{column.key}` ({column.about})" for column in command.columns)
        )
    if command.examples:
        lines.append("- Examples: " + ", ".join(f"`{example}`" for example in command.examples))
    return "\n".join(lines)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def updated(text: str, made: Mapping[str, str]) -> str:
    """``text`` with each of its generated parts made anew."""
    part = r"(<!-- ([a-z-]+):begin -->\n).*?(<!-- \2:end -->)"
    return re.sub(part, lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[3]}", text, flags=re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the generated parts, or writes them into the manual."""
    parser = argparse.ArgumentParser(prog="python -m gitship.console.reference", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put each part into its file of the manual")
    made = blocks()
    if not parser.parse_args(arguments).write:
        print(*made.values(), sep="\n\n")
        return 0
    for path in docs.HERE.glob("*.md"):
        path.write_text(updated(path.read_text(encoding="utf-8"), made), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
