"""A Python base image made on this machine: tests must not need a registry."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e import docker_cli
from tests.e2e.apps import PYTHON_IMAGE

PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"


def _cache() -> Path:
    return Path(os.environ.get("GITSHIP_TEST_CACHE") or "/var/cache/gitship-test")


def cache_dir() -> Path:
    """Where what takes long to make is kept: GITSHIP_TEST_CACHE, else /var/cache/gitship-test."""
    _cache().mkdir(parents=True, exist_ok=True)
    return _cache()


def archive() -> Path:
    """The root file system of a small Debian with Python 3.11, made once by debootstrap (about 75 s)."""
    target = cache_dir() / "python-base.tar.gz"
    if target.exists():
        return target
    assert shutil.which("debootstrap"), "install debootstrap: the tests make their Python base image with it"
    work = Path(tempfile.mkdtemp(prefix="python-base-", dir=cache_dir()))  # /tmp may be mounted without devices
    try:
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(work / "root")]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
        unfinished = target.with_suffix(f".{os.getpid()}")
        exclude = ["--exclude=./var/cache/apt/archives/*.deb", "--exclude=./var/lib/apt/lists/*"]
        tar = ["tar", "-C", str(work / "root"), *exclude, "-I", "gzip -1", "-cf", str(unfinished), "."]
        subprocess.run(tar, check=True, timeout=300)
        unfinished.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _marks() -> tuple[Path, Path]:
    """A lock that users of the image share, and a file that has the engine's address while tests' image is there."""
    return _cache() / "python-image.lock", _cache() / "python-image.made"


@contextmanager
def in_use(host: str) -> Iterator[None]:
    """The image is there. It stays for the next module: bringing it takes 10 s, and ``remove`` is for the end."""
    cache_dir()
    lock, made = _marks()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # an exclusive one would wait for the end of a test that uses the image
        if not docker_cli.docker(host, "images", "-q", PYTHON_IMAGE):
            fcntl.flock(file, fcntl.LOCK_EX)
        if not docker_cli.docker(host, "images", "-q", PYTHON_IMAGE):
            label = "LABEL gitship.test=base"
            docker_cli.docker(host, "import", "-c", label, str(archive()), PYTHON_IMAGE, timeout_s=300)
            made.write_text(host)
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def remove() -> None:
    """At the end of all tests, unless it was there before them, or others use it: the last of them removes it."""
    lock, made = _marks()
    if not made.exists():
        return
    with lock.open("w") as file, contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        docker_cli.docker(made.read_text(), "rmi", PYTHON_IMAGE, check=False)
        made.unlink()


@contextmanager
def named(host: str, name: str) -> Iterator[None]:
    """Meanwhile the image has this name, too, unless an image of that name is there; one test at a time."""
    with (cache_dir() / "python-name.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        there = docker_cli.docker(host, "images", "-q", name)
        if not there:
            docker_cli.docker(host, "tag", PYTHON_IMAGE, name)
        try:
            yield
        finally:
            if not there:
                docker_cli.docker(host, "rmi", "--no-prune", name)
