"""Secrets and configs of a Compose file: read-only files, from the commit, the app's config or the file itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gitship.compose import values
from gitship.compose.commit_files import CommitFiles
from gitship.compose.keys import Findings, by_name, honoured, ignored, read_keys, refused
from gitship.compose.model import ComposeFile
from gitship.compose.options import container_path
from gitship.errors import ConfigError
from gitship.schema import Value

_ELSEWHERE = "it would come from another place than the repository and the app's config"
_WAY = "write `environment: NAME`, and set it: config:set APP NAME=VALUE"
SECRET = by_name(
    honoured("file", "a file of the repository", values.repository_path),
    honoured("environment", "a variable of the app's config", values.text),
    honoured("content", "this text", values.text),
    refused("external", _ELSEWHERE, _WAY),
    refused("driver", _ELSEWHERE, _WAY),
    refused("driver_opts", _ELSEWHERE, _WAY),
    refused("template_driver", _ELSEWHERE, _WAY),
    *ignored("gitship names it itself", "name", "labels"),
)
_GRANT = ("source", "target", "uid", "gid", "mode")
_UNKNOWN = ComposeFile("", content=b"")  # of a source that has a problem
LARGEST_BYTES = 512 << 10  # as Docker's own secrets


@dataclass(frozen=True, slots=True)
class FileSources:
    """The top-level `secrets` or `configs`: each as a file without a path."""

    kind: str  # "secrets" or "configs"
    files: Mapping[str, ComposeFile]

    def granted(self, value: Value) -> list[ComposeFile]:
        """The files that a service's own list of them puts into its containers. Raises ConfigError."""
        return [self._grant(item) for item in value.items()]

    def _grant(self, value: Value) -> ComposeFile:
        table = values.known(value, _GRANT) if isinstance(value.raw, dict) else {}
        source = table.get("source", value)
        name = values.line(source)
        if name not in self.files:
            raise source.error(f"is not below `{self.kind}:` at the top", f"it is {name[:40]}: add it there")
        place = "/run/secrets" if self.kind == "secrets" else "/"
        target = values.line(table["target"]) if "target" in table else name
        return replace(
            self.files[name],
            path=container_path(table.get("target", source), posixpath.join(place, target)),
            uid=values.whole(table["uid"], 0, 1 << 31) if "uid" in table else None,
            gid=values.whole(table["gid"], 0, 1 << 31) if "gid" in table else None,
            mode=_mode(table["mode"]) if "mode" in table else None,
        )


def _mode(value: Value) -> int:
    """Without the bits to write."""
    number = value.raw
    if isinstance(number, str) and re.fullmatch(r"(?:0o)?[0-7]{1,5}", number):
        number = int(number.removeprefix("0o"), 8)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 0o7777:
        raise value.error("must be a mode in octal, for instance 0440")
    return number & 0o555


def read_sources(
    value: Value, kind: str, files: CommitFiles, config: Mapping[str, str], found: Findings
) -> FileSources:
    """The top-level table ``kind``. Problems go to ``found``: an unknown one is no second error."""
    sources = {}
    for name, one in value.entries().items():
        sources[name] = found.attempt(_UNKNOWN, _source, one, kind, files, config, found)
    return FileSources(kind, sources)


def _source(value: Value, kind: str, files: CommitFiles, config: Mapping[str, str], found: Findings) -> ComposeFile:
    problems = len(found.problems)
    read = read_keys(value, SECRET, found)
    if len(found.problems) > problems:
        return _UNKNOWN
    if len(read) != 1 or ("content" in read and kind == "secrets"):
        raise value.error("must have one of file and environment" + (" and content" if kind == "configs" else ""))
    if "content" in read:
        return ComposeFile("", content=read["content"].encode())
    if "environment" in read:
        name = read["environment"]
        if name not in config:
            reason = f"{value.place}: {value.path} is the variable {name}, which is not set"
            raise ConfigError(reason, f"config:set APP {name}=VALUE")
        return ComposeFile("", content=config[name].encode())
    path = read["file"]
    content = files.read(path)
    if content is None:
        hint = f"a file that git leaves out comes from the app's config: {_WAY}"
        raise ConfigError(f"{value.place}: {value.path} is {path}, which is not in the repository", hint)
    if len(content) > LARGEST_BYTES:
        raise ConfigError(f"{value.place}: {path} has more than {LARGEST_BYTES >> 10} KB", "mount it under `volumes`")
    return ComposeFile("", source=path)
