"""A Docker engine that a test may stop, freeze and kill: its own data, runtime directory, socket and network namespace.

The namespace matters: a dockerd with ``--bridge=none`` deletes the ``docker0`` of the engine that the machine runs
(moby's ``removeDefaultBridgeInterface``), and all builds on it fail from then on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.dockerd import OwnEngine, answers
from tests.e2e.harness import wait_until


class IsolatedEngine(OwnEngine):
    """Its containers reach each other only; nothing outside reaches them."""

    more: tuple[str, ...] = ()  # further options of dockerd

    def start(self) -> None:
        """Starts dockerd and waits until it answers."""
        command = [
            "unshare", "--net", "dockerd", "-H", self.host, "--data-root", str(self.base / "data"),
            "--exec-root", str(self.base / "run"), "--pidfile", str(self.base / "dockerd.pid"),
            *self.more,
        ]  # fmt: skip
        with (self.base / "dockerd.log").open("ab") as log:
            self._process = process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

        def ready() -> bool:
            assert process.poll() is None, (self.base / "dockerd.log").read_text(errors="replace")[-3000:]
            return answers(self.host)

        wait_until(ready, 60, "the isolated dockerd answers", every_s=0.2)

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
    own = IsolatedEngine(Path(tempfile.mkdtemp(prefix="gs-dockerd-")))
    own.more = options
    try:
        own.start()
        yield own
    finally:
        own.destroy()
