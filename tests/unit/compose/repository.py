"""A commit's files for the tests of the Compose reader, and the reading of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitship.compose.app import read_app
from gitship.compose.backing import KnownEngine
from gitship.compose.model import ComposeApp
from gitship.services.engine_catalog import EngineCatalog

CATALOG = EngineCatalog.load(None)


@dataclass(frozen=True)
class FilesInMemory:
    files: Mapping[str, bytes]

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def is_directory(self, path: str) -> bool:
        return not path or any(name.startswith(f"{path}/") for name in self.files)


def engine_of(image: str) -> KnownEngine | None:
    found = CATALOG.of_image(image)
    return found and KnownEngine(found[0].name, found[1], found[0].port, found[0].data_path(found[1]))


def read(text: str, config: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None) -> ComposeApp:
    """The app of a `compose.yaml` with ``text``, beside ``files``."""
    content = {name: one.encode() for name, one in (files or {}).items()} | {"compose.yaml": text.encode()}
    return read_app("compose.yaml", FilesInMemory(content), config or {}, engine_of, "shop")


def notes(app: ComposeApp) -> list[str]:
    return [str(note) for note in app.notes]
