"""Recognises ENTRYPOINTs that run their arguments, such as `tini --` or `exec "$@"`. Pure.

Of any other the words would be arguments: `python app.py` beside `./report` is a second web server.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence

Script = Callable[[str], str | None]  # the text of a script in the image; None when it is none, or not there

# What runs its arguments, and how many words of its own it takes after its options.
WRAPPERS = {
    "tini": 0, "tini-static": 0, "dumb-init": 0, "catatonit": 0, "docker-init": 0, "gosu": 1, "su-exec": 1, "nice": 0,
    "ionice": 0, "env": 0, "exec": 0, "ddtrace-run": 0, "opentelemetry-instrument": 0,
}  # fmt: skip
RUNNERS = {
    ("bundle", "exec"), ("poetry", "run"), ("pipenv", "run"), ("uv", "run"), ("pdm", "run"), ("doppler", "run"),
    ("newrelic-admin", "run-program"),
}  # fmt: skip
SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
MOST_WORDS = 50
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_RUNS = re.compile(  # a line that ends with "$@" and runs it, by way of other words or not
    r"""^[ \t]*(?:exec[ \t]+)?((?:[^\s"'$;|&#]+[ \t]+)*)"?\$(?:@|\*|\{@\})"?[ \t]*;?[ \t]*$""", re.MULTILINE
)


def runs_words(entrypoint: Sequence[str], script: Script) -> bool:
    """True when a command that follows it is what runs."""
    words = list(entrypoint[:MOST_WORDS])
    while words:
        rest = _after_wrapper(words)
        if rest is None:
            return _is_wrapping_script(words, script)
        words = rest
    return True


def _after_wrapper(words: Sequence[str]) -> list[str] | None:
    """What is left behind a wrapper and its own words; None when the first word is none."""
    name = posixpath.basename(words[0])
    if (name, *words[1:2]) in RUNNERS:
        rest, own = list(words[2:]), 0
    elif name in WRAPPERS:
        rest, own = list(words[1:]), WRAPPERS[name]
    else:
        return None
    while rest and (rest[0].startswith("-") or _ASSIGNMENT.fullmatch(rest[0])):
        if rest.pop(0) == "--":
            break
    return rest[own:]


def _is_wrapping_script(words: Sequence[str], script: Script) -> bool:
    if posixpath.basename(words[0]) in SHELLS:
        words = [word for word in words[1:] if not word.startswith("-")] if "-c" not in words else []
    if len(words) != 1:
        return False
    text = script(words[0])
    if text is None or not text.startswith("#!"):
        return False
    return any(not own or _is_wrapper(own.split()) for own in _RUNS.findall(text))


def _is_wrapper(words: list[str]) -> bool:
    rest: list[str] | None = words
    while rest:
        rest = _after_wrapper(rest)
    return rest is not None


def places(program: str, path: str, directory: str) -> list[str]:
    """Where a program may lie in an image with that PATH and working directory."""
    if program.startswith("/"):
        return [posixpath.normpath(program)]
    if "/" in program:
        return [posixpath.normpath(posixpath.join(directory or "/", program))]
    return [posixpath.join(place, program) for place in path.split(":") if place.startswith("/")]
