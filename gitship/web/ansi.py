"""Converts ANSI colours of a log line to HTML."""

from __future__ import annotations

import re

from tornado.escape import xhtml_escape

from gitship.console.escapes import coloured

_SGR = re.compile(r"\x1b\[([0-9;:]*)m")
_PLAIN = frozenset[str]()
_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",)}
_ON = {1: "bold", 2: "dim", 3: "italic", 4: "underline"}


def html(line: str) -> str:
    """Only foreground colours of the first sixteen, bold, dim, italic and underlined are kept."""
    text = coloured(line)
    if "\x1b" not in text:
        return xhtml_escape(text)
    parts: list[str] = []
    looks, at = _PLAIN, 0
    for match in _SGR.finditer(text):
        parts.append(_span(text[at : match.start()], looks))
        looks, at = _after(looks, match[1]), match.end()
    parts.append(_span(text[at:], looks))
    return "".join(parts)


def _span(text: str, looks: frozenset[str]) -> str:
    if not text:
        return ""
    escaped = xhtml_escape(text)
    return f'<span class="{" ".join(sorted(looks))}">{escaped}</span>' if looks else escaped


def _after(looks: frozenset[str], parameters: str) -> frozenset[str]:
    """What holds after an SGR sequence (ECMA-48, 8.3.117)."""
    codes = [int(n) if n else 0 for n in re.split("[;:]", parameters)]
    while codes:
        code = codes.pop(0)
        if code == 0:
            looks = _PLAIN
        elif code in _ON:
            looks |= {_ON[code]}
        elif code in _OFF:
            looks -= set(_OFF[code])
        elif 30 <= code <= 39 or 90 <= code <= 97:
            looks = frozenset(look for look in looks if not look.startswith("c"))
            colour = (
                _palette(codes) if code == 38 else None if code == 39 else (code - 30) % 60 + (8 if code > 39 else 0)
            )
            if colour is not None and colour < 16:
                looks |= {f"c{colour}"}
        elif code == 48:
            _palette(codes)
    return looks


def _palette(codes: list[int]) -> int | None:
    """Takes what follows 38 or 48; the colour's number when it is one of the palette."""
    kind = codes.pop(0) if codes else 0
    if kind == 5 and codes:
        return codes.pop(0)
    if kind == 2:
        del codes[:3]
    return None
