"""Golden files: expected texts in expected/, rewritten only with GITSHIP_REWRITE_GOLDEN=1."""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY = Path(__file__).parent / "expected"


def check(name: str, text: str) -> None:
    """``text`` is what the golden file ``name`` says."""
    path = DIRECTORY / name
    if os.environ.get("GITSHIP_REWRITE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} differs; GITSHIP_REWRITE_GOLDEN=1 rewrites it"
