"""`gitship` as a fork of a process that has imported it already: for tests that start it again and again.

An import takes 0.9 s of a processor, a fork nothing. `python -m tests.e2e.forks DIRECTORY` answers a line of JSON for
each one that it reads, and ends with its standard input; its children are gitship servers, with TRAPDOORS as its next
word such with trapdoors.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.apps import clean_env

TRAPDOORS = "trapdoors"


class Forks:
    """The process that forks, from the tests' side."""

    def __init__(self, directory: Path, *, trapdoors: bool = False) -> None:
        """``directory`` only tells whose it is in lists of processes."""
        command = [sys.executable, "-m", __name__, str(directory), *([TRAPDOORS] if trapdoors else [])]
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_env(), text=True, start_new_session=True
        )

    def ask(self, **words: Any) -> Any:
        """Hands over one request; the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def start(self, words: Sequence[str], log: Path, env: Mapping[str, str]) -> Forked:
        """`gitship WORDS`, which writes to ``log``; that file is there."""
        return Forked(self, self.ask(words=list(words), log=str(log), env=dict(env)))

    def end(self) -> None:
        """Its children are left alone."""
        self._process.communicate(timeout=10)


@dataclass(slots=True)
class Forked:
    """As a ``subprocess.Popen``, as far as a ``Server`` needs it."""

    forks: Forks
    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.forks.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        if self.returncode is None:
            process = os.pidfd_open(self.pid)
            try:
                if not select.select([process], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired("gitship", timeout)
            finally:
                os.close(process)
        code = self.poll()
        assert code is not None
        return code

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _fork(words: Sequence[str], log: str, env: Mapping[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(env)
        for target, path, mode in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_APPEND)):
            handle = os.open(path, mode)
            os.dup2(handle, target)
            os.close(handle)
        os.dup2(1, 2)
        from gitship.cli import main

        code = main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def serve(*, trapdoors: bool) -> None:
    """Answers until its standard input ends."""
    import gitship.process  # noqa: F401  # what takes its time

    if trapdoors:
        from tests.e2e import trapdoor

        trapdoor.install()
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_poll(asked["poll"]) if "poll" in asked else _fork(**asked)), flush=True)


if __name__ == "__main__":
    serve(trapdoors=TRAPDOORS in sys.argv[2:])
