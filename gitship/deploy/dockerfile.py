"""Finds the images that a Dockerfile uses: FROM, COPY --from, RUN --mount=from, `# syntax=`. Pure.

It is read as BuildKit reads it. Where its versions differ, or something cannot be known before the build, this errs on
the side of naming an image too many, or raises Unreadable: what is not understood is not let through.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from gitship.deploy.dockerfile_words import Unreadable, expand, words

MOST_CHARS = 128 << 10  # some of what is done with them takes its time by their square: 0.5 s for these
MOST_STAGES = 1000
SCRATCH = "scratch"
SYNTAX_ARGUMENT = "BUILDKIT_SYNTAX"  # a build argument that takes the place of `# syntax=`
_DIRECTIVE = re.compile(r"^(?:#|//)\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_HEREDOC = re.compile(r"^\d*<<(-?)(['\"]?)([^<'\"\s]+)\2$")
_WITH_HEREDOCS = ("run", "copy", "add", "onbuild")
_FLAG = re.compile(r"""--(?:[^\s"'\\`]|"[^"]*"|'[^']*'|[\\`].)*""")
_BLANK = " \t\v\f\r"


class NotFrom(Unreadable):
    """A line that begins like a FROM and is none: no builder takes it."""


@dataclass(frozen=True, slots=True)
class ImageUse:
    """An image's name as it stands after substitution, and the line (from 1) that names it."""

    image: str
    line: int


def images(text: str, arguments: Mapping[str, str]) -> list[ImageUse]:
    """The images used, ``arguments`` being the build's; stages, and ``scratch``, are none. Raises Unreadable."""
    try:
        return _images(text, arguments)
    except RecursionError:
        raise Unreadable(1, "is followed by more substitutions within substitutions than can be read") from None


def _images(text: str, arguments: Mapping[str, str]) -> list[ImageUse]:
    text = text.removeprefix("\ufeff")
    if len(text) > MOST_CHARS:
        raise Unreadable(1, f"is the first of more than {MOST_CHARS >> 10} KB")
    if text.lstrip().startswith("{"):
        raise Unreadable(1, "looks like JSON")
    escape, uses = _directives(text)
    if SYNTAX_ARGUMENT in arguments:
        uses.append(ImageUse(arguments[SYNTAX_ARGUMENT].split(" ")[0], 1))
    reading = _Reading(arguments, escape)
    for line, instruction in _instructions(text, escape, heredocs=True):
        reading.feed(line, instruction)
    if not reading.stages:
        raise Unreadable(1, "has no FROM")
    uses += reading.uses
    if "<<" in text:  # a builder that knows no heredocs takes their lines for instructions
        uses += [use for use in _without_heredocs(text, arguments, escape) if use not in uses]
    return uses


def _without_heredocs(text: str, arguments: Mapping[str, str], escape: str) -> list[ImageUse]:
    reading = _Reading(arguments, escape)
    for line, instruction in _instructions(text, escape, heredocs=False):
        with suppress(NotFrom):  # a script's line, at which that builder stops
            reading.feed(line, instruction)
    return reading.uses


def _directives(text: str) -> tuple[str, list[ImageUse]]:
    """The escape character, and the image of the syntax."""
    escape, uses = "\\", []
    for number, line in enumerate(text.split("\n"), 1):
        if number == 1 and line.startswith("#!"):
            continue
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            break
        if match[1].lower() == "syntax":
            uses.append(ImageUse(match[2].split(" ")[0], number))
        elif match[1].lower() == "escape":
            if match[2] not in ("\\", "`"):
                raise Unreadable(number, "has an escape character that is neither \\ nor `")
            escape = match[2]
    return escape, uses


def _instructions(text: str, escape: str, *, heredocs: bool) -> Iterator[tuple[int, str]]:
    """(line, instruction) with continued lines joined, comments and the bodies of heredocs left out."""
    continued = re.compile(rf"(?:^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*$")
    lines = enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)
    for first, line in lines:
        line = line.lstrip()
        if not line or line.startswith("#"):
            continue
        parts = []
        while continued.search(line):
            parts.append(line.rstrip(" \t")[:-1])
            line = next((more for _, more in lines if more.strip() and not more.lstrip().startswith("#")), "")
        whole = "".join((*parts, line))
        if heredocs:
            for name, tabs in _heredocs(whole):
                for _, body in lines:
                    if (body.lstrip("\t") if tabs else body) == name:
                        break
        yield first, whole


def _heredocs(instruction: str) -> list[tuple[str, bool]]:
    """Ends of the heredocs that the instruction begins, and whether tabs before them count for nothing."""
    pieces = instruction.split()
    if not pieces or pieces[0].lower() not in _WITH_HEREDOCS:
        return []
    found = (_HEREDOC.match(word) for word in pieces)
    return [(match[3], match[1] == "-") for match in found if match]


@dataclass(slots=True)
class _Reading:
    """What the instructions up to here mean."""

    arguments: Mapping[str, str]
    escape: str
    stages: list[str] = field(default_factory=list)
    uses: list[ImageUse] = field(default_factory=list)
    declared: dict[str, str | None] = field(default_factory=dict)  # before the first FROM; None: without a value

    def feed(self, line: int, instruction: str) -> None:
        keyword, _, rest = instruction.partition(_first_blank(instruction))
        rest = rest.strip()
        match keyword.replace("\u0130", "i").lower():  # the one other letter that is an `i` to the builder
            case "arg" if not self.stages:
                self._arg(line, rest)
            case "from":
                self._from(line, rest)
            case "copy" | "add":
                for flag in self._flags(line, rest)[0]:
                    if flag.startswith("--from="):
                        self._use(line, flag.removeprefix("--from="))
            case "run":
                for flag in self._flags(line, rest)[0]:
                    if flag.startswith("--mount="):
                        self._mount(line, flag.removeprefix("--mount="))
            case "onbuild":
                self.feed(line, rest)

    def _arg(self, line: int, rest: str) -> None:
        for word in words(rest, self.escape, line):
            name, equals, value = word.partition("=")
            if name in self.arguments:
                self.declared[name] = self.arguments[name]
                continue
            try:
                self.declared[name] = expand(value, self.declared, self.escape, line) if equals else None
            except Unreadable:  # only if it is used
                self.declared[name] = None

    def _from(self, line: int, rest: str) -> None:
        found = self._flags(line, rest)[1].split()
        if len(found) not in (1, 3) or (len(found) == 3 and found[1].lower() != "as"):
            raise NotFrom(line, "must be `FROM IMAGE` or `FROM IMAGE AS NAME`")
        if len(self.stages) >= MOST_STAGES:
            raise Unreadable(line, f"has stage {MOST_STAGES + 1}")
        image = expand(found[0], self.declared, self.escape, line)
        if image.lower() not in self.stages or not image:
            self._image(line, image)
        self.stages.append(found[2].lower() if len(found) == 3 else "")

    def _use(self, line: int, name: str) -> None:
        """A stage by name or number, or an image. Builders substitute nothing here."""
        if "$" in name:
            raise Unreadable(line, "has a variable where none is allowed")
        stage = name.lower() in self.stages or (re.fullmatch(r"[0-9]{1,9}", name) and int(name) < len(self.stages))
        if name and not stage:
            self._image(line, name)

    def _image(self, line: int, name: str) -> None:
        if name != SCRATCH:
            self.uses.append(ImageUse(name, line))

    def _mount(self, line: int, text: str) -> None:
        try:
            rows = list(csv.reader([text]))
        except csv.Error as error:
            raise Unreadable(line, f"has a mount that cannot be read: {error}") from None
        for fields in rows:
            for part in fields:
                key, _, value = part.partition("=")
                if key.strip().lower() == "from":
                    self._use(line, value)

    def _flags(self, line: int, rest: str) -> tuple[list[str], str]:
        """The `--name=value` words that come first, without their quotes, and what comes behind them."""
        found = []
        while match := _FLAG.match(rest):
            if match.end() < len(rest) and not rest[match.end()].isspace():
                raise Unreadable(line, "has a flag with an open quote")
            found.append(expand(match[0], None, self.escape, line))
            rest = rest[match.end() :].lstrip()
        return found, rest


def _first_blank(instruction: str) -> str:
    return next((c for c in instruction if c in _BLANK), " ")
