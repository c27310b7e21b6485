"""Commands that must succeed, over ssh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.harness import Server, make_key


def ok(server: Server, *command: str, **more: Any) -> str:
    """What it printed; ``more`` as ``Server.ssh`` takes it."""
    done = server.ssh(*command, **more)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{server.logs[-3000:]}"
    return done.stdout


def add_key(server: Server, name: str, *options: str) -> Path:
    """A new key that the server knows from now on."""
    key = make_key(server.base / name)
    ok(server, "keys:add", name, *options, stdin=Path(f"{key}.pub").read_text())
    return key
