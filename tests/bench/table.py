"""Tables of medians and ratios; nothing here judges a figure."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def spread(values: Sequence[float]) -> str:
    """``1.23 (1.10..1.50)``: median, smallest and largest."""
    return f"{median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the ratios run by run, so that a machine that changes its speed does not matter."""
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table, with the machine's load as it is now."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    print(f"\n{title} (load {os.getloadavg()[0]:.1f})\n")
    for row in (header, ["-" * w for w in widths], *rows):
        print("| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + " |", flush=True)
