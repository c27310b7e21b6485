"""Escapes control sequences in text from apps, builds and clients before it is printed."""

from __future__ import annotations

import re

# ECMA-48: OSC/DCS/SOS/PM/APC strings up to their end, CSI sequences, then the two-byte and nF forms.
_SEQUENCE = re.compile(
    r"\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|\x1b",
    re.DOTALL,
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CONTROL_BUT_ESCAPE = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
RESET = "\x1b[0m"


def printable(text: str) -> str:
    """One line: line ends, tabs and control characters are shown as ``\\n``, ``\\t``, ``\\x1b``."""
    if text.isprintable():
        return text
    text = text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)


def plain(text: str) -> str:
    """Without escape sequences and control characters; tabs and line ends stay."""
    if text.isprintable():
        return text
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def coloured(text: str) -> str:
    """As ``plain``, but with the colours that the app chose, ended at the end of the text."""
    if "\x1b" not in text:
        return plain(text)
    kept = _SEQUENCE.sub(lambda m: m[0] if _COLOUR.fullmatch(m[0]) else "", text)
    kept = _CONTROL_BUT_ESCAPE.sub("", kept)
    return kept + RESET if "\x1b" in kept else kept
