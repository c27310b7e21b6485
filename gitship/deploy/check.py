"""Readiness: every new container answers its checks before a visitor is sent there.

Checks run from the server to the container's own address, all containers side by side, every 0.25 s until ready.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

from gitship.deploy import interim, sockets
from gitship.engine.base import Engine
from gitship.engine.values import ContainerState
from gitship.errors import DeployCanceled, DeployError, GitshipError, NotFound
from gitship.model import Check, Container, Process

POLL_S = 0.25
NEXT_CRASH_S = 2.0  # what crashed at once crashes again as fast: Docker starts it after 0.1 s, 0.2 s, 0.4 s, ...
CRASH_POLL_S = 0.02
PARALLEL = 16
LOG_LINES = 20
BODY_BYTES = 1 << 20  # enough to look for `content`
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
            runs = [pool.submit(self._container, c, p, host, cancel, give_up) for c, p in wanted]
            wait(runs, return_when=FIRST_EXCEPTION)
            give_up.set()
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
            passed, seen = self._try(check, container, state, host, up_s)
            found.append(Look(container.name, title(check), passed, seen))
        return found

    def _container(
        self, container: Container, process: Process, host: str, cancel: threading.Event, give_up: threading.Event
    ) -> list[str]:
        return [self._check(check, container, process, host, cancel, give_up) for check in process.checks]

    def _check(
        self,
        check: Check,
        container: Container,
        process: Process,
        host: str,
        cancel: threading.Event,
        give_up: threading.Event,
    ) -> str:
        began = time.monotonic()
        limit = check.deadline_s if check.deadline_s is not None else self._deadline_s
        limit = max(limit, check.uptime_s + POLL_S)
        cause = "not tried"
        wake = began + check.initial_delay_s
        while True:
            if cancel.wait(max(0.0, wake - time.monotonic())):
                raise DeployCanceled("canceled while it was checked")
            if give_up.is_set():
                raise DeployCanceled("another container failed")
            state = self._must_live(container, process)
            passed, cause = self._try(check, container, state, host, time.monotonic() - began)
            if passed:
                return cause
            if interim.is_cause(cause):
                raise DeployError(cause, interim.HINT, self._last_lines(container))
            if time.monotonic() - began >= limit:
                raise self._not_ready(check, container, state, cause, limit)
            wake = time.monotonic() + POLL_S

    def _must_live(self, container: Container, process: Process) -> ContainerState:
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
            state = self._after_its_end(container, state)
            ended = "crashed and was started again" if state.status == "running" else f"exited {state.exit_code}"
            raise DeployError(
                f"{container.process} {ended}" + (f": {state.error}" if state.error else ""),
                "the lines above are its last words; to see more, build and run the image on your own machine",
                self._last_lines(container),
            )
        return state

    def _after_its_end(self, container: Container, state: ContainerState) -> ContainerState:
        """The state between two starts: while a restarted container runs, Docker shows the exit code as 0."""
        deadline = time.monotonic() + NEXT_CRASH_S
        while state.status == "running" and time.monotonic() < deadline:
            time.sleep(CRASH_POLL_S)
            try:
                state = self._engine.inspect(container.id)
            except GitshipError:
                break
        return state

    def _try(
        self, check: Check, container: Container, state: ContainerState, host: str, elapsed_s: float
    ) -> tuple[bool, str]:
        """(passed, what was seen)."""
        if check.kind == "uptime":
            return elapsed_s >= check.uptime_s, f"up for {check.uptime_s:g} s"
        if check.kind == "image" and not check.command:
            return state.health == "healthy", f"HEALTHCHECK {state.health or 'has not run yet'}"
        if check.kind in ("command", "image"):
            try:
                code, text = self._engine.exec(container.id, check.command, check.timeout_s)
            except GitshipError as error:
                return False, error.message
            shown = "HEALTHCHECK" if check.kind == "image" else " ".join(check.command)
            return code == 0, f"{shown} exited {code} {text[-200:].strip() if code else ''}".strip()
        port = check.port or container.port
        if port is None:
            return False, "the process has no port to check"
        if check.kind == "listening":
            return listens(container.address, port, check.timeout_s)
        return http_answer(check, container.address, port, host)

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


def listens(address: str, port: int, timeout_s: float) -> tuple[bool, str]:
    """(passed, what was seen) of one TCP connection."""
    try:
        with socket.create_connection((address, port), timeout_s):
            return True, f"listens on {port}"
    except OSError as error:
        return False, _network_cause(error, port, timeout_s)


def http_answer(check: Check, address: str, port: int, host: str) -> tuple[bool, str]:
    """(passed, what was seen) of one GET with the check's path, headers and scheme."""
    connection = http.client.HTTPConnection(address, port, timeout=check.timeout_s)
    if check.scheme == "https":  # an app's own certificate is for its domain at best, not for a container's address
        connection = http.client.HTTPSConnection(
            address,
            port,
            timeout=check.timeout_s,
            context=ssl._create_unverified_context(),  # noqa: S323
        )
    headers = {"Host": host, "User-Agent": "gitship-check", "Accept": "*/*", "Connection": "close", **check.headers}
    try:
        connection.request("GET", check.path, headers=headers)
        response = connection.getresponse()
        body = response.read(BODY_BYTES) if check.content else b""
    except OSError as error:
        return False, _network_cause(error, port, check.timeout_s)
    except http.client.HTTPException as error:
        return False, f"GET {check.path} was answered with something that is not HTTP ({type(error).__name__})"
    finally:
        connection.close()
    if response.status < 200:
        return False, interim.cause(check.path, response.status)
    seen = f"GET {check.path} {response.status}"
    if response.status >= (500 if check.lenient else 400):
        return False, f"GET {check.path} answered {response.status}"
    if check.content and check.content.encode() not in body:
        return False, f"{seen}, but without {check.content!r} in the answer"
    return True, seen


def _network_cause(error: OSError, port: int, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer on port {port} within {timeout_s:g} s"
    return f"connection to port {port} failed: {error.strerror or error}"
