"""Receiving a push: gitship's SSH front door and receive-pack against OpenSSH's sshd and `git receive-pack`.

Both take the same histories, in turn, into fresh bare repositories on this machine. sshd runs in a mount namespace of
its own where root's shell is /bin/sh, so that nobody's .bashrc is measured.
"""

from __future__ import annotations

import base64
import contextlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.table import paired_ratio, show, spread
from tests.e2e.apps import clean_env, git
from tests.e2e.harness import make_key
from tests.places import free_port

READY_S = 15.0
PUSH_S = 300.0


@dataclass(frozen=True, slots=True)
class History:
    """A made-up history: so many commits over so many files of so many random bytes (base64, so a third is air).

    Each commit replaces an eighth of two files, as edits do: later versions are deltas in the pack.
    """

    name: str
    files: int
    commits: int
    file_bytes: int
    runs: int
    target: str


HISTORIES = (
    History("20 files", files=20, commits=1, file_bytes=2_000, runs=7, target="0.5"),
    History("about 12 MiB", files=400, commits=1_500, file_bytes=16_000, runs=5, target="1.0"),
    History("about 120 MiB", files=2_000, commits=6_500, file_bytes=36_000, runs=3, target="1.2"),
)
LINE_BYTES = 54  # of random bytes in a line of 72 letters


def make(path: Path, history: History) -> float:
    """Writes the history into a new repository; its pack's size in MiB."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], env=clean_env(), check=True, timeout=30)
    source = random.Random(history.name)
    importer = subprocess.Popen(
        ["git", "fast-import", "--quiet", "--depth=20"], cwd=path, env=clean_env(), stdin=subprocess.PIPE
    )
    assert importer.stdin is not None
    out = importer.stdin
    lines_each = history.file_bytes // LINE_BYTES
    texts = [[_line(source) for _ in range(lines_each)] for _ in range(history.files)]
    for number in range(history.commits):
        header = b"commit refs/heads/main\ncommitter A <a@example.com> %d +0000\ndata 4\ntest\n"
        out.write(header % (1_700_000_000 + number))
        for index in range(history.files) if number == 0 else source.sample(range(history.files), 2):
            if number:
                at = source.randrange(lines_each)
                texts[index][at : at + lines_each // 8] = [_line(source) for _ in range(lines_each // 8)]
            text = b"".join(texts[index])
            out.write(b"M 100644 inline d%d/f%d.txt\ndata %d\n%s\n" % (index % 40, index, len(text), text))
    out.close()
    if importer.wait(300):
        raise RuntimeError("git fast-import failed")
    repack = ["git", "-c", "pack.window=4", "-c", "pack.depth=20", "repack", "-adfq"]
    subprocess.run(repack, cwd=path, env=clean_env(), check=True, timeout=600)
    return sum(p.stat().st_size for p in path.glob("objects/pack/*.pack")) / (1 << 20)


def _line(source: random.Random) -> bytes:
    return base64.b64encode(source.randbytes(LINE_BYTES)) + b"\n"


def push(source: Path, url: str, ssh: str) -> float:
    """Seconds of one `git push` of everything."""
    began = time.monotonic()
    done = subprocess.run(
        ["git", "push", "-q", url, "main"], cwd=source, env=clean_env(GIT_SSH_COMMAND=ssh, GIT_SSH_VARIANT="ssh"),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PUSH_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"git push {url}: {done.stderr}")
    return time.monotonic() - began


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip()[-2000:]
    raise SystemExit(f"error: what should listen on port {port} does not; it said:\n{said or 'nothing'}")


@contextlib.contextmanager
def _child(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=clean_env())
    try:
        _wait_for(port, process, log)
        yield
    finally:
        process.terminate()
        process.wait(10)


def sshd_program() -> str:
    """Where OpenSSH's server is. Ends the bench with what to install when it is not there."""
    found = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(
            "error: sshd, which gitship is compared with, is not installed\n"
            "hint: apt-get install openssh-server (dnf install openssh-server); it need not run"
        )
    return found


@contextlib.contextmanager
def openssh(directory: Path, key: Path) -> Iterator[int]:
    """sshd on a free port for root with this key; its port."""
    port = free_port()
    host_key = directory / "host_ed25519"
    make_key(host_key)
    authorized = directory / "authorized_keys"
    authorized.write_text(Path(f"{key}.pub").read_text())
    passwd = directory / "passwd"
    lines = Path("/etc/passwd").read_text().splitlines()
    passwd.write_text(
        "\n".join(line.rpartition(":")[0] + ":/bin/sh" if line.startswith("root:") else line for line in lines)
    )
    options = [
        f"Port={port}", "ListenAddress=127.0.0.1", f"HostKey={host_key}", f"AuthorizedKeysFile={authorized}",
        "StrictModes=no", "UsePAM=no", "PermitRootLogin=prohibit-password", "PidFile=none", "MaxStartups=100",
        "Ciphers=aes128-gcm@openssh.com", "KexAlgorithms=curve25519-sha256",
    ]  # fmt: skip
    sshd = " ".join([sshd_program(), "-D", "-e", "-f", "/dev/null", *(f"-o{o}" for o in options)])
    Path("/run/sshd").mkdir(exist_ok=True)
    script = f"mount --bind {passwd} /etc/passwd && exec {sshd}"
    with _child(["unshare", "--mount", "sh", "-c", script], port, directory / "sshd.log"):
        yield port


@contextlib.contextmanager
def gitship(directory: Path, key: Path, repositories: Path) -> Iterator[int]:
    """gitship's own front door and receive-pack, without the deploy behind it; its port."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "tests.bench.receive_server",
        str(port),
        str(directory),
        f"{key}.pub",
        str(repositories),
    ]
    with _child(command, port, directory / "gitship.log"):
        yield port


def compare() -> None:
    """Prints the table; each pair of runs is taken in turn."""
    with tempfile.TemporaryDirectory(prefix="gs-receive-") as name:
        directory = Path(name)
        key = directory / "key"
        make_key(key)
        ssh = (
            f"ssh -F none -i {key} -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=no"
            " -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o KexAlgorithms=curve25519-sha256"
        )
        ours_root = directory / "ours"
        ours_root.mkdir()
        rows = []
        with openssh(directory, key) as theirs_port, gitship(directory, key, ours_root) as our_port:
            for history in HISTORIES:
                source = directory / "source"
                size = make(source, history)
                ours, theirs = [], []
                for run in range(history.runs + 1):
                    target = directory / f"target-{run}.git"
                    git(directory, "init", "-q", "--bare", str(target))
                    their_time = push(source, f"ssh://root@127.0.0.1:{theirs_port}{target}", ssh)
                    our_time = push(source, f"ssh://deploy@127.0.0.1:{our_port}/run{run}", ssh)
                    shutil.rmtree(target)
                    shutil.rmtree(ours_root / f"run{run}.git")
                    if run:  # the first warms the page cache
                        theirs.append(their_time)
                        ours.append(our_time)
                rows.append(
                    [
                        history.name, f"{size:.1f}", spread(ours), spread(theirs),
                        f"{paired_ratio(ours, theirs):.2f}", history.target, str(history.runs),
                    ]
                )  # fmt: skip
                shutil.rmtree(source)
                print(f"done: {history.name}", flush=True)
        header = ["history", "MiB", "gitship s", "sshd + git s", "ratio", "target", "runs"]
        show("Receiving a push: median (least..most) seconds and paired ratio", header, rows)


if __name__ == "__main__":
    compare()
