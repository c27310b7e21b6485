"""For all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """A run in the background inherits an ignored SIGINT, and so would every client that a test interrupts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
