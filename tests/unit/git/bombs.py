"""Repositories that are small to send and large to hold, each of a size that a test or a bench chooses."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.e2e.apps import clean_env, git

HEAD = b"commit refs/heads/main\ncommitter A <a@example.com> 1700000000 +0000\ndata 4\nbomb\n"
DOCKERFILE = b'FROM scratch\nCOPY . /\nEXPOSE 8080\nCMD ["/busybox", "httpd", "-f", "-p", "8080", "-h", "/"]\n'
PIECE = 1 << 20


def _fast_import(path: Path, stream: Iterable[bytes]) -> Path:
    """A repository with the one commit on main that the stream makes."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    git(path, "config", "core.bigFileThreshold", "16m")  # larger ones are streamed, by the client, too
    importer = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=path, env=clean_env(), stdin=subprocess.PIPE)
    assert importer.stdin is not None
    for piece in stream:
        importer.stdin.write(piece)
    importer.stdin.close()
    assert importer.wait(600) == 0
    return path


def _file(name: bytes, content: bytes, mode: bytes = b"100644") -> bytes:
    return b"M %s inline %s\ndata %d\n%s\n" % (mode, name, len(content), content)


def _app(dockerfile: bytes = DOCKERFILE) -> bytes:
    busybox = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    return HEAD + _file(b"Dockerfile", dockerfile) + _file(b"busybox", busybox, b"100755")


def zeros(path: Path, megabytes: int = 2048) -> Path:
    """One file of zeros: a thousandth of its size in the pack."""

    def stream() -> Iterator[bytes]:
        yield _app() + b"M 100644 inline zeros\ndata %d\n" % (megabytes * PIECE)
        for _ in range(megabytes):
            yield bytes(PIECE)
        yield b"\n"

    return _fast_import(path, stream())


def large_blob(path: Path, megabytes: int = 200) -> Path:
    """One file of random bytes, and an app that starts."""

    def stream() -> Iterator[bytes]:
        yield _app() + b"M 100644 inline blob\ndata %d\n" % (megabytes * PIECE)
        with Path("/dev/urandom").open("rb") as source:
            for _ in range(megabytes):
                yield source.read(PIECE)
        yield b"\n"

    return _fast_import(path, stream())


def many_files(path: Path, count: int = 1_000_000) -> Path:
    """So many files in directories of 1,000, all of one content."""

    def stream() -> Iterator[bytes]:
        yield b"blob\nmark :1\ndata 1\nx\n" + _app()
        for number in range(count):
            yield b"M 100644 :1 d%d/f%d\n" % (number // 1000, number)

    return _fast_import(path, stream())


def trees(path: Path, depth: int = 10, width: int = 10) -> Path:
    """Trees of ``width`` entries that are all the same tree, ``depth`` times: width^depth files of a few objects."""
    _fast_import(path, [_app()])
    top = git(path, "rev-parse", "HEAD^{tree}")
    inner = _mktree(path, [f"100644 blob {git(path, 'rev-parse', 'HEAD:Dockerfile')}\tf{n}" for n in range(width)])
    for _ in range(depth - 1):
        inner = _mktree(path, [f"040000 tree {inner}\td{n}" for n in range(width)])
    listed = git(path, "ls-tree", top).splitlines()
    top = _mktree(path, [*listed, f"040000 tree {inner}\tbomb"])
    made = git(path, "commit-tree", top, "-m", "bomb")
    git(path, "update-ref", "refs/heads/main", made)
    return path


def _mktree(path: Path, lines: Iterable[str]) -> str:
    done = subprocess.run(
        ["git", "mktree"], cwd=path, env=clean_env(), input="\n".join([*lines, ""]), text=True, capture_output=True,
        timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def forks(path: Path, count: int = 20_000) -> Path:
    """A Dockerfile with a step that starts processes until it may not, or ``count`` are there."""
    shell = f"i=0; while [ $i -lt {count} ]; do /busybox sleep 20 & i=$((i+1)); done; echo $i processes; exit 3"
    step = b'RUN ["/busybox", "sh", "-c", "%s"]\n' % shell.encode()
    return _fast_import(path, [_app(DOCKERFILE.replace(b"EXPOSE", step + b"EXPOSE"))])
