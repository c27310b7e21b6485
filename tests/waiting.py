"""Waiting in tests for what gives no event of its own. A time-out is a guard against hanging, never what is tested."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

GUARD_S = 30.0  # however busy the machine is
OFTEN_S = 0.02
SELDOM_S = 0.1


def wait_until(
    condition: Callable[[], Any], timeout_s: float = GUARD_S, what: str = "it comes to that", every_s: float = OFTEN_S
) -> Any:
    """Polls until ``condition()`` is true, and returns its value; AssertionError with ``what`` after the time-out.

    A ``timeout_s`` below GUARD_S means GUARD_S. What takes long is asked for less often, up to each SELDOM_S: many
    conditions start a program, and whatever is waited for needs the processors that those take.
    """
    timeout_s = max(timeout_s, GUARD_S)
    began = time.monotonic()
    while not (value := condition()):
        passed = time.monotonic() - began
        assert passed < timeout_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(max(every_s, min(SELDOM_S, passed / 10)))
    return value


def wait_to_be(value: Callable[[], Any], wanted: Any, timeout_s: float = GUARD_S) -> None:
    """Polls until ``value()`` is ``wanted``; AssertionError with both after the time-out, which is at least GUARD_S."""
    deadline = time.monotonic() + max(timeout_s, GUARD_S)
    while (found := value()) != wanted:
        assert time.monotonic() < deadline, f"{found!r}, not {wanted!r}"
        time.sleep(OFTEN_S)
