"""Installs the post-receive hook of repositories."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gitship.assets import asset
from gitship.errors import ConfigError

POST_RECEIVE = "post-receive"


def render(template: str, command: Sequence[str], config: Path) -> str:
    """The hook's text: @GITSHIP@ becomes ``command``, @CONFIG@ the settings file, both quoted for the shell.

    Raises ConfigError for a line break in either: the hook prints the command for people to copy.
    """
    words = (*command, str(config))
    if any(c in word for word in words for c in "\r\n\0"):
        raise ConfigError("gitship's own path or the settings file's has a line break in it", "move it to another path")
    # Split first, so that a path that happens to hold a placeholder stays as it is.
    parts = template.split("@GITSHIP@")
    return shlex.join(command).join(part.replace("@CONFIG@", shlex.quote(str(config))) for part in parts)


def own_command() -> tuple[str, ...]:
    """How to run this very gitship: the installed script, else the module of the checkout that is running."""
    script = Path(sys.executable).with_name("gitship")
    if script.is_file():
        return (str(script),)
    checkout = Path(__file__).resolve().parents[2]
    return ("/usr/bin/env", f"PYTHONPATH={checkout}", sys.executable, "-m", "gitship")


def install(directory: Path, config: Path, command: Sequence[str] | None = None) -> Path:
    """Writes ``directory``/post-receive, executable, whole or not at all; the path, to be put into repositories."""
    text = render(asset("hooks/post-receive").read_text(encoding="utf-8"), command or own_command(), config)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / POST_RECEIVE
    # A push may be running the old file at this moment, so it is replaced, never written over.
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{POST_RECEIVE}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o700)  # who pushes by file path is the owner, or root
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
