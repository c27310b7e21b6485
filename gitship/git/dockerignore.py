"""Matches `.dockerignore` patterns by Docker's rules.

Source: "Dockerfile reference", section `.dockerignore`, and moby/patternmatcher, which the Docker clients use: a line
is cleaned as a path; a leading or trailing slash means nothing; `*` and `?` stay within a name; `**` is any number of
directories; the last line that matches wins; a line that matches a directory matches all that is below it. Like
BuildKit (and unlike the classic client) an ignored directory is looked into for exceptions such as `!**/*.md`.
Neither pathspec (git's rules: `*.md` at every depth) nor docker-py's matcher (it ignores case) decides alike.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from gitship.errors import GitError

MAX_PATTERNS = 1000

_CLASS = re.compile(r"\[\^?(?:(?:\\.|[^\\\]-])(?:-(?:\\.|[^\\\]-]))?)+\]", re.DOTALL)  # Go's path/filepath.Match


@dataclass(frozen=True, slots=True)
class IgnorePattern:
    """One line: ``text`` is cleaned and has no leading slash; ``keeps`` marks an exception, which begins with `!`.

    ``line`` is the line as people are told: `.dockerignore line 2, '*.txt'`.
    """

    text: str
    keeps: bool
    line: str
    regex: re.Pattern[str] = field(compare=False, repr=False)


class Dockerignore:
    """The patterns of a `.dockerignore`, asked from the top of a tree downwards."""

    def __init__(self, patterns: Iterable[IgnorePattern] = (), always: Iterable[str] = ()) -> None:
        """``always`` names files (slash-delimited paths) that no pattern can leave out."""
        self._patterns = tuple(patterns)
        self._always = frozenset(always)
        self._above_always = frozenset(directory for path in self._always for directory in _above(path))
        self._exceptions = [re.sub(r"(/\*\*)?(/\*)?$", "", p.text) + "/" for p in self._patterns if p.keeps]
        self._keeps_anywhere = any(set(text) & set("*[]?^\\") for text in self._exceptions)
        self.root = (False,) * len(self._patterns)

    def ignores(self, path: str, parent: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
        """Whether ``path`` is left out, and which patterns matched it: that is ``parent`` for the entries below it.

        For entries at the top ``parent`` is ``root``.
        """
        ignored = False
        matches: list[bool] = []
        for pattern, matched_above in zip(self._patterns, parent, strict=True):
            # A pattern that cannot change the outcome is not tried, exactly as in moby/patternmatcher.
            matched = matched_above or (pattern.keeps == ignored and pattern.regex.match(path) is not None)
            matches.append(matched)
            if matched:
                ignored = not pattern.keeps
        return ignored and path not in self._always, tuple(matches)

    def line_for(self, path: str) -> str:
        """The line that leaves ``path`` out, by itself or with a directory above it; "" when none does."""
        ignored, matches = False, self.root
        for place in (*_above(path), path):
            ignored, matches = self.ignores(place, matches)
        return [p.line for p, matched in zip(self._patterns, matches, strict=True) if matched][-1] if ignored else ""

    def may_keep_below(self, directory: str) -> bool:
        """Whether something below an ignored directory may be kept; if not, the directory need not be read."""
        return (
            self._keeps_anywhere
            or directory in self._above_always
            or any(text.startswith(f"{directory}/") for text in self._exceptions)
        )


def parse(text: bytes, file: str = ".dockerignore") -> list[IgnorePattern]:
    """The patterns of a file. Raises GitError naming ``file`` and the line when one is malformed."""
    patterns: list[IgnorePattern] = []
    content = text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for number, line in enumerate(content.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or line.startswith("#"):  # a comment begins in the first column: " # x" is a pattern
            continue
        keeps = stripped.startswith("!")
        raw = stripped.removeprefix("!").strip()
        cleaned = posixpath.normpath(raw).lstrip("/") if raw else ""
        if not cleaned:
            if keeps:
                raise GitError(
                    f"{file} line {number}: '!' without a pattern", "write what to keep, for instance '!keep.txt'"
                )
            continue  # "/" matches nothing
        try:
            regex = re.compile(_regex(cleaned), re.DOTALL)
            patterns.append(IgnorePattern(cleaned, keeps, f"{file} line {number}, '{stripped[:80]}'", regex))
        except (ValueError, re.error) as error:
            raise GitError(
                f"{file} line {number}: '{cleaned[:80]}' is not a pattern: {error}",
                "`*` and `?` match within a name, `**` any number of directories, `\\` escapes the next character",
            ) from None
        if len(patterns) > MAX_PATTERNS:
            raise GitError(f"{file} has more than {MAX_PATTERNS} patterns", "use wildcards")
    return patterns


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def _tokens(pattern: str) -> Iterator[str]:
    r"""`**/`, `**`, `*`, `?`, `[class]`, `\x` or one plain character each. Raises ValueError when malformed."""
    at = 0
    while at < len(pattern):
        end = at + 1
        if pattern.startswith("**", at):
            end = at + (3 if pattern.startswith("**/", at) else 2)
        elif pattern[at] == "\\":
            end = at + 2
            if end > len(pattern):
                raise ValueError("it ends with a backslash")
        elif pattern[at] == "[":
            match = _CLASS.match(pattern, at)
            if match is None:
                raise ValueError("a '[' is not closed, or is not a list of characters")
            end = match.end()
        yield pattern[at:end]
        at = end


def _regex(pattern: str) -> str:
    """A regular expression for a cleaned pattern, for use with ``match``. Raises ValueError when it is malformed.

    Atomic groups commit to the leftmost place where a piece between two stars fits, which is right because such a
    piece has a fixed length. So the time is linear: `*a*a*a*a*a*a*b` would else hold the interpreter lock for hours.
    """
    tokens = list(_tokens(pattern))
    if tokens[0] == "**" and all(len(t) == 1 and t not in "*?" for t in tokens[1:]):
        return ".*" + "".join(map(_one, tokens[1:])) + r"\Z"  # Docker's own special case: "**.pyc", any such ending
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token.startswith("**"):
            parts.append([])
        else:
            parts[-1].append(token)
    parts = [part for n, part in enumerate(parts) if part or n in (0, len(parts) - 1)]  # `**/**/` is `**/`
    if sum(1 for part, following in pairwise(parts) if following and part and part[-1] != "/") > 1:
        raise ValueError("it has more than one '**' inside names")  # each takes the time times the path's length
    regex = ""
    for n, part in enumerate(parts):
        if n and n == len(parts) - 1 and not part:
            return rf"{regex}.*\Z"
        # What ends with a slash ends earliest when it begins earliest; only then may it commit.
        whole = n < len(parts) - 1 and part[-1:] == ["/"]
        fits = ("(?:.*?/)??" if n else "") + _piece(part, commits=whole)
        regex += f"(?>{fits})" if whole else fits
    return rf"{regex}\Z"


def _piece(tokens: list[str], *, commits: bool) -> str:
    """Tokens without `**`. All its stars commit but the last, and that one as well when ``commits`` is set."""
    stars = [n for n, t in enumerate(tokens) if t == "*"]
    if not stars:
        return "".join(map(_one, tokens))
    regex = "".join(map(_one, tokens[: stars[0]]))
    for n, (star, following) in enumerate(pairwise([*stars, len(tokens)]), start=1):
        fits = "[^/]*?" + "".join(map(_one, tokens[star + 1 : following]))
        regex += f"(?>{fits})" if commits or n < len(stars) else fits
    return regex


def _one(piece: str) -> str:
    if piece == "?":
        return "[^/]"
    if len(piece) == 1:
        return re.escape(piece)
    if piece[0] == "\\":
        return re.escape(piece[1])
    inner = piece[1:-1]
    chars = re.findall(r"\\.|.", inner.removeprefix("^"), re.DOTALL)
    ranges = "".join("-" if char == "-" else re.escape(char[-1]) for char in chars)
    return f"(?!/)[{'^' if inner.startswith('^') else ''}{ranges}]"
