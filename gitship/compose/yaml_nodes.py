"""Reads YAML into nodes that know their line. Aliases, depth and size are bounded; nothing but plain data is made.

PyYAML's safe loader parses; what it says is put together here, without recursion. Plain words are typed by the core
schema of YAML 1.2, as Compose does: `on` is a text, and `22:22` no number of seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from gitship.errors import ConfigError
from gitship.schema import Value, decode, path_below

MOST_BYTES = 256 << 10
MOST_NODES = 20_000  # with what aliases repeat: nine of nine of nine "lol" are a billion
MOST_DEPTH = 40
MOST_DIGITS = 40  # of a whole number: a longer one is a text

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C 20 times as fast, where PyYAML was built with it
_TAG = "tag:yaml.org,2002:"
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class YamlNode:
    """``raw`` is a scalar, a list of nodes or a mapping of them; ``place`` the file and line of its key or itself.

    ``count`` and ``depth`` are those of all that it holds.
    """

    raw: Any
    place: str
    count: int = 1
    depth: int = 1

    @property
    def mapping(self) -> dict[str, YamlNode]:
        """Empty when it is none."""
        return self.raw if isinstance(self.raw, dict) else {}

    @property
    def sequence(self) -> list[YamlNode]:
        """Empty when it is none."""
        return self.raw if isinstance(self.raw, list) else []


def holding(raw: dict[str, YamlNode] | list[YamlNode], place: str) -> YamlNode:
    """A node of these nodes. Raises ConfigError when that is too much."""
    below = raw if isinstance(raw, list) else raw.values()
    node = YamlNode(raw, place, 1 + sum(n.count for n in below), 1 + max((n.depth for n in below), default=0))
    if node.count > MOST_NODES:
        raise ConfigError(f"{place}: the file has more than {MOST_NODES} values", "aliases count as what they repeat")
    if node.depth > MOST_DEPTH:
        raise ConfigError(f"{place}: the file is nested more than {MOST_DEPTH} deep", "write it flatter")
    return node


def as_value(file: str, node: YamlNode) -> Value:
    """For the schema reader: plain data, and the place of each path."""
    places: dict[str, str] = {}

    def plain(node: YamlNode, path: str) -> Any:
        places[path] = node.place
        if isinstance(node.raw, dict):
            return {key: plain(below, path_below(path, key)) for key, below in node.raw.items()}
        if isinstance(node.raw, list):
            return [plain(below, f"{path}[{n}]") for n, below in enumerate(node.raw)]
        return node.raw

    return Value(file, "", plain(node, ""), places)


def read_yaml(file: str, content: bytes) -> YamlNode:
    """The one document of ``file``. Raises ConfigError."""
    text = decode(file, content, MOST_BYTES)
    try:
        return _NodeBuilder(file).document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file} line {mark.line + 1}" if mark else file
        hint = "a text that begins with one of @ ` % & * ! | > or has ': ' in it needs quotes; indent with spaces"
        raise ConfigError(f"{place} is not valid YAML: {error.problem or error.context}", hint) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{file} is not valid YAML: {error.reason}", "remove that character") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # of an escape that is no character, for instance
        raise ConfigError(f"{file} is not valid YAML: {str(error)[:100]}", "write it plainer") from None


@dataclass(slots=True)
class _OpenCollection:
    """A collection whose end has not come."""

    raw: dict[str, YamlNode] | list[YamlNode]
    place: str
    anchor: str | None
    key: str | None = None  # whose value comes next
    key_place: str = ""
    merged: list[YamlNode] = field(default_factory=list)
    merging: bool = False


class _NodeBuilder:
    def __init__(self, file: str) -> None:
        self._file = file
        self._anchors: dict[str, YamlNode] = {}
        self._open: list[_OpenCollection] = []
        self._root: YamlNode | None = None
        self._keys_merged = 0

    def document(self, events: Iterator[yaml.Event]) -> YamlNode:
        for event in events:
            self._take(event)
        return self._root or YamlNode({}, self._file)

    def _take(self, event: yaml.Event) -> None:
        place = f"{self._file} line {event.start_mark.line + 1 if event.start_mark else 1}"
        if isinstance(event, yaml.ScalarEvent):
            if self._expects_key() and self._open[-1].key is None:
                self._key(event, place)
            else:
                self._add(YamlNode(_scalar(event, place), place), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                inside = any(one.anchor == event.anchor for one in self._open)
                why = "stands for what it is part of" if inside else "has no anchor above it"
                raise ConfigError(f"{place}: the alias *{_short(event.anchor)} {why}", "an anchor is written &NAME")
            self._add(replace(self._anchors[event.anchor], place=place), None)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._begin(event, place)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._open.pop()
            self._add(holding(self._merged(done), done.place), done.anchor)
        elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            raise ConfigError(f"{place} begins a second document", "keep one: remove the line ---")

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, place: str) -> None:
        mapping = isinstance(event, yaml.MappingStartEvent)
        if self._expects_key() and self._open[-1].key is None and not self._open[-1].merging:
            raise ConfigError(f"{place} has a key that is no text", "write NAME: VALUE")
        if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
            raise _foreign_tag(event.tag, place)
        if len(self._open) >= MOST_DEPTH:
            raise ConfigError(f"{place}: the file is nested more than {MOST_DEPTH} deep", "write it flatter")
        self._open.append(_OpenCollection({} if mapping else [], place, event.anchor))

    def _merged(self, done: _OpenCollection) -> dict[str, YamlNode] | list[YamlNode]:
        """With the keys of the merged mappings that it does not have itself."""
        if isinstance(done.raw, list) or not done.merged:
            return done.raw
        self._keys_merged += sum(one.count for one in done.merged)  # each makes a copy, however often it is the same
        if self._keys_merged > MOST_NODES:
            raise ConfigError(f"{done.place}: the file merges more than {MOST_NODES} values", "merge fewer with <<")
        return {key: node for one in reversed(done.merged) for key, node in one.raw.items()} | done.raw

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].raw, dict)

    def _key(self, event: yaml.ScalarEvent, place: str) -> None:
        top = self._open[-1]
        if event.anchor:  # a key can be the text of an alias elsewhere
            self._anchors[event.anchor] = YamlNode(event.value, place)
        top.merging = event.value == "<<" and not event.style
        if not top.merging and event.value in top.raw:
            before = top.raw[event.value].place  # type: ignore[call-overload]
            raise ConfigError(f"{place}: '{_short(event.value)}' stands twice, also in {before}", "keep one of them")
        top.key, top.key_place = event.value, place

    def _add(self, node: YamlNode, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self._root = node
            return
        top = self._open[-1]
        if isinstance(top.raw, list):
            top.raw.append(node)
        elif top.key is None:
            raise ConfigError(f"{node.place} has an alias as a key", "write NAME: VALUE")
        else:
            if top.merging:
                top.merged += _sources(node)
            else:
                top.raw[top.key] = replace(node, place=top.key_place)
            top.key, top.merging = None, False


def _sources(node: YamlNode) -> list[YamlNode]:
    """The mappings that `<<` takes keys from, the first before the next."""
    found = node.sequence or [node]
    if not all(isinstance(one.raw, dict) for one in found):
        raise ConfigError(f"{node.place}: '<<' must be a mapping or a list of mappings", "for instance <<: *common")
    return found


def _scalar(event: yaml.ScalarEvent, place: str) -> Scalar:
    text = str(event.value)
    if event.tag is None and not event.style:
        return _typed(text)
    if event.tag in (None, "!", f"{_TAG}str"):
        return text
    kind, typed = event.tag.removeprefix(_TAG), _typed(text)
    if kind == "null":
        return None
    if kind == "float" and isinstance(typed, int | float) and not isinstance(typed, bool):
        return float(typed)
    if (kind == "int" and isinstance(typed, int)) or (kind == "bool" and isinstance(typed, bool)):
        return typed
    raise _foreign_tag(event.tag, place)


def _typed(text: str) -> Scalar:
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) <= MOST_DIGITS and _INT.fullmatch(text):
        sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-").replace("_", "")
        base = {"0b": 2, "0x": 16, "0o": 8}.get(digits[:2], 8 if digits[0] == "0" else 10)
        digits = digits[2:] if digits[:2] in ("0b", "0x", "0o") else digits
        return sign * int(digits, base) if digits else text
    if len(text) <= MOST_DIGITS and _FLOAT.fullmatch(text):
        number = float(text)
        return text if abs(number) == float("inf") else number
    return text


def _foreign_tag(tag: str, place: str) -> ConfigError:
    shown = tag.replace(_TAG, "!!")
    hint = "remove it"
    if tag in ("!reset", "!override"):
        hint = "it is for files that are merged, and gitship reads one file: remove it"
    return ConfigError(f"{place}: the tag {_short(shown)} cannot be read", hint)


def _short(text: str | None) -> str:
    text = text or ""
    return text[:40] if text.isprintable() else ascii(text)[:40]
