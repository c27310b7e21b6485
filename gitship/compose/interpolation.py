"""Interpolation of a Compose file's values: `$X`, `${X:-default}`, `${X:?message}`, `${X:+instead}` and `$$`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gitship.compose.yaml_nodes import YamlNode
from gitship.errors import ConfigError

MOST_CHARS = 1 << 20  # of all that is put in
MOST_NESTED = 20
_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATOR = re.compile(r":?[-?+]")
_PLAIN = re.compile(r"[^$]+")
_PLAIN_INSIDE = re.compile(r"[^${}]+")


@dataclass(slots=True)
class Interpolation:
    """Puts ``variables`` in. ``unset`` are those that were not there and have no default, by the first place.

    ``empty`` are all places that have such a one, with its name.
    """

    variables: Mapping[str, str]
    unset: dict[str, str] = field(default_factory=dict)
    empty: dict[str, str] = field(default_factory=dict)
    _left: int = MOST_CHARS

    def node(self, node: YamlNode) -> YamlNode:
        """The node with all its texts interpolated, not its keys. Raises ConfigError."""
        if isinstance(node.raw, dict):
            return replace(node, raw={key: self.node(below) for key, below in node.raw.items()})
        if isinstance(node.raw, list):
            return replace(node, raw=[self.node(below) for below in node.raw])
        if isinstance(node.raw, str) and "$" in node.raw:
            return replace(node, raw=self.text(node.raw, node.place))
        return node

    def text(self, text: str, place: str) -> str:
        """Raises ConfigError with ``place``."""
        done, end = _TextTemplate(text, place, self).until_end(0, nested=0)
        assert end == len(text)
        return done

    def take(self, name: str, place: str) -> str | None:
        value = self.variables.get(name)
        self._left -= len(value or "")
        if self._left < 0:
            raise ConfigError(f"{place}: the variables make the file larger than {MOST_CHARS >> 20} MB", "use fewer")
        return value


@dataclass(frozen=True, slots=True)
class _TextTemplate:
    text: str
    place: str
    scope: Interpolation

    def until_end(self, at: int, nested: int) -> tuple[str, int]:
        """What stands from ``at`` on, to the end or, when ``nested``, to the `}` that closes it; and where it ends."""
        done: list[str] = []
        plain, braces = _PLAIN_INSIDE if nested else _PLAIN, 0
        while at < len(self.text):
            found = plain.match(self.text, at)
            if found:
                done.append(found[0])
                at = found.end()
            elif self.text[at] == "$":
                part, at = self._variable(at, nested)
                done.append(part)
            elif self.text[at] == "}" and not braces:
                break
            else:  # of a default such as {"a": 1}
                braces += 1 if self.text[at] == "{" else -1
                done.append(self.text[at])
                at += 1
        return "".join(done), at

    def _variable(self, at: int, nested: int) -> tuple[str, int]:
        """What begins with the `$` at ``at``; a `$` that begins nothing stands for itself."""
        if self.text.startswith("$$", at):
            return "$", at + 2
        if self.text.startswith("${", at):
            return self._braced(at, nested + 1)
        name = _NAME.match(self.text, at + 1)
        return (self._value(name[0]), name.end()) if name else ("$", at + 1)

    def _braced(self, at: int, nested: int) -> tuple[str, int]:
        name = _NAME.match(self.text, at + 2)
        if name is None or nested > MOST_NESTED:
            raise self._wrong(at)
        end = name.end()
        if self.text.startswith("}", end):
            return self._value(name[0]), end + 1
        operator = _OPERATOR.match(self.text, end)
        if operator is None:
            raise self._wrong(at)
        read = self.until_end if self._used(name[0], operator[0]) else self._skipped
        word, end = read(operator.end(), nested)
        if not self.text.startswith("}", end):
            raise self._wrong(at)
        return self._applied(name[0], operator[0], word), end + 1

    def _skipped(self, at: int, nested: int) -> tuple[str, int]:
        """As ``until_end``, of what is not used: as in a shell, nothing in it can be missing."""
        depth = 1
        while at < len(self.text):
            if self.text.startswith("$$", at):
                at += 2
                continue
            if self.text[at] == "{":
                depth += 1
            elif self.text[at] == "}":
                depth -= 1
                if not depth:
                    break
            at += 1
        return "", at

    def _used(self, name: str, operator: str) -> bool:
        """Whether what follows the operator counts."""
        value = self.scope.variables.get(name)
        there = bool(value) if operator.startswith(":") else value is not None
        return there == operator.endswith("+")

    def _applied(self, name: str, operator: str, word: str) -> str:
        if not self._used(name, operator):
            return "" if operator.endswith("+") else self.scope.take(name, self.place) or ""
        if operator.endswith("?"):
            said = f": {word[:200]}" if word.strip() and word.isprintable() else ""
            raise ConfigError(f"{self.place}: the variable {name} is not set{said}", f"config:set APP {name}=VALUE")
        return word

    def _value(self, name: str) -> str:
        value = self.scope.take(name, self.place)
        if value is None:
            self.scope.unset.setdefault(name, self.place)
            self.scope.empty.setdefault(self.place, name)
        return value or ""

    def _wrong(self, at: int) -> ConfigError:
        part = self.text[at : at + 40]
        shown = part if part.isprintable() else ascii(part)
        hint = "write ${NAME}, ${NAME:-default} or ${NAME:?message}; a dollar sign that is meant is written $$"
        return ConfigError(f"{self.place}: '{shown}' is not a variable", hint)
