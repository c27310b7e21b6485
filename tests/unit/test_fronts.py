"""`gitship stop-front` imports what it needs, and not a whole server."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.clients

HEAVY = ("gitship.daemon", "gitship.commands", "gitship.web", "docker", "dulwich", "paramiko", "tornado", "rich")


def test_stop_front_does_not_import_the_whole_server() -> None:
    """0.2 s of a processor against 0.9: an upgrade and every test of a server end with it."""
    program = "import sys; from gitship.proxies import stop_front; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert set(HEAVY) & set(done.stdout.split()) == set()
