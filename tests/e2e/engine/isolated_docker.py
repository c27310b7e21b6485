"""A Docker engine that a test may stop, freeze and kill: its own data, runtime directory, socket and network namespace.

The namespace matters: a dockerd with ``--bridge=none`` deletes the ``docker0`` of the engine that the machine runs
(moby's ``removeDefaultBridgeInterface``), and all builds on it fail from then on.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.dockerd import OwnEngine


class IsolatedEngine(OwnEngine):
    """Its containers reach each other only; nothing outside reaches them."""

    around = ("unshare", "--net")

    @property
    def pid(self) -> int:
        """dockerd's own process."""
        return int((self.base / "dockerd.pid").read_text())

    def kill9(self) -> None:
        """As the kernel does when memory is short; its containerd dies with it."""
        assert self._process is not None
        self._process.kill()  # unshare has become dockerd: no fork lies between
        self._process.wait(10)


@contextmanager
def isolated_engine(*options: str) -> Iterator[IsolatedEngine]:
    """Started, and gone without a trace afterwards."""
    assert shutil.which("dockerd"), "dockerd is not installed (Debian: docker.io)"
    assert os.geteuid() == 0, "starting a Docker engine needs root"
    own = IsolatedEngine(Path(tempfile.mkdtemp(prefix="gs-dockerd-")), live_restore=False, options=options)
    try:
        own.start()
        yield own
    finally:
        own.destroy()
