"""Answers a commit without a Dockerfile where one was looked for: where else it has one, and which command says so."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Mapping

from gitship.errors import NoDockerfile
from gitship.git import snapshot
from gitship.git.blobs import Blobs
from gitship.git.snapshot import Snapshot, printable
from gitship.git.starter_dockerfile import starting_dockerfile

SHOWN = 5
MAX_READ_BYTES = 64 << 10
_NAME = re.compile(r"(?:.+\.)?(?:docker|container)file(?:\.(?!dockerignore$).+)?", re.I)
_PLAIN = ("dockerfile", "containerfile")
_ASIDE = {"node_modules", "vendor", "test", "tests", "testdata", "examples"}  # what is there is seldom the app
_COPY = re.compile(r"^[ \t]*(?:COPY|ADD)[ \t]+(?!.*--from=)(.+)$", re.I | re.M)
_UNKNOWN = re.compile(r"[$*?\[<]|://")  # a source that is no plain path


def no_dockerfile(tree: Snapshot, reader: Blobs, context: str, dockerfile: str) -> NoDockerfile:
    """For a commit without ``dockerfile`` in its directory ``context``: the likeliest one, or one to start with.

    Raises GitError when the commit cannot be read.
    """
    entries = tree.walk(tree.directory(""), lambda _: True)
    files = {e.path: e.id for e in entries if e.kind in (snapshot.FILE, snapshot.SYMLINK)}
    wanted = posixpath.join(context, dockerfile)
    missing = f"the commit has no {printable(wanted)}"
    found = sorted((p for p in files if p.lower() == wanted.lower() or _is_dockerfile(p)), key=_unlikelihood)
    same = [path for path in found if path.lower() == wanted.lower()]
    if not found:
        language, text = starting_dockerfile(_below(context, files))
        looks = f" (this looks like {language})" if language else ""
        start = f"commit a {printable(wanted)} and push again; one to start with{looks}:\n\n{text}"
        return NoDockerfile(missing, start)
    path = (same or found)[0]
    directory = context if same else _context_of(path, files, _content(reader, files[path]))
    changes = {"context": directory} if directory != context else {}
    if (name := posixpath.relpath(path, directory or ".")) != dockerfile:
        changes["dockerfile"] = name
    options = [word for option, value in changes.items() for word in (f"--{option}", printable(value) or ".")]
    command = f"builder:set APP {shlex.join(options)}"
    if same:
        other = f"rename it: {shlex.join(['git', 'mv', printable(path), printable(wanted)])}"
        hint = f"names are case-sensitive: {command}, push again; or {other}"
    else:
        table = "".join(f'{option} = "{printable(value)}"\n' for option, value in changes.items())
        others = " (or another of these)" if len(found) > 1 else ""
        hint = f"{command}, push again{others}; or in a gitship.toml at the top of the repository:\n\n[build]\n{table}"
    shown = ", ".join(f"'{printable(path)}'" for path in (same or found)[:SHOWN])
    return NoDockerfile(f"{missing}; found {shown}", hint, command)


def _is_dockerfile(path: str) -> bool:
    return _NAME.fullmatch(posixpath.basename(path)) is not None


def _unlikelihood(path: str) -> tuple[bool, bool, int, str]:
    *above, name = path.split("/")
    aside = any(part.startswith(".") or part.lower() in _ASIDE for part in above)
    return aside, name.lower() not in _PLAIN, len(above), path


def _content(reader: Blobs, id_: bytes) -> str:
    if reader.sizes([id_])[0] > MAX_READ_BYTES:
        return ""
    return b"".join(chunk for _, chunks in reader.contents([id_]) for chunk in chunks).decode("utf-8", "replace")


def _context_of(dockerfile: str, files: Mapping[str, bytes], text: str) -> str:
    """The directory in which a build by ``dockerfile`` finds what it copies: its own, or "" for the top."""
    directory = posixpath.dirname(dockerfile)
    if not directory:
        return ""
    there = {place for path in files for place in _with_directories(path)}
    sources = [s for line in _COPY.findall(text) for s in _sources(line)]
    beside = sum(f"{directory}/{source}" in there for source in sources)
    at_the_top = sum(source in there for source in sources)
    if beside != at_the_top:
        return directory if beside > at_the_top else ""
    return directory if starting_dockerfile(_below(directory, files))[0] else ""  # such as `COPY . .`


def _sources(line: str) -> list[str]:
    words = [word.strip("[]\"',") for word in line.split() if not word.startswith("--")]
    plain = [posixpath.normpath(word).lstrip("/") for word in words[:-1] if word and not _UNKNOWN.search(word)]
    return [source for source in plain if source not in ("", ".")]


def _with_directories(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _below(directory: str, paths: Collection[str]) -> list[str]:
    return [p.removeprefix(f"{directory}/") for p in paths if p.startswith(f"{directory}/")] if directory else [*paths]
