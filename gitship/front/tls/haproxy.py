"""The haproxy process: started as a daemon of its own, found again, ended. It outlives gitship, as varnishd does."""

from __future__ import annotations

import os
import pwd
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from gitship.config import Address
from gitship.errors import FrontError
from gitship.front.parameters import OPEN_FILES
from gitship.front.ports import holder
from gitship.front.varnishd import PROXY_USER

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
VERSION_TIMEOUT_S = 10.0
SPARE_FILES = 500  # for listeners, the admin socket and what OpenSSL opens
_POLL_S = 0.02


class CertificatesRefused(FrontError):
    """haproxy does not start with the certificates in its list."""


class Haproxy:
    """haproxy with its files in ``directory``: ``haproxy.cfg``, ``haproxy.pid``, ``admin.sock``."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "haproxy.cfg"
        self.pid_file = directory / "haproxy.pid"
        self.admin = directory / "admin.sock"

    def pid(self) -> int | None:
        """None when it does not run (a pid that another process has by now does not count)."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def start(self, listen: Address) -> None:
        """Starts it with the configuration on disk. It must not be running. Raises FrontError, CertificatesRefused."""
        limit = _open_files()
        command = [program(), "-D", "-f", str(self.config), "-p", str(self.pid_file)]
        command += ["-n", str(max(100, (limit - SPARE_FILES) // 2))]  # a connection is two files
        prlimit = shutil.which("prlimit")
        if prlimit:
            command = [prlimit, f"--nofile={limit}:{limit}", "--", *command]
        self.stop()
        with tempfile.TemporaryFile() as output:
            try:
                code = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=START_TIMEOUT_S,
                    start_new_session=True, umask=0o077, check=False,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                raise FrontError(
                    f"haproxy did not start within {START_TIMEOUT_S:g} s", "see whether the machine is busy"
                ) from None
            except OSError as error:
                raise FrontError(f"cannot run haproxy: {error.strerror}", "apt-get install haproxy") from None
            output.seek(0)
            said = output.read().decode(errors="replace")
        if code != 0:
            raise _start_error(said, listen)

    def stop(self) -> None:
        """Ends it and waits for it, first by SIGTERM, then by SIGKILL. Nothing happens when it does not run."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            running = self._processes()
            if not running:
                break
            for pid in running:
                _kill(pid, number)
            self._wait_gone()
        self.pid_file.unlink(missing_ok=True)

    def _wait_gone(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._processes() and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _processes(self) -> set[int]:
        pids = (int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit())
        return {pid for pid in pids if self._is_ours(pid)}

    def _is_ours(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return words[0].endswith(b"haproxy") and words[1:4] == [b"-D", b"-f", os.fsencode(self.config)]


def program() -> str:
    """Raises FrontError when it is not installed."""
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FrontError("haproxy is not installed", "apt-get install haproxy, then restart gitship")
    return found


def version() -> tuple[int, int]:
    """Raises FrontError when it is not installed, or doesn't say."""
    try:
        said = subprocess.run(
            [program(), "-v"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S,
            check=False,
        ).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    found = re.search(r"version (\d+)\.(\d+)", said)
    if found is None:
        raise FrontError("haproxy does not say its version", "run `haproxy -v`")
    return int(found[1]), int(found[2])


def proxy_user() -> str | None:
    """Whom haproxy becomes once it has its port and its keys; None when it keeps the user it has."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(PROXY_USER).pw_name
    except KeyError:
        return None


def _open_files() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise FrontError(f"not allowed to end haproxy (pid {pid})", "run it as the user who started it") from None


def _start_error(said: str, listen: Address) -> FrontError:
    if "Permission denied" in said and "bind" in said:
        return FrontError(
            f"only root may listen on port {listen.port}",
            "run gitship as root, or choose [https] listen with a port from 1024 on",
        )
    if "in use" in said:
        who = holder(listen.port) or "another program"
        return FrontError(
            f"port {listen.port} is in use by {who}", "end that program, or choose another port in [https] listen"
        )
    if "crt-list" in said or ".pem" in said:
        return CertificatesRefused(f"haproxy refuses a certificate: {_alert(said)}", "see the server's log")
    return FrontError(f"haproxy did not start: {_alert(said)}", "see the server's log")


def _alert(said: str) -> str:
    alerts = [row.partition(" : ")[2] for row in said.splitlines() if row.startswith("[ALERT]")]
    return (alerts[0] if alerts else said.strip() or "it said nothing")[:300]
