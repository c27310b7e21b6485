"""Runs git as a child process, with a clean environment, limits and a timeout."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitship.git.push_limits import ReceiveLimits

MAX_OUTPUT_BYTES = 64 << 10
_LOOK_MS = 250  # how often a silent child's limits are looked at; its output and its end wake at once
# The server's own settings must not change what a push may do, and no child may ever ask for a password.
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
# 1 GiB windows (git's default) would count against the address space for each pack that is opened.
_SETTINGS = ("-c", "core.packedGitWindowSize=32m", "-c", "core.packedGitLimit=512m", "-c", "safe.directory=*")


@dataclass(frozen=True, slots=True)
class GitResult:
    """How a child ended; ``code`` is negative for a signal, as subprocess has it."""

    code: int
    stdout: bytes
    stderr: str


def git_command(arguments: Sequence[str], settings: Mapping[str, str] | None = None) -> list[str]:
    """``git`` with this server's settings and then ``settings``, as an argument list."""
    extra = [word for key, value in (settings or {}).items() for word in ("-c", f"{key}={value}")]
    return ["git", *_SETTINGS, *extra, *arguments]


def start(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    *,
    stdin: int,
    stderr: int = subprocess.PIPE,
    limits: ReceiveLimits | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a child as the head of its own process group. ``limits`` bound its address space and its CPU time."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env={"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT, **environment},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        bufsize=0,
        process_group=0,
    )
    if limits:
        try:  # from outside: a preexec_fn would forbid vfork, and is not safe among threads
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5))
        except ProcessLookupError:
            pass  # it ended at once; its exit code will tell
    return process


def finish(process: subprocess.Popen[bytes], timeout_s: float, stalled: Callable[[], bool] | None = None) -> GitResult:
    """Collects both outputs until the child ends; the exit code and at most 64 KiB of each.

    The child's exit ends the wait, never the end of the client's stream, which may not come. A child that outlives
    ``timeout_s``, or for which ``stalled`` says yes, is killed with all it started: raises TimeoutError.
    """
    assert process.stdout is not None and process.stderr is not None
    deadline = time.monotonic() + timeout_s
    poll = select.poll()
    outputs = {stream.fileno(): bytearray() for stream in (process.stdout, process.stderr)}
    first, second = outputs.values()
    for number in outputs:
        poll.register(number, select.POLLIN)
    try:
        open_ends = set(outputs)
        while open_ends:
            if time.monotonic() > deadline or (stalled and stalled()):
                raise TimeoutError
            for number, _ in poll.poll(_LOOK_MS):
                data = os.read(number, 1 << 16)
                if not data:
                    poll.unregister(number)
                    open_ends.discard(number)
                room = MAX_OUTPUT_BYTES - len(outputs[number])
                outputs[number] += data[:room]
        try:
            code = process.wait(max(deadline - time.monotonic(), 1.0))
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
    finally:
        end(process)
    return GitResult(code, bytes(first), second.decode("utf-8", "replace"))


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills the child and all it started, if they still run, and closes this side of its pipes."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
