"""Reads requests from one varnishncsa process for all apps, restarted when it ends."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gitship.front.traffic_counters import LINE_FORMAT

PIPE_BYTES = 1 << 20  # 30,000 lines: varnishncsa goes on while Python is busy with something else
PAUSE_S = 0.05  # between two looks: one look at many lines is cheaper than many at one
RESTART_PAUSE_S = 1.0
LAST_LOOK_S = 0.5  # at the end, for requests that have just been answered
STOP_TIMEOUT_S = 3.0
_POLL_MS = 100
_OVERRUN = "overrun"

log = logging.getLogger("gitship.front")


class VisitorLog:
    """Hands whole lines to ``take``, from a thread of its own. It begins with the next request, not with old ones.

    varnishncsa finds a new varnishd or worker by itself. It never outlives gitship: setpriv has the kernel kill it
    with the thread that started it, and where there is no setpriv its next line finds the pipe closed.
    """

    def __init__(self, workdir: Path, take: Callable[[bytes], None]) -> None:
        self._workdir = workdir
        self._take = take
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="visitor-log", daemon=True)
        self.pid: int | None = None
        self.overruns = 0  # how often lines were lost because Varnish's log was overwritten before it was read

    @property
    def running(self) -> bool:
        """False while nobody is counted."""
        return self.pid is not None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the child; requests that were answered until now are still taken."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * STOP_TIMEOUT_S)

    def _run(self) -> None:
        told = False
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                ending = self._once()
            except Exception as error:
                ending = repr(error)
            if time.monotonic() - began > 60:
                told = False
            if not self._stop.is_set() and not told:
                told = True
                log.warning("varnishncsa ended (%s); it is started again, until then no visitor is counted", ending)
            self._stop.wait(RESTART_PAUSE_S)

    def _once(self) -> str:
        """Runs a child to its end; its last words."""
        child = subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}, start_new_session=True,
        )  # fmt: skip
        self.pid = child.pid
        try:
            return self._follow(child)
        finally:
            self.pid = None
            child.kill()
            child.wait(STOP_TIMEOUT_S)
            for stream in (child.stdout, child.stderr):
                if stream is not None:
                    stream.close()

    def _command(self) -> list[str]:
        program = shutil.which("varnishncsa") or shutil.which("varnishncsa", path="/usr/bin:/usr/local/bin")
        command = [program or "varnishncsa", "-n", str(self._workdir), "-F", LINE_FORMAT]
        setpriv = shutil.which("setpriv")  # of util-linux, which every Debian has
        return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else command

    def _follow(self, child: subprocess.Popen[bytes]) -> str:
        assert child.stdout is not None and child.stderr is not None
        lines, words = child.stdout.fileno(), child.stderr.fileno()
        with suppress(OSError):  # not allowed: the usual 64 kB will do up to 40,000 requests/s
            fcntl.fcntl(lines, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        poll = select.poll()
        poll.register(lines, select.POLLIN)
        poll.register(words, select.POLLIN)
        rest, said = b"", ""
        deadline = None
        while deadline is None or time.monotonic() < deadline:
            if self._stop.is_set():
                deadline = deadline or time.monotonic() + LAST_LOOK_S
            for number, _ in poll.poll(_POLL_MS):
                data = os.read(number, PIPE_BYTES)
                if number == words:
                    said = self._heard(data) or said
                    if not data:
                        poll.unregister(words)
                    continue
                if not data:
                    return said or "without a word"
                whole, newline, rest = (rest + data).rpartition(b"\n")
                self._take(whole + newline)
            time.sleep(PAUSE_S)
        return said

    def _heard(self, data: bytes) -> str:
        text = data.decode("utf-8", "replace").strip()
        if _OVERRUN in text:
            self.overruns += 1
            log.warning("varnishncsa: %s: some visitors were not counted", text.splitlines()[-1])
        return text.splitlines()[-1] if text else ""
