"""What .ci/quick leaves out is still there, is part of the unit tests, and is not most of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import THOROUGH

pytestmark = pytest.mark.unit

TESTS = Path(__file__).parents[1]


def test_what_takes_long_exists() -> None:
    assert [name for name in THOROUGH if not (TESTS / name).exists()] == []


def test_most_modules_are_quick() -> None:
    modules = set((TESTS / "unit").rglob("test_*.py"))
    left_out = {path for path in modules if any(TESTS / n == path or TESTS / n in path.parents for n in THOROUGH)}
    assert len(left_out) * 3 < len(modules)
