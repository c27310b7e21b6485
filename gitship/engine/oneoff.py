"""Runs commands in one-off containers, or in running ones."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from gitship.engine.docker_http import DockerHttp, HttpStream
from gitship.engine.errors import refused
from gitship.engine.stream_frames import Lines, frames
from gitship.engine.timeouts import Timeout, TimeoutExpired, WaitInterrupted
from gitship.engine.types import ContainerSpec, ContainerState
from gitship.errors import DeployCanceled, DeployError, EngineError

STOP_GRACE_S = 5.0  # what a one-off command gets to end by itself when it is canceled or takes too long
OUTPUT_BYTES = 64 << 10
TIMED_OUT = 124  # the exit code that timeout(1) gives
_WAIT_S = 0.1
_PID_S = 2.0


class TemporaryContainers(Protocol):
    """What a one-off needs of the engine."""

    def create(self, spec: ContainerSpec) -> str: ...

    def start(self, container_id: str) -> None: ...

    def inspect(self, container_id: str) -> ContainerState: ...

    def stop(self, container_id: str, timeout_s: float) -> None: ...

    def remove(self, container_id: str) -> None: ...


def run(
    engine: TemporaryContainers,
    wire: DockerHttp,
    api: str,
    spec: ContainerSpec,
    on_line: Callable[[str], None],
    cancel: threading.Event,
    timeout_s: float,
) -> int:
    """Runs a container to its end and hands over each line as it comes; the exit code.

    Raises DeployCanceled when ``cancel`` is set, DeployError after ``timeout_s``. In every case the
    container is removed.
    """
    patience = Timeout(time.monotonic() + timeout_s, (cancel,))
    if cancel.is_set():
        raise DeployCanceled("the command was canceled")
    container_id = engine.create(replace(spec, restart=False))
    try:
        # attached before the start, so that not a byte is lost
        with wire.open(
            "POST",
            f"{api}/containers/{container_id}/attach",
            query={"stream": "1", "stdout": "1", "stderr": "1"},
            patience=patience,
        ) as stream:
            check(stream, "read the command's output")
            engine.start(container_id)
            _hand_over(stream, on_line)
        return exit_code(engine, container_id, patience)
    except WaitInterrupted:
        engine.stop(container_id, STOP_GRACE_S)
        raise DeployCanceled("the command was canceled") from None
    except TimeoutExpired:
        engine.stop(container_id, STOP_GRACE_S)
        raise DeployError(f"the command took longer than {timeout_s:g} s", "make it faster, or run it later") from None
    finally:
        engine.remove(container_id)


def _hand_over(stream: HttpStream, on_line: Callable[[str], None]) -> None:
    lines = {"stdout": Lines(), "stderr": Lines()}
    for name, data in frames(stream.read):
        for line in lines[name].feed(data):
            on_line(line)
    for rest in lines.values():
        for line in rest.end():
            on_line(line)


def exit_code(engine: TemporaryContainers, container_id: str, patience: Timeout) -> int:
    """Waits for the end; a process may close its output long before."""
    while True:
        state = engine.inspect(container_id)
        if state.status in ("exited", "dead"):
            return state.exit_code
        patience.check()
        time.sleep(_WAIT_S)  # bounded by the patience


def execute(
    wire: DockerHttp, api: str, container_id: str, command: tuple[str, ...], timeout_s: float,
    events: tuple[threading.Event, ...] = (),
) -> tuple[int, str]:  # fmt: skip
    """Exit code and the last OUTPUT_BYTES of output of a command in a running container.

    A command that takes longer than ``timeout_s`` is killed and gives TIMED_OUT. Raises EngineError when it cannot
    be run, DeployCanceled once one of ``events`` is set: it is killed then, too.
    """
    patience = Timeout(time.monotonic() + timeout_s, events)
    body = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command)}
    exec_id = post(wire, f"{api}/containers/{container_id}/exec", body)["Id"]
    output = bytearray()
    try:
        with wire.open(
            "POST", f"{api}/exec/{exec_id}/start", body=json.dumps({"Detach": False}).encode(), patience=patience
        ) as stream:
            check(stream, "run the command")
            for _, data in frames(stream.read):
                output += data
                del output[:-OUTPUT_BYTES]
        code = exec_code(wire, api, exec_id, patience)
    except (TimeoutExpired, WaitInterrupted) as over:
        kill(wire, f"{api}/exec/{exec_id}", container_id)
        if isinstance(over, WaitInterrupted):
            raise DeployCanceled("the command was canceled") from None
        code = TIMED_OUT
    return code, output.decode("utf-8", "replace")


def exec_code(wire: DockerHttp, api: str, exec_id: str, patience: Timeout) -> int:
    while True:
        found = wire.json("GET", f"{api}/exec/{exec_id}/json")
        if not found["Running"]:
            return int(found["ExitCode"])
        patience.check()
        time.sleep(_WAIT_S)  # bounded by the patience


def kill(wire: DockerHttp, path: str, container_id: str) -> None:
    """Ends the exec at ``path``, for which Docker has no call: by process id, once its cgroup says that it is meant."""
    deadline = time.monotonic() + _PID_S
    while True:
        found = wire.json("GET", f"{path}/json") or {}
        pid = found.get("Pid") or 0
        if not found.get("Running"):
            return
        if pid > 1:
            break
        if time.monotonic() >= deadline:
            return
        time.sleep(_WAIT_S)  # a command may print before Docker knows its process id
    with suppress(OSError):
        if re.search(rf"\b{re.escape(container_id)}\b", Path(f"/proc/{pid}/cgroup").read_text()):
            for one in _stopped_with_children(pid):
                with suppress(OSError):  # it has ended meanwhile
                    os.kill(one, signal.SIGKILL)


def _stopped_with_children(pid: int) -> list[int]:
    """The process and all that came of it: a shell's commands outlive the shell. Stopped, so that none comes after."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            os.kill(parent, signal.SIGSTOP)
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return found


def post(wire: DockerHttp, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        with wire.open("POST", path, body=json.dumps(body).encode()) as stream:
            check(stream, "run the command")
            answer: dict[str, Any] = json.loads(stream.read_all(1 << 20))
            return answer
    except TimeoutExpired:
        raise EngineError("Docker did not answer in time", "see `docker ps` on the server") from None


def check(stream: HttpStream, doing: str) -> None:
    """Raises EngineError unless Docker said yes."""
    if stream.status < 300:
        return
    text = stream.read_all(1 << 16)
    try:
        explanation = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        explanation = text.decode("utf-8", "replace")
    raise refused(doing, explanation)
