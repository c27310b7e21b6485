"""README's reference, made from what is declared: `python -m gitship.console.reference --write README.md`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from gitship import config
from gitship.appfiles import gitship_toml
from gitship.console import command_registry, dispatch, suggestions
from gitship.console.command_registry import Command

BEGIN = "<!-- reference:begin -->"
END = "<!-- reference:end -->"
DOKKU_BEGIN = "<!-- dokku:begin -->"
DOKKU_END = "<!-- dokku:end -->"

EXIT_CODES = (
    (dispatch.EXIT_OK, "done, or it was so already and there was nothing to do, which stderr says"),
    (dispatch.EXIT_ERROR, "an error, no permission, or a deploy that did not go live"),
    (
        dispatch.EXIT_USAGE,
        "typed wrongly: no such command or option, or a word that is nothing of its kind, as `lots` for a size",
    ),
    (
        dispatch.EXIT_UNCHANGED,
        "nothing to do: what was to be made is there already, or what was to be removed is not there. An app that is"
        " not there is an error (1), as it is for a key that may not know of it",
    ),
    (dispatch.EXIT_INTERRUPTED, "ended by Ctrl-C; a deploy that was being shown goes on"),
    ("any", "`run`, `enter` and `cron:run` end with the program's own; 124: its time was up, 127: it is not there"),
    (255, "of `ssh` itself: no connection, or the key may not log in"),
)
ROLES = (
    ("viewer", "looks at everything but config values and keys"),
    ("deployer", "also pushes, deploys and changes apps"),
    ("admin", "also manages keys and destroys apps"),
    (
        "viewer or deployer with a list of apps (`keys:limit`)",
        "the same for these apps; all others do not exist to it, and it makes none",
    ),
)


def markdown() -> str:
    """The whole reference: commands, exit codes, roles, settings."""
    parts = [
        "### Commands",
        "Each is sent as `ssh -p 2222 deploy@HOST COMMAND`; on the server itself `gitship COMMAND` does the same."
        " What lists or shows something takes `--format json`: an array of objects with the keys named here, or one"
        " object where that is said; times in ISO 8601 UTC. Keys may be added; none goes, or changes its meaning."
        " Every command takes `--help`, and `--quiet` (`-q`): no remarks and no progress, and of a listing the first"
        " column only, for `for app in $(ssh ... apps:list -q)`. Errors and remarks go to stderr.",
    ]
    for noun, commands in command_registry.by_noun(c for c in command_registry.load().values() if not c.hidden):
        parts.append(f"#### {noun or 'help and version'}")
        parts += [_command(command) for command in commands]
    parts += ["### Exit codes", _table(("code", "meaning"), ((str(code), text) for code, text in EXIT_CODES))]
    parts += ["### Roles", _table(("role", "a key with it"), ROLES)]
    parts += ["### Settings", "In the server's TOML file; a dot separates section and key. All are optional."]
    parts.append(_settings(config.reference()))
    parts += [f"### An app's own {gitship_toml.FILE}", "In the root of the app's repository. All keys are optional."]
    parts.append(_settings(gitship_toml.reference()))
    return "\n\n".join(parts)


def _settings(rows: Iterable[tuple[str, str, str]]) -> str:
    return _table(
        ("key", "default", "what it does"),
        ((f"`{key}`", f"`{default}`" if default else "", about) for key, default, about in rows),
    )


def _command(command: Command) -> str:
    head = f"**`{command_registry.usage(command)}`**  \n{command.about[0].upper()}{command.about[1:]}."
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


def updated(text: str) -> str:
    """``text`` with reference and Dokku's table made anew, each between its markers. Raises ValueError without them."""
    for first, last, content in ((DOKKU_BEGIN, DOKKU_END, suggestions.table()), (BEGIN, END, markdown())):
        before, begin, rest = text.partition(first)
        _, end, after = rest.partition(last)
        if not begin or not end:
            raise ValueError(f"needs the lines {first} and {last}")
        text = f"{before}{first}\n\n{content}\n\n{last}{after}"
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the reference, or writes it into a file; 1 when the file has no markers."""
    parser = argparse.ArgumentParser(prog="python -m gitship.console.reference", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put it between the markers of this file")
    options = parser.parse_args(arguments)
    if options.write is None:
        print(markdown())
        return 0
    try:
        new = updated(options.write.read_text(encoding="utf-8"))
    except ValueError as error:
        print(f"error: {options.write} {error}", file=sys.stderr)
        return 1
    options.write.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
