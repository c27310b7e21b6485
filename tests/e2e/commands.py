"""Commands over ssh, and what has to come of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.harness import Server, make_key


def ok(server: Server, *command: str, **more: Any) -> str:
    """What it printed; ``more`` as ``Server.ssh`` takes it."""
    done = server.ssh(*command, **more)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{server.logs[-3000:]}"
    return done.stdout


def shown(server: Server, *command: str) -> Any:
    """What it says as JSON."""
    return json.loads(ok(server, *command, "--format", "json"))


def refused(server: Server, *command: str, key: Path | None = None) -> str:
    """What it says; it must fail, without a traceback."""
    done = server.ssh(*command, key=key)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def add_key(server: Server, name: str, *options: str) -> Path:
    """A new key that the server knows from now on."""
    key = make_key(server.base / name)
    ok(server, "keys:add", name, *options, stdin=Path(f"{key}.pub").read_text())
    return key
