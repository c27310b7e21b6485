"""Splits what a new varnishd compiles before it serves from what it compiles afterwards.

A start with 1000 apps compiles for 20 s, in a row. Everything but the apps' own VCLs is there within a second, and a
label whose app is not loaded yet leads to a page that says "down, try again": no visitor ever meets another app's VCL.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# So many are compiled before the first visitor is let in (0.6 s): a server of usual size never shows that page.
AT_ONCE = 30

# As BootFiles writes them, an app's two in pairs.
_PAIR = re.compile(r'^-vcl\.load (\S+) ".*"\n-vcl\.label (\S+) \1\n', re.MULTILINE)
_LOAD = re.compile(r'^(-?)vcl\.load (\S+) ".*"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class DeferredVcl:
    """A VCL to be loaded, and the label to be led to it."""

    vcl: str
    label: str


def split(boot: str, first: Sequence[str], at_once: int) -> tuple[str, list[DeferredVcl]]:
    """The part of boot.cli for the start, and what is left for afterwards, in order.

    ``first`` are labels, those that come first; the others follow as they stand.
    """
    pairs = {m[2]: DeferredVcl(m[1], m[2]) for m in _PAIR.finditer(boot)}
    late = list(dict.fromkeys([*(label for label in first if label in pairs), *pairs]))[at_once:]
    waiting = set(late)
    start = _PAIR.sub(lambda m: "" if m[2] in waiting else m[0], boot)
    return start, [pairs[label] for label in late]


def inlined(start: str, text_of: Callable[[str], str | None]) -> str:
    """With the VCLs' texts in place of their files: the path is part of what is compiled, and gitship loads by text.

    A VCL that has no text (None) keeps its file's name, which varnishd then reports.
    """

    def inline(found: re.Match[str]) -> str:
        text = text_of(found[2])
        if text is None:
            return found[0]
        token = f"EOF{secrets.token_hex(8)}"
        return f"{found[1]}vcl.inline {found[2]} << {token}\n{text}\n{token}"

    return _LOAD.sub(inline, start)
