"""Finds containerd's data directory from the arguments of its process.

Its socket is root's alone; the command line and the configuration of a process may be read by everybody.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

DEFAULT_ADDRESS = "/run/containerd/containerd.sock"
DEFAULT_ROOT = Path("/var/lib/containerd")
DEFAULT_CONFIG = Path("/etc/containerd/config.toml")
ADDRESS = ("-a", "--address", "-address")
CONFIG = ("-c", "--config", "-config")
ROOT = ("--root", "-root")


def root(address: str, proc: Path = Path("/proc")) -> Path | None:
    """Of the containerd that listens there; None when it cannot be told."""
    wanted = _plain(address or DEFAULT_ADDRESS)
    for words in _processes(proc):
        config = _config(_option(words, CONFIG))
        grpc = config.get("grpc")
        listens = _option(words, ADDRESS) or (str(grpc.get("address") or "") if isinstance(grpc, dict) else "")
        if _plain(listens or DEFAULT_ADDRESS) == wanted:
            return Path(_option(words, ROOT) or str(config.get("root") or DEFAULT_ROOT))
    return DEFAULT_ROOT if wanted == DEFAULT_ADDRESS and DEFAULT_ROOT.exists() else None


def _plain(address: str) -> str:
    path = address.removeprefix("unix://")
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


def _processes(proc: Path) -> Iterator[Sequence[str]]:
    """Command lines of this machine's own containerds: what runs in a container may call itself anything."""
    for place in proc.glob("[0-9]*"):
        with suppress(OSError):
            if (place / "comm").read_text().strip() == "containerd" and not _in_a_container(place):
                yield (place / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")


def _in_a_container(place: Path) -> bool:
    """It has a number in a namespace of processes below this one's."""
    lines = (place / "status").read_text().splitlines()
    numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
    return len(numbers) != 1


def _option(words: Sequence[str], names: Sequence[str]) -> str:
    for word, following in zip(words, (*words[1:], ""), strict=True):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else following
    return ""


def _config(path: str) -> dict[str, Any]:
    with suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return tomllib.loads(Path(path or DEFAULT_CONFIG).read_text(encoding="utf-8"))
    return {}
