"""The haproxy process: a daemon that outlives gitship, started, found again, stopped."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
from pathlib import Path

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front import daemon_process
from gitship.front.daemon_process import Daemonized
from gitship.front.supervised import Supervised
from gitship.front.varnishd import PROXY_USER

START_TIMEOUT_S = 300.0  # a certificate takes 0.9 ms of processor time, and the machine may be busy
STOP_TIMEOUT_S = 10.0
VERSION_TIMEOUT_S = 10.0
MOST = 1 << 20
SPARE_FILES = 500  # for listeners, the admin socket and what OpenSSL opens


class CertificatesRefused(FrontError):
    """haproxy does not start with the certificates in its list."""


class Haproxy:
    """A haproxy with its files in ``directory``: ``haproxy.cfg``, ``haproxy.pid``, ``admin.sock``."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "haproxy.cfg"
        self.pid_file = directory / "haproxy.pid"
        self.admin = directory / "admin.sock"
        self._daemon = Daemonized("haproxy", self.pid_file, [b"-D", b"-f", os.fsencode(self.config)])
        self.unit = Supervised("haproxy", directory)

    def pid(self) -> int | None:
        """None when it does not run (a pid that another process has by now does not count)."""
        return self._daemon.pid()

    def start(self, listen: Address | None = None, most: int = MOST) -> None:
        """Starts it with the configuration on disk, for ``most`` connections at once. It must not be running.

        Raises FrontError, that names who holds the port of ``listen``, or CertificatesRefused.
        """
        command = self._command(most)
        self.stop()
        self._start(command, command, listen)

    def replace(self, most: int = MOST) -> None:
        """A new one takes over its listeners, with the configuration on disk; the one before ends with its last
        connection. It must be running. Raises FrontError.
        """
        command, before = self._command(most), sorted(self._daemon.processes())
        taking_over = [*command, "-x", str(self.admin), "-sf", *map(str, before)]
        self._start(taking_over, command, None)

    def _command(self, most: int) -> list[str]:
        files = max(100, (daemon_process.open_files() - SPARE_FILES) // 2)  # a connection is two files
        command = [program(), "-D", "-f", str(self.config), "-p", str(self.pid_file), "-n", str(min(files, most))]
        return daemon_process.with_open_files(command)

    def _start(self, command: list[str], again: list[str], listen: Address | None) -> None:
        code, said = self.unit.start(command, START_TIMEOUT_S, 0o077, "apt-get install haproxy", again=again)
        if code != 0:
            raise _start_error(said, listen)

    def stop(self) -> None:
        """Ends it and waits for it, first by SIGTERM, then by SIGKILL. Nothing happens when it does not run."""
        self.unit.withdraw()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._daemon.processes():
                self._daemon.kill(pid, number)
            if self._daemon.gone(STOP_TIMEOUT_S):
                break
        self.pid_file.unlink(missing_ok=True)


def program() -> str:
    """Raises FrontError when it is not installed."""
    return daemon_process.find("haproxy", "apt-get install haproxy, then restart gitship")


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
        raise FrontError("haproxy does not report its version", "run `haproxy -v`")
    return int(found[1]), int(found[2])


def proxy_user() -> str | None:
    """Whom haproxy becomes once it has its port and its keys; None when it keeps the user it has."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(PROXY_USER).pw_name
    except KeyError:
        return None


def _start_error(said: str, listen: Address | None) -> FrontError:
    if listen is not None and "Permission denied" in said and "bind" in said:
        return daemon_process.not_allowed(listen.port, "https")
    if listen is not None and "in use" in said:
        return daemon_process.in_use(listen.port, "https")
    if "crt-list" in said or ".pem" in said:
        return CertificatesRefused(f"haproxy rejected a certificate: {_alert(said)}", "see the server's log")
    return FrontError(f"haproxy did not start: {_alert(said)}", "see the server's log")


def _alert(said: str) -> str:
    alerts = [row.partition(" : ")[2] for row in said.splitlines() if row.startswith("[ALERT]")]
    return (alerts[0] if alerts else said.strip() or "no output")[:300]
