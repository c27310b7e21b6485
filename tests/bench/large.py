"""A one-line change in a large repository: `git push` to the first answer, against `docker build` in a checkout."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from pathlib import Path

from tests.e2e import apps, docker_cli

FILES, TOTAL_BYTES, DIRECTORIES = 3000, 300_000_000, 60
APP = "large"
DOCKERFILE = """\
FROM scratch
COPY tiny /tiny
COPY assets /assets
COPY page.txt /page.txt
ENV VERSION={version}
EXPOSE 8000
CMD ["/tiny"]
"""


def make(path: Path, tiny: Path) -> Path:
    """A repository of 3,000 files and 300 MB that nothing compresses."""
    words = random.Random(9)
    files: dict[str, str | bytes] = {"tiny": tiny.read_bytes(), "page.txt": "0\n", "Dockerfile": ""}
    for number in range(FILES - len(files)):
        files[f"assets/d{number % DIRECTORIES:02}/f{number:04}.bin"] = words.randbytes(TOTAL_BYTES // FILES)
    path.mkdir(parents=True)
    apps.git(path, "init", "-q", "-b", "main")
    apps.git(path, "config", "core.compression", "0")
    (path / "tiny").write_bytes(b"")
    (path / "tiny").chmod(0o755)
    apps.commit(path, "All of it", files)
    return path


def change(repository: Path, version: str) -> None:
    """One line of one file, and the version that tells the releases apart."""
    apps.commit(repository, version, {"Dockerfile": DOCKERFILE.format(version=version), "page.txt": f"{version}\n"})


def build_once(client: str, host: str, checkout: Path, version: str, label: str) -> float:
    """Seconds of `docker build` in the checkout."""
    began = time.monotonic()
    subprocess.run(
        [client, "-H", host, "build", "-q", "-t", f"{label}:{version}", "--label", f"{label}=1", "."],
        cwd=checkout, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    took = time.monotonic() - began
    docker_cli.docker(host, "rmi", f"{label}:{version}", check=False)
    return took


class Peak(threading.Thread):
    """The most memory (bytes, resident) that a process had while this ran."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="peak", daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.bytes = 0

    def run(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(OSError, ValueError, IndexError):
                pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
                self.bytes = max(self.bytes, pages * os.sysconf("SC_PAGE_SIZE"))

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.join()
