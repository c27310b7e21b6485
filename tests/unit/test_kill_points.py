"""The points at which tests/e2e/trapdoor.py kills gitship are functions that are there."""

from __future__ import annotations

import importlib
from functools import reduce

import pytest

from tests.e2e.trapdoor import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_the_function_is_there(target: str) -> None:
    module, _, path = target.partition(":")
    assert callable(reduce(getattr, path.split("."), importlib.import_module(module)))
