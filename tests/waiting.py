"""Waiting in tests for what gives no event of its own. A time-out is a guard against hanging, never what is tested."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

GUARD_S = 30.0  # however busy the machine is
OFTEN_S = 0.02


def wait_until(
    condition: Callable[[], Any], timeout_s: float = GUARD_S, what: str = "it comes to that", every_s: float = OFTEN_S
) -> Any:
    """Polls until ``condition()`` is true, and returns its value; AssertionError with ``what`` after the time-out.

    A ``timeout_s`` below GUARD_S means GUARD_S.
    """
    timeout_s = max(timeout_s, GUARD_S)
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(every_s)
    return value


def wait_to_be(value: Callable[[], Any], wanted: Any, timeout_s: float = GUARD_S) -> None:
    """Polls until ``value()`` is ``wanted``; AssertionError with both after the time-out, which is at least GUARD_S."""
    deadline = time.monotonic() + max(timeout_s, GUARD_S)
    while (found := value()) != wanted:
        assert time.monotonic() < deadline, f"{found!r}, not {wanted!r}"
        time.sleep(OFTEN_S)
