"""How many examples hypothesis tries: the same in each run, and with --long others, ten times as many."""

from __future__ import annotations

import hypothesis

LONGER = 10


def examples(count: int) -> hypothesis.settings:
    """A decorator as ``hypothesis.settings``."""
    chosen_anew = not hypothesis.settings.default.derandomize  # type: ignore[union-attr]
    return hypothesis.settings(max_examples=count * (LONGER if chosen_anew else 1))
