"""Pattern matching of `logs --grep`: fixed text or RE2 regular expressions, in linear time.

Python's own `re` backtracks and holds the interpreter's lock while it does: `(a+)+$` on one line would stop the server.
RE2 works in linear time without the lock: the worst pattern of MOST_INSTRUCTIONS took 3 s for a line of 64 KiB.
"""

from __future__ import annotations

from collections.abc import Callable

import re2

MOST_INSTRUCTIONS = 2000  # of a compiled pattern, repetitions written out: a character can cost a pass over them
MOST_BYTES = 1 << 20  # of a compiled pattern and what it remembers; the library keeps up to 128 patterns


def matcher(text: str, *, regex: bool, ignore_case: bool, invert: bool) -> Callable[[str], bool]:
    """Says of a line whether it is wanted. Raises ValueError with the reason in a few words."""
    find = (_expression if regex else _fixed)(text, ignore_case)
    return (lambda line: not find(line)) if invert else find


def _expression(text: str, ignore_case: bool) -> Callable[[str], bool]:
    options = re2.Options()
    options.max_mem, options.case_sensitive = MOST_BYTES, not ignore_case
    options.never_capture, options.log_errors = True, False
    try:
        pattern = re2.compile(text, options)
    except re2.error as error:
        raise ValueError(error.args[0].decode("utf-8", "replace")) from None
    if pattern.programsize > MOST_INSTRUCTIONS:
        raise ValueError("pattern too large")
    return lambda line: pattern.search(line.encode()) is not None  # of bytes: a third of the time (4 us against 12)


def _fixed(text: str, ignore_case: bool) -> Callable[[str], bool]:
    if ignore_case:
        folded = text.casefold()
        return lambda line: folded in line.casefold()
    return lambda line: text in line
