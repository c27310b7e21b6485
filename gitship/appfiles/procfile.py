"""Parser of `Procfile`: one `type: command` per line, as in Heroku and Dokku.

Blank lines, lines that begin with `#` or `//`, a byte order mark and any kind of line end are taken as they are there.
Where the two hosts would guess, this refuses: a line of another form (a merge's `<<<<<<<`) and a type named twice.
"""

from __future__ import annotations

import re

from gitship.appfiles.command_line import Command, parse_command
from gitship.errors import ConfigError
from gitship.model import PROCESS_TYPE
from gitship.schema import decode

FILE = "Procfile"
RELEASE = "release"

_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:(.*)")


def parse(content: bytes) -> dict[str, Command]:
    """Commands by process type, `release` among them. Raises ConfigError with the line's number."""
    commands: dict[str, Command] = {}
    for number, line in enumerate(re.split(r"\r\n|\r|\n", decode(FILE, content)), start=1):
        line = line.strip()
        if not line or line.startswith(("#", "//")):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"{FILE} line {number} is not 'type: command'", "write it as in 'web: python app.py'")
        name, text = match.groups()
        if not PROCESS_TYPE.fullmatch(name):
            raise ConfigError(
                f"{FILE} line {number}: '{name[:80]}' is not a process type",
                "use letters, digits, '-' and '_', at most 63, beginning and ending with a letter or digit",
            )
        if name in commands:
            raise ConfigError(f"{FILE} line {number}: '{name}' is given twice", "keep one of the two lines")
        try:
            commands[name] = parse_command(text)
        except ValueError as error:
            raise ConfigError(
                f"{FILE} line {number}: the command of '{name}' {error}", f"write it as in '{name}: python app.py'"
            ) from None
    return commands
