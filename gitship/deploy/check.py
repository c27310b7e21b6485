"""Readiness: every new container answers its checks before a visitor is sent there.

Checks run from the server to the container's own address, all containers side by side, every 0.25 s until ready.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from gitship.deploy import interim, sockets
from gitship.deploy.probe import Events, http_answer, listens
from gitship.engine.base import Engine
from gitship.engine.patience import Interrupted, Patience
from gitship.engine.values import ContainerState
from gitship.errors import DeployCanceled, DeployError, GitshipError, NotFound
from gitship.model import Check, Container, Process

POLL_S = 0.25
NEXT_CRASH_S = 2.0  # what crashed at once crashes again as fast: Docker starts it after 0.1 s, 0.2 s, 0.4 s, ...
CRASH_POLL_S = 0.02
PARALLEL = 16
LOG_LINES = 20
UNCHECKED_UPTIME_S = 1.0  # of a container whose checks are skipped: longer than a missing program needs to fail


def unchecked(process: Process) -> Process:
    """The process with nothing to pass but to stay up for a moment, as `checks:skip` wants it."""
    return replace(process, checks=(Check(kind="uptime", uptime_s=UNCHECKED_UPTIME_S),))


@dataclass(frozen=True, slots=True)
class Look:
    """What one try of a check saw; ``seen`` is a line for people."""

    container: str
    check: str
    passed: bool
    seen: str


class Checker:
    """Waits until containers are ready. ``deadline_s`` bounds each check that has no limit of its own."""

    def __init__(self, engine: Engine, deadline_s: float) -> None:
        self._engine = engine
        self._deadline_s = deadline_s

    def wait_ready(self, wanted: Sequence[tuple[Container, Process]], host: str, cancel: threading.Event) -> list[str]:
        """What passed, such as ``GET /healthz 200``; without doubles. ``host`` is sent as the Host header.

        Raises DeployError with the cause and the container's last lines, or DeployCanceled.
        """
        if not wanted:
            return []
        give_up = threading.Event()
        with ThreadPoolExecutor(min(PARALLEL, len(wanted)), thread_name_prefix="check") as pool:
            runs = [pool.submit(self._container, c, p, host, (cancel, give_up)) for c, p in wanted]
            wait(runs, return_when=FIRST_EXCEPTION)
            give_up.set()  # which ends what the others are at
            errors = [e for e in (run.exception() for run in runs) if e is not None]
            real = [e for e in errors if not isinstance(e, DeployCanceled)]
            for error in (real or errors)[:1]:
                raise error
        return list(dict.fromkeys(text for run in runs for text in run.result()))

    def look(self, container: Container, process: Process, host: str) -> list[Look]:
        """Tries each check of a running container once, now."""
        try:
            state = self._engine.inspect(container.id)
            fault = "" if state.status == "running" else f"the container is {state.status}"
        except NotFound:
            fault = "the container is gone"
        if fault:
            return [Look(container.name, title(c), False, fault) for c in process.checks]
        up_s = max(0.0, time.time() - state.started_at) if state.started_at else 0.0
        found = []
        for check in process.checks:
            limit_s = min(check.timeout_s, self._limit_s(check))
            passed, seen = self._try(check, container, state, host, up_s, limit_s, ())
            found.append(Look(container.name, title(check), passed, seen))
        return found

    def _container(self, container: Container, process: Process, host: str, ends: Events) -> list[str]:
        """Raises DeployCanceled as soon as one of ``ends`` is set, in the middle of a check, too."""
        try:
            return [self._check(check, container, process, host, ends) for check in process.checks]
        except Interrupted:
            raise DeployCanceled("canceled while it was checked") from None

    def _limit_s(self, check: Check) -> float:
        """Seconds until the check has to have passed."""
        limit = check.deadline_s if check.deadline_s is not None else self._deadline_s
        return max(limit, check.uptime_s + POLL_S)

    def _check(self, check: Check, container: Container, process: Process, host: str, ends: Events) -> str:
        began, limit = time.monotonic(), self._limit_s(check)
        wake = began + check.initial_delay_s
        while True:
            Patience(events=ends).rest(wake - time.monotonic())
            state = self._must_live(container, process, ends)
            elapsed_s, try_s = time.monotonic() - began, min(check.timeout_s, limit)
            passed, cause = self._try(check, container, state, host, elapsed_s, try_s, ends)
            if passed:
                return cause
            if interim.is_cause(cause):
                raise DeployError(cause, interim.HINT, self._last_lines(container))
            if time.monotonic() - began >= limit:
                raise self._not_ready(check, container, state, cause, limit)
            wake = time.monotonic() + POLL_S

    def _must_live(self, container: Container, process: Process, ends: Events) -> ContainerState:
        try:
            state = self._engine.inspect(container.id)
        except NotFound:
            raise DeployError(f"container {container.name} was removed by somebody", "push again") from None
        if state.oom_killed:
            limit = f" (limit {process.memory_bytes >> 20} MB)" if process.memory_bytes else ""
            raise DeployError(
                f"{container.process} ran out of memory{limit} and was killed",
                "give it more memory, or make it need less",
                self._last_lines(container),
            )
        if state.status in ("exited", "dead", "restarting") or state.restarts:
            state = self._after_its_end(container, state, ends)
            ended = "crashed and was started again" if state.status == "running" else f"exited {state.exit_code}"
            raise DeployError(
                f"{container.process} {ended}" + (f": {state.error}" if state.error else ""),
                "the lines above are its last words; to see more, build and run the image on your own machine",
                self._last_lines(container),
            )
        return state

    def _after_its_end(self, container: Container, state: ContainerState, ends: Events) -> ContainerState:
        """The state between two starts: while a restarted container runs, Docker shows the exit code as 0."""
        deadline = time.monotonic() + NEXT_CRASH_S
        while state.status == "running" and time.monotonic() < deadline:
            Patience(events=ends).rest(CRASH_POLL_S)
            try:
                state = self._engine.inspect(container.id)
            except GitshipError:
                break
        return state

    def _try(
        self, check: Check, container: Container, state: ContainerState, host: str, elapsed_s: float, limit_s: float,
        ends: Events,
    ) -> tuple[bool, str]:  # fmt: skip
        """(passed, what was seen) of one try, which takes at most ``limit_s``."""
        if check.kind == "uptime":
            return elapsed_s >= check.uptime_s, f"up for {check.uptime_s:g} s"
        if check.kind == "image" and not check.command:
            return state.health == "healthy", f"HEALTHCHECK {state.health or 'has not run yet'}"
        if check.kind in ("command", "image"):
            try:
                code, text = self._engine.exec(container.id, check.command, limit_s, ends)
            except DeployCanceled:
                raise
            except GitshipError as error:
                return False, error.message
            shown = "HEALTHCHECK" if check.kind == "image" else " ".join(check.command)
            return code == 0, f"{shown} exited {code} {text[-200:].strip() if code else ''}".strip()
        port = check.port or container.port
        if port is None:
            return False, "the process has no port to check"
        if check.kind == "listening":
            return listens(container.address, port, limit_s, ends)
        return http_answer(check, container.address, port, host, timeout_s=limit_s, events=ends)

    def _not_ready(
        self, check: Check, container: Container, state: ContainerState, cause: str, limit_s: float
    ) -> DeployError:
        hint = "see the lines above; if the app is only slow to start, raise deploy.check_timeout"
        if check.kind in ("http", "listening") and cause.startswith("connection"):
            told = sockets.explain(state.pid, check.port or container.port or 0)
            if told:
                cause, hint = told
        elif check.kind == "image" and state.health_output:
            cause = f"{cause}: {state.health_output.strip()[-200:]}"
        return DeployError(
            f"{container.process} is not healthy after {limit_s:g} s: {cause}", hint, self._last_lines(container)
        )

    def _last_lines(self, container: Container) -> list[str]:
        try:
            return [line.text for line in self._engine.logs(container.id, tail=LOG_LINES)]
        except GitshipError:
            return []


def title(check: Check) -> str:
    """The check as people say it: ``GET /healthz``."""
    port = f" on port {check.port}" if check.port else ""
    return {
        "http": f"GET {check.path}{port}",
        "listening": f"listening{port}",
        "uptime": f"up for {check.uptime_s:g} s",
        "image": "HEALTHCHECK",
    }.get(check.kind, " ".join(check.command))
