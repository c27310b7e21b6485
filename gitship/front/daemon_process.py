"""Daemon processes that outlive gitship: started, found again by command line, stopped."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from gitship.errors import FrontError
from gitship.front.tcp_ports import holder
from gitship.front.varnishd_parameters import OPEN_FILES

_POLL_S = 0.02


class Daemonized:
    """All processes whose command line begins with the program ``name`` and the ``words`` that no other one has.

    Only those of this PID namespace: a gitship in a container of this machine has the same paths, and its own programs.
    """

    def __init__(self, name: str, pid_file: Path, words: list[bytes]) -> None:
        self._name = name
        self._pid_file = pid_file
        self._words = words

    def pid(self) -> int | None:
        """From its pid file; None when it does not run (a pid that another process has by now does not count)."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def processes(self) -> set[int]:
        pids = (int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit())
        return {pid for pid in pids if self._is_ours(pid)}

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Nothing happens when it is gone. Raises FrontError when it is another user's."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            raise FrontError(
                f"not allowed to end {self._name} (pid {pid})", "run this as the user who started it"
            ) from None

    def gone(self, timeout_s: float) -> bool:
        """Waits until no process is left; False when one is after ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while self.processes():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _is_ours(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        ours = words[0].endswith(self._name.encode()) and words[1 : 1 + len(self._words)] == self._words
        return ours and _is_of_this_namespace(pid)


def _is_of_this_namespace(pid: int) -> bool:
    """By the number of its pids, one for each PID namespace from ours down to its own (proc_pid_status(5))."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return next((len(line.split()) == 2 for line in status.splitlines() if line.startswith("NSpid:")), True)


def find(name: str, hint: str) -> str:
    """The program's path. Raises FrontError with ``hint`` when it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FrontError(f"{name} is not installed", hint)
    return found


def run(name: str, arguments: list[str], timeout_s: float, umask: int, hint: str) -> tuple[int, str]:
    """Waits until the program has become a daemon, or ended: its exit code and output. Raises FrontError."""
    # Output goes to a file: the daemon keeps its streams for a while, and a pipe would be waited for.
    with tempfile.TemporaryFile() as output:
        try:
            code = subprocess.run(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=timeout_s,
                start_new_session=True,  # Ctrl-C at gitship must not reach it
                umask=umask,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise FrontError(
                f"{name} did not start within {timeout_s:g} s", "check whether the machine is overloaded"
            ) from None
        except OSError as error:
            raise FrontError(f"cannot run {name}: {error.strerror}", hint) from None
        output.seek(0)
        return code, output.read().decode(errors="replace")


def open_files() -> int:
    """How many files such a program may have open: OPEN_FILES, or what the system allows when that is less."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)


def with_open_files(arguments: list[str]) -> list[str]:
    """The limit of the shell that starts gitship is often 1024 files, which is 500 visitors; as many as allowed."""
    prlimit = shutil.which("prlimit")  # of util-linux, which every Debian has
    limit = open_files()
    return [prlimit, f"--nofile={limit}:{limit}", "--", *arguments] if prlimit else arguments


def not_allowed(port: int, section: str) -> FrontError:
    return FrontError(
        f"only root may listen on port {port}",
        f"run gitship as root or with CAP_NET_BIND_SERVICE, or choose [{section}] listen with a port from 1024 on",
    )


def in_use(port: int, section: str) -> FrontError:
    who = holder(port) or "another program"
    return FrontError(
        f"port {port} is in use by {who}", f"stop that program, or choose another port in [{section}] listen"
    )
