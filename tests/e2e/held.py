"""Commands and pushes that are held open: what they wait for comes when the test says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

from tests.e2e.apps import clean_env
from tests.e2e.harness import Server
from tests.waiting import wait_until

END_S = 30.0

# Stands where git starts ssh: it hands on what git sends up to the pack, and the pack once the file is there.
GATE = """
import pathlib, subprocess, sys, time
held, ssh = pathlib.Path(sys.argv[1]), sys.argv[2:]
child = subprocess.Popen(ssh, stdin=subprocess.PIPE)
data = b""
while not data.endswith(b"0000PACK"):
    more = sys.stdin.buffer.read(1)
    if not more:
        break
    data += more
if data.endswith(b"PACK"):
    child.stdin.write(data[:-4])
    child.stdin.flush()
    held.with_suffix(".held").touch()
    deadline = time.monotonic() + 60
    while not held.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    data = b"PACK"
try:
    child.stdin.write(data)
    while more := sys.stdin.buffer.read1(65536):
        child.stdin.write(more)
        child.stdin.flush()
    child.stdin.close()
except BrokenPipeError:
    pass
sys.exit(child.wait())
"""


class HeldCommand:
    """`ssh ... COMMAND` whose standard input is open; ``terminal`` gives it one."""

    def __init__(self, server: Server, key: Path, *command: str, terminal: bool = False, protocol: str = "") -> None:
        """``protocol`` is git's, as ``version=2``."""
        options = [*(["-tt"] if terminal else []), *(["-o", "SendEnv=GIT_PROTOCOL"] if protocol else [])]
        words = [*server.ssh_command(key), *options, "deploy@127.0.0.1", *command]
        self.output = server.base / f"held-{id(self)}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_env(GIT_PROTOCOL=protocol),
            )

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def until_said(self, text: str) -> None:
        wait_until(lambda: text in self.said or self.process.poll() is not None, END_S, f"'{text}' in {self.said!r}")
        assert text in self.said, self.said

    def give(self, text: str = "") -> int:
        """Its standard input, to the end; the exit code."""
        try:
            self._stdin.write(text.encode())
            self._stdin.close()
        except BrokenPipeError:
            pass
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(END_S)
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        return code

    @property
    def _stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin


class HeldPush:
    """A push whose wishes have reached the server, and whose pack has not."""

    def __init__(self, server: Server, key: Path, repository: Path, app: str, *options: str, ref: str = "main") -> None:
        self._go = server.base / f"go-{id(self)}"
        gate = server.base / "gate.py"
        gate.write_text(GATE)
        command = " ".join([sys.executable, str(gate), str(self._go), *server.ssh_command(key)])
        self.process = subprocess.Popen(
            ["git", "push", *options, server.url(app), ref], cwd=repository,
            env=clean_env(GIT_SSH_COMMAND=command, GIT_SSH_VARIANT="ssh"), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        wait_until(lambda: self._go.with_suffix(".held").exists(), END_S, "the push waits before its pack")

    def go_on(self) -> tuple[int, str]:
        """The exit code, and what git printed."""
        self._go.touch()
        said, _ = self.process.communicate(timeout=END_S)
        return self.process.returncode, said
