"""Health checks of new containers, which must pass before visitors are sent to them.

Checks run from the server to the container's own address, all containers side by side, every 0.25 s until ready.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from gitship.containers import early_responses
from gitship.containers.listening_sockets import SLOW, PortDiagnosis, explain, listening
from gitship.containers.probe import REFUSED, Events, http_answer, listens
from gitship.containers.wrong_port import WrongPortSuspicion
from gitship.engine.interface import Engine
from gitship.engine.timeouts import Timeout, WaitInterrupted
from gitship.engine.types import ContainerState
from gitship.errors import DeployCanceled, DeployError, GitshipError, NotFound
from gitship.model import WEB, Check, Container, Process

POLL_S = 0.25
NEXT_CRASH_S = 2.0  # what crashed at once crashes again as fast: Docker starts it after 0.1 s, 0.2 s, 0.4 s, ...
CRASH_POLL_S = 0.02
PARALLEL = 16
LOG_LINES = 20
CONNECT_S = 2.0
NO_COMMAND = {126: "a command cannot be executed", 127: "a command is not in the image"}  # docker-init and shells
SHORT_OUTPUT = 160  # characters of a command's output that fit into git's line
# Of a container whose checks are skipped; a second is longer than a missing program needs to fail.
UNCHECKED = (Check(kind="uptime", uptime_s=1.0),)


def unchecked(process: Process) -> Process:
    """The process with nothing to pass but to stay up for a moment, as `checks:skip` wants it."""
    return replace(process, checks=UNCHECKED)


@dataclass(frozen=True, slots=True)
class CheckAttempt:
    """What one try of a check saw; ``seen`` is a line for people."""

    container: str
    check: str
    passed: bool
    seen: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The same within; ``output`` are lines that a command printed, ``refused`` that nobody has the port open."""

    passed: bool
    text: str
    output: tuple[str, ...] = ()
    refused: bool = False


class CheckedStage(Protocol):
    """The stage that people look at."""

    now: Callable[[], str]

    def detail(self, text: str) -> None: ...


class CheckRound:
    """What the checks of one deploy share: whom they ask for, what ends them, and what people are told meanwhile."""

    def __init__(
        self, app: str, host: str, cancel: threading.Event, tell: Callable[[str], None], web_port: int | None
    ) -> None:
        self.web_port = web_port
        self.app = app
        self.host = host
        self.give_up = threading.Event()
        self.ends = (cancel, self.give_up)
        self._tell = tell
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._waiting: dict[str, str] = {}  # by the container's name: what was seen of it last

    def see(self, container: Container, text: str, found: PortDiagnosis | None) -> None:
        """A container that is not ready: a wrong port is told at once, the rest when it lasts."""
        line = f"{container.process} {found.cause}" if found else f"{container.process} is not ready: {text}"
        with self._lock:
            self._waiting[container.name] = line
        if found and found.wrong:
            self.tell(line)

    def tell(self, line: str) -> None:
        """Once, however many containers it is true of."""
        with self._lock:
            news, self._told = line not in self._told, self._told | {line}
        if news:
            self._tell(line)

    def ready(self, container: Container) -> None:
        with self._lock:
            self._waiting.pop(container.name, None)

    def now(self) -> str:
        """What keeps everybody waiting."""
        with self._lock:
            lines = sorted(set(self._waiting.values()))
        more = f"; {len(lines) - 1} more {'is' if len(lines) == 2 else 'are'} not ready" if lines[1:] else ""
        return lines[0] + more if lines else ""


class HealthChecker:
    """Waits until containers are ready. ``deadline_s`` bounds each check that has no limit of its own."""

    def __init__(self, engine: Engine, deadline_s: float) -> None:
        self._engine = engine
        self._deadline_s = deadline_s

    def wait_ready(
        self, wanted: Sequence[tuple[Container, Process]], app: str, host: str, cancel: threading.Event,
        stage: CheckedStage | None = None, web_port: int | None = None,
    ) -> list[str]:  # fmt: skip
        """What passed, such as ``GET /healthz 200``; without doubles. ``host`` is sent as the Host header.

        ``stage`` is told what is known of a container that is not ready yet; of another process that listens on
        ``web_port``, too. Raises DeployError with the cause and the container's last lines, or DeployCanceled.
        """
        if not wanted:
            return []
        round = CheckRound(app, host, cancel, stage.detail if stage else lambda line: None, web_port)
        if stage:
            stage.now = round.now
        with ThreadPoolExecutor(min(PARALLEL, len(wanted)), thread_name_prefix="check") as pool:
            runs = [pool.submit(self._container, c, p, round) for c, p in wanted]
            wait(runs, return_when=FIRST_EXCEPTION)
            round.give_up.set()  # which ends what the others are at
            errors = [e for e in (run.exception() for run in runs) if e is not None]
            real = [e for e in errors if not isinstance(e, DeployCanceled)]
            for error in (real or errors)[:1]:
                raise error
        return list(dict.fromkeys(text for run in runs for text in run.result()))

    def refusal(self, containers: Iterable[Container], app: str) -> DeployError | None:
        """Why one of them that should have traffic has none, by its sockets; None when they do not tell."""
        for container in containers:
            if container.port is None or listens(container.address, container.port, CONNECT_S)[0]:
                continue
            with suppress(GitshipError):
                found = explain(self._engine.inspect(container.id).pid, container.port, app)
                if found:
                    lines = self._last_lines(container)
                    return DeployError(f"{container.process} {found.cause}", found.hint, lines)
        return None

    def look(self, container: Container, process: Process, host: str) -> list[CheckAttempt]:
        """Tries each check of a running container once, now."""
        try:
            state = self._engine.inspect(container.id)
            fault = "" if state.status == "running" else f"the container is {state.status}"
        except NotFound:
            fault = "the container is gone"
        if fault:
            return [CheckAttempt(container.name, title(c), False, fault) for c in process.checks]
        up_s = max(0.0, time.time() - state.started_at) if state.started_at else 0.0
        found = []
        for check in process.checks:
            limit_s = min(check.timeout_s, self._limit_s(check))
            seen = self._try(check, container, state, host, up_s, limit_s, ())
            found.append(CheckAttempt(container.name, title(check), seen.passed, seen.text))
        return found

    def _container(self, container: Container, process: Process, round: CheckRound) -> list[str]:
        """Raises DeployCanceled as soon as the round ends, in the middle of a check, too."""
        try:
            passed = [self._check(check, container, process, round) for check in process.checks]
            if container.port is not None and process.type == WEB and not _connects(process, container.port):
                # a HEALTHCHECK that passes says nothing of the port that visitors are led to
                self._check(Check(kind="listening"), container, process, round)
            elif process.type != WEB and process.checks != UNCHECKED:
                self._tell_second_server(container, round)
        except WaitInterrupted:
            raise DeployCanceled("canceled during its checks") from None
        round.ready(container)
        return passed

    def _tell_second_server(self, container: Container, round: CheckRound) -> None:
        """A worker whose words were arguments of a server, or whose command is that of `web`."""
        with suppress(GitshipError):
            if round.web_port in {port for _, port in listening(self._engine.inspect(container.id).pid)}:
                round.tell(f"{container.process} listens on {round.web_port}, as web does: is it a second web server?")

    def _limit_s(self, check: Check) -> float:
        """Seconds until the check has to have passed."""
        limit = check.deadline_s if check.deadline_s is not None else self._deadline_s
        return max(limit, check.uptime_s + POLL_S)

    def _check(self, check: Check, container: Container, process: Process, round: CheckRound) -> str:
        began, limit = time.monotonic(), self._limit_s(check)
        suspicion = WrongPortSuspicion(container, check.port or container.port or 0, round.host, round.app, round.ends)
        wake = began + check.initial_delay_s
        while True:
            Timeout(events=round.ends).rest(wake - time.monotonic())
            state = self._must_live(container, process, round)
            elapsed_s, try_s = time.monotonic() - began, min(check.timeout_s, limit)
            seen = self._try(check, container, state, round.host, elapsed_s, try_s, round.ends)
            if seen.passed:
                return seen.text
            if early_responses.is_cause(seen.text):
                raise DeployError(seen.text, early_responses.HINT, self._last_lines(container))
            found = suspicion.look(state.pid) if seen.refused else None
            round.see(container, seen.text, found)
            if time.monotonic() - began >= limit or (found and suspicion.settled):
                raise self._not_ready(container, seen, found, time.monotonic() - began)
            wake = time.monotonic() + POLL_S

    def _must_live(self, container: Container, process: Process, round: CheckRound) -> ContainerState:
        label = container.name.rpartition(".")[2]
        more = f"; all of it: logs {round.app} --release {label}"
        try:
            state = self._engine.inspect(container.id)
        except NotFound:
            raise DeployError(f"container {container.name} was removed from outside", "push again") from None
        if state.oom_killed:
            limit = f" (limit {process.memory_bytes >> 20} MB)" if process.memory_bytes else ""
            raise DeployError(
                f"{container.process} ran out of memory{limit} and was killed",
                f"give it more memory (resources:limit {round.app} --memory SIZE), or reduce its memory use{more}",
                self._last_lines(container),
            )
        if state.status in ("exited", "dead", "restarting") or state.restarts:
            state = self._after_its_end(container, state, round.ends)
            ended = "crashed and was restarted" if state.status == "running" else f"exited {state.exit_code}"
            meaning = state.error or NO_COMMAND.get(state.exit_code, "")
            fix = f"if a variable is missing: config:set {round.app} NAME=VALUE"
            if state.exit_code in NO_COMMAND:
                fix = "see CMD in the Dockerfile, or the Procfile"
            raise DeployError(
                f"{container.process} {ended}" + (f": {meaning}" if meaning else ""),
                f"see its last lines above{more}; {fix}",
                self._last_lines(container),
            )
        return state

    def _after_its_end(self, container: Container, state: ContainerState, ends: Events) -> ContainerState:
        """The state between two starts: while a restarted container runs, Docker shows the exit code as 0."""
        deadline = time.monotonic() + NEXT_CRASH_S
        while state.status == "running" and time.monotonic() < deadline:
            Timeout(events=ends).rest(CRASH_POLL_S)
            try:
                state = self._engine.inspect(container.id)
            except GitshipError:
                break
        return state

    def _try(
        self, check: Check, container: Container, state: ContainerState, host: str, elapsed_s: float, limit_s: float,
        ends: Events,
    ) -> CheckResult:  # fmt: skip
        """What was seen of one try, which takes at most ``limit_s``."""
        if check.kind == "uptime":
            return CheckResult(elapsed_s >= check.uptime_s, f"up for {check.uptime_s:g} s")
        if check.kind == "image" and not check.command:
            said = f"HEALTHCHECK {state.health or 'has not run yet'}"
            return CheckResult(state.health == "healthy", *_with_output(said, state.health_output))
        if check.kind in ("command", "image"):
            try:
                code, text = self._engine.exec(container.id, check.command, limit_s, ends)
            except DeployCanceled:
                raise
            except GitshipError as error:
                return CheckResult(False, error.message)
            shown = "HEALTHCHECK" if check.kind == "image" else " ".join(check.command)
            return CheckResult(code == 0, *_with_output(f"{shown} exited {code}", text if code else ""))
        port = check.port or container.port
        if port is None:
            return CheckResult(False, "the process has no port to check")
        if check.kind == "listening":
            passed, text = listens(container.address, port, limit_s, ends)
        else:
            passed, text = http_answer(check, container.address, port, host, timeout_s=limit_s, events=ends)
        return CheckResult(passed, text, refused=not passed and text.startswith(REFUSED))

    def _not_ready(
        self, container: Container, seen: CheckResult, found: PortDiagnosis | None, after_s: float
    ) -> DeployError:
        hint = f"see the lines above; if the app is only slow to start: {SLOW}"
        return DeployError(
            f"{container.process} is not healthy after {_seconds(after_s)} s: {found.cause if found else seen.text}",
            found.hint if found else hint,
            [*seen.output, *self._last_lines(container)],
        )

    def _last_lines(self, container: Container) -> list[str]:
        try:
            return [line.text for line in self._engine.logs(container.id, tail=LOG_LINES)]
        except GitshipError:
            return []


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 1 else f"{seconds:.1f}"


def _with_output(said: str, output: str) -> tuple[str, tuple[str, ...]]:
    """A line to tell it by, and the lines of the output that this has no room for."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if len(lines) == 1 and len(lines[0]) <= SHORT_OUTPUT:
        return f"{said}: {lines[0].strip()}", ()
    return said, tuple(
        f"HEALTHCHECK: {line}" if said.startswith("HEALTHCHECK") else line for line in lines[-LOG_LINES:]
    )


def _connects(process: Process, port: int) -> bool:
    """True when one of its checks has shown already whether the port is open, or none shall be made."""
    if process.checks == UNCHECKED:
        return True
    return any(check.kind in ("http", "listening") and check.port in (None, port) for check in process.checks)


def title(check: Check) -> str:
    """The check as people say it: ``GET /healthz``."""
    port = f" on port {check.port}" if check.port else ""
    return {
        "http": f"GET {check.path}{port}",
        "listening": f"listening{port}",
        "uptime": f"up for {check.uptime_s:g} s",
        "image": "HEALTHCHECK",
    }.get(check.kind, " ".join(check.command))
