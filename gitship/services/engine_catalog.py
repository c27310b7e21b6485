"""All engines that services can be made of: the shipped ones, and an admin's own files."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from gitship.engine import image_references
from gitship.errors import ConfigError, GitshipError, NotFound, UsageError, nearest
from gitship.schema import MOST_BYTES
from gitship.services.engine_file import VERSION, ServiceEngine, read_engine

SHIPPED = Path(__file__).parent / "engines"


@dataclass(frozen=True, slots=True)
class EngineCatalog:
    """``engines`` by name; ``problems`` are the files that cannot be used, each with the reason, by the engine's name.

    An own file of a shipped engine's name is used in its place. While it is broken, there is no such engine at all: the
    shipped one may keep its data elsewhere.
    """

    engines: Mapping[str, ServiceEngine]
    problems: Mapping[str, GitshipError] = field(default_factory=dict)

    @classmethod
    def load(cls, directory: Path | None) -> Self:
        """The shipped engines and those of ``directory``, which need not be there. Raises nothing for its files."""
        engines = dict(_shipped())
        problems: dict[str, GitshipError] = {}
        for path in _own(directory, problems):
            engines.pop(path.stem, None)
            try:
                engines[path.stem] = read_engine(path.name, _content(path))
            except GitshipError as error:
                problems[path.stem] = error
            except OSError as error:
                problems[path.stem] = ConfigError(f"{path.name} cannot be read: {error.strerror}", f"see {path}")
        return cls(dict(sorted(engines.items())), problems)

    def find(self, text: str) -> tuple[ServiceEngine, str]:
        """The engine and version that `postgres`, `postgres:17` or `postgres:17-alpine` means.

        Raises NotFound with the nearest engine, or the versions that there are.
        """
        name, colon, version = text.partition(":")
        engine = self.engines.get(name)
        if engine is None:
            raise self._no_engine(name)
        if not colon:
            return engine, engine.versions[0]
        if VERSION.fullmatch(version) and engine.major(version) in engine.versions:
            return engine, version
        raise NotFound(f"{engine.title} has no version '{version[:40]}' here", f"known: {', '.join(engine.versions)}")

    def of_image(self, image: str) -> tuple[ServiceEngine, str] | None:
        """The engine and version that an image as Docker names it is: `postgres:17-alpine`, `mysql:8` or `redis`.

        None for an image of something else, by its digest, or of a version that is not known here.
        """
        try:
            named = image_references.parse(image)
        except UsageError:
            return None
        known = (
            one for one in self.engines.values() if image_references.parse(one.image).repository == named.repository
        )
        engine = next(known, None)
        if engine is None or named.digest:
            return None
        if VERSION.fullmatch(named.tag) and engine.major(named.tag) in engine.versions:
            return engine, named.tag
        numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", named.tag)
        if numbers is None:  # `latest`, `alpine`
            return engine, engine.versions[0]
        version = next((one for one in engine.versions if one.startswith(f"{numbers[0]}.")), None)
        return (engine, version) if version else None

    def _no_engine(self, name: str) -> NotFound:
        if name in self.problems:
            return NotFound(f"the engine {name} cannot be used: {self.problems[name].message}", "mend its file")
        other = {word: engine.name for engine in self.engines.values() for word in engine.other_names}
        near = other.get(name.lower()) or nearest(name.lower(), [*self.engines, *other])
        near = other.get(near or "", near)
        hint = f"did you mean {near}?" if near else f"known: {', '.join(self.engines)}"
        return NotFound(f"no engine is called '{name[:40]}'", hint)


@functools.cache  # 12 ms: a status page asks for every service's engine, and these do not change
def _shipped() -> Mapping[str, ServiceEngine]:
    return {path.stem: read_engine(path.name, path.read_bytes()) for path in SHIPPED.glob("*.toml")}


def _own(directory: Path | None, problems: dict[str, GitshipError]) -> list[Path]:
    if directory is None:
        return []
    try:
        return sorted(path for path in directory.iterdir() if path.name.endswith(".toml"))
    except FileNotFoundError:
        return []
    except OSError as error:
        problems[directory.name] = ConfigError(f"{directory} cannot be read: {error.strerror}")
        return []


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise ConfigError(f"{path.name} is not a file", "an engine is described by a TOML file")
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)
