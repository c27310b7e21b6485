"""Regular expressions as their parts: as in Python, without back-references, look-around and flags in the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Union

Test = Callable[[str], bool]
_COUNT = re.compile(r"\{([0-9]{0,3})(,?)([0-9]{0,3})\}")
_CLASSES: dict[str, Test] = {
    "d": str.isdecimal,
    "s": str.isspace,
    "w": lambda char: char == "_" or char.isalnum(),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}


class Assertion(Enum):
    """What needs no character."""

    START = "^"
    END = "$"
    BOUNDARY = "b"
    NO_BOUNDARY = "B"


_ESCAPED = {"b": Assertion.BOUNDARY, "B": Assertion.NO_BOUNDARY, "A": Assertion.START, "Z": Assertion.END}


@dataclass(frozen=True, slots=True)
class Char:
    """One character that passes the test."""

    test: Test


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """So many times; ``most`` None is without end."""

    part: Node
    least: int
    most: int | None


Node = Union[Char, Sequence, Choice, Repeat, Assertion]  # noqa: UP007  (its members name it before it is there)


def parse(text: str, *, ignore_case: bool = False) -> Node:
    """Raises ValueError with the reason in a few words."""
    parser = _Parser(text, ignore_case)
    node = parser.choice(depth=0)
    if parser.rest:
        raise ValueError("a ')' has no '('")
    return node


class _Parser:
    def __init__(self, text: str, ignore_case: bool) -> None:
        self._text = text
        self._at = 0
        self._ignore_case = ignore_case

    @property
    def rest(self) -> str:
        return self._text[self._at :]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, missing: str) -> str:
        if not self._peek():
            raise ValueError(missing)
        self._at += 1
        return self._text[self._at - 1]

    def choice(self, depth: int) -> Node:
        if depth > 50:
            raise ValueError("its brackets are too deep")
        parts = [self._sequence(depth)]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom(depth)))
        return Sequence(tuple(parts))

    def _repeated(self, node: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        if isinstance(node, Assertion):
            raise ValueError("nothing to repeat")
        if self._peek() == "?":  # the shortest match: whether there is one stays the same
            self._at += 1
        if self._bounds() is not None:
            raise ValueError("a repetition of a repetition needs brackets")
        return Repeat(node, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._peek())
        if simple is not None:
            self._at += 1
            return simple
        match = _COUNT.match(self._text, self._at)
        if match is None or match[0] in ("{}", "{,}"):
            return None
        self._at = match.end()
        least = int(match[1] or 0)
        most = (int(match[3]) if match[3] else None) if match[2] else least
        if most is not None and most < least:
            raise ValueError(f"{match[0]} ends before it begins")
        return least, most

    def _atom(self, depth: int) -> Node:
        char = self._take("")
        if char == "(":
            return self._group(depth)
        if char == "[":
            return Char(self._set())
        if char == ".":
            return Char(lambda char: char != "\n")
        if char in "^$":
            return Assertion(char)
        if char in "*+?":
            raise ValueError(f"nothing to repeat before '{char}'")
        if char == "\\":
            return self._escape()
        return Char(self._literal(char))

    def _group(self, depth: int) -> Node:
        if self._peek() == "?":
            if not self.rest.startswith("?:"):
                raise ValueError("of '(?...' only '(?:...)' is understood")
            self._at += 2
        node = self.choice(depth + 1)
        self._take("a '(' has no ')'")
        return node

    def _escape(self) -> Node:
        char = self._take("it ends in '\\'")
        if char in _ESCAPED:
            return _ESCAPED[char]
        if char in "123456789":
            raise ValueError("back-references are not understood")
        return Char(self._class(char) or self._literal(self._escaped(char)))

    def _class(self, char: str) -> Test | None:
        test = _CLASSES.get(char.lower())
        return _negated(test) if test and char.isupper() else test

    def _escaped(self, char: str) -> str:
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in "xu":
            digits = self._text[self._at : self._at + (2 if char == "x" else 4)]
            self._at += len(digits)
            try:
                return chr(int(digits, 16))
            except ValueError:
                raise ValueError(f"\\{char}{digits} is no character") from None
        if char.isascii() and char.isalnum():
            raise ValueError(f"\\{char} is not understood")
        return char

    def _literal(self, wanted: str) -> Test:
        return self._folded(lambda char: char == wanted)

    def _folded(self, test: Test) -> Test:
        if not self._ignore_case:
            return test
        return lambda char: test(char) or test(char.lower()) or test(char.upper())

    def _set(self) -> Test:
        missing = "a '[' has no ']'"
        negated = self._peek() == "^"
        self._at += negated
        tests: list[Test] = []
        while not tests or self._peek() != "]":
            low = self._member(self._take(missing))
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._at += 1
                low = _range(low, self._member(self._take(missing)))
            tests.append(low if not isinstance(low, str) else (lambda char, wanted=low: char == wanted))  # type: ignore[misc]
        self._at += 1
        inside = self._folded(lambda char: any(test(char) for test in tests))
        return _negated(inside) if negated else inside

    def _member(self, char: str) -> str | Test:
        """A character of a set, or the test of a class such as ``\\d``."""
        if char != "\\":
            return char
        char = self._take("it ends in '\\'")
        if char == "b":
            return "\b"
        return self._class(char) or self._escaped(char)


def _negated(test: Test) -> Test:
    return lambda char: not test(char)


def _range(low: str | Test, high: str | Test) -> Test:
    if not isinstance(low, str) or not isinstance(high, str) or low > high:
        raise ValueError("a range in '[...]' must go from one character up to another")
    return lambda char: low <= char <= high
