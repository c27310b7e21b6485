"""A registry of the tests' own on a loopback port, which Docker speaks to without TLS; it asks for a password."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from tests.places import free_port
from tests.waiting import wait_until

USER, PASSWORD = "ci", "s3cret-of-the-registry"
PROGRAM = "docker-registry"
INSTALL_S = 120
CONFIG = """
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {images}}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: tests, path: {base}/htpasswd}}}}
"""


def ensure_program() -> str:
    """Its path; the Debian package is installed when it is not there. Skips when it cannot be."""
    if shutil.which(PROGRAM) is None and shutil.which("apt-get"):
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", PROGRAM],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=INSTALL_S,
            check=False,
        )
    found = shutil.which(PROGRAM)
    if found is None:
        pytest.skip(f"the Debian package {PROGRAM} cannot be installed here")
    return found


@contextmanager
def running(base: Path, *, port: int = 0, images: Path | None = None) -> Iterator[str]:
    """Its address, ``127.0.0.1:port``; it ends with the block. ``images`` are those of an earlier one."""
    program, port = ensure_program(), port or free_port()
    base.mkdir()
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
    (base / "htpasswd").write_text(f"{USER}:{hashed}\n")
    (base / "config.yml").write_text(CONFIG.format(base=base, port=port, images=images or base / "images"))
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(base / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def answers() -> bool:
        assert process.poll() is None, (base / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(answers, 30, "the registry answers")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
