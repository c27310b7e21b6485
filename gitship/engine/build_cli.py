"""Builds an image through docker's client, for builds with `RUN --mount=type=secret` or `ssh`.

The context goes in by standard input, secrets by files of which only the path is in the arguments. One SIGTERM does
nothing to a 20.10 client for 8 s; SIGKILL has the RUN process gone in 0.16 s (measured).
"""

from __future__ import annotations

import functools
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from gitship.engine import build_secrets
from gitship.engine.build_errors import BuildFailure, failed
from gitship.engine.progress_plain import PlainTrace
from gitship.engine.stream_frames import Lines
from gitship.engine.timeouts import POLL_S, Timeout, TimeoutExpired, WaitInterrupted
from gitship.engine.types import CACHE_NAMESPACE, BuildOptions, BuildOutput, BuildStep
from gitship.errors import DeployCanceled, DeployError, EngineError

PROBE_S = 15.0
END_S = 10.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The client itself heeds these, so a build argument of such a name goes by its words, not by its environment.
HEEDED = (
    "DOCKER",
    "BUILDX",
    "BUILDKIT",
    "LD_",
    "PATH",
    "HOME",
    "TMP",
    "SSH_",
    "GO",
    "SSL_",
    "HTTP",
    "NO_",
    "ALL_",
    "XDG_",
    "OTEL",
    "GLIBC",
    "GCONV",
    "RES_",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "EXPERIMENTAL",
    "ACTIONS_",
    "AWS_",
    "COMPOSE",
    "COSIGN",
    "DEBUG",
    "FTP_",
    "GIT",
    "GRPC",
    "KUBE",
    "MOBY",
    "POD_",
    "PROGRESS",
    "REQUEST_METHOD",
    "SOURCE_DATE_EPOCH",
    "SUDO",
    "SWAGGER",
    "TRACE",
    "TTY_",
)


@functools.cache  # a gitship lives shorter than an installed docker, and a miss is told with how to mend it
def client(host: str) -> str | None:
    """The first docker on the path that builds with BuildKit secrets; None when there is none."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    for directory in dict.fromkeys(filter(None, path.split(":"))):
        program = Path(directory, "docker")
        if os.access(program, os.X_OK) and _usable(str(program), host):
            return str(program)
    return None


def _usable(program: str, host: str) -> bool:
    """A client without the buildx plugin may say so only when it builds: its help tells before."""
    try:
        asked = subprocess.run(
            [program, "-H", host, "build", "--help"],
            env={"PATH": SYSTEM_PATH, "HOME": "/", "DOCKER_BUILDKIT": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and b"--secret" in asked.stdout


def arguments(program: str, host: str, options: BuildOptions, files: Mapping[str, Path], result: Path) -> list[str]:
    """The client's words. Pure. No value of a secret is among them, nor that of an argument where that can be."""
    words = [program, "-H", host, "build", "--progress=plain", f"--iidfile={result}"]
    words += [f"--tag={options.tag}", f"--file={options.dockerfile}"]
    words += [f"--target={options.target}"] if options.target else []
    words += [f"--platform={options.platform}"] if options.platform else []
    words += [f"--network={options.network}"] if options.network != "default" else []
    words += ["--no-cache"] if options.no_cache else []
    words += [f"--label={name}={value}" for name, value in options.labels.items()]
    for name, value in options.arguments.items():
        words.append(f"--build-arg={name}={value}" if _heeded(name) else f"--build-arg={name}")
    words += [f"--add-host={options.host}"] if options.host else []
    words += [f"--secret=id={name},src={path}" for name, path in files.items()]
    return [*words, "-"]


def environment(options: BuildOptions, home: Path) -> dict[str, str]:
    """Nobody's own settings and logins, and the build arguments' values, which the client takes from here. Pure."""
    arguments = {name: value for name, value in options.arguments.items() if not _heeded(name)}
    own = {"PATH": SYSTEM_PATH, "HOME": str(home), "DOCKER_CONFIG": str(home), "NO_COLOR": "1"}
    return {**arguments, **own, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def _heeded(name: str) -> bool:
    return name != CACHE_NAMESPACE and name.upper().startswith(HEEDED)


def build(
    program: str,
    host: str,
    owner: str,
    context: Iterable[bytes],
    options: BuildOptions,
    on_event: Callable[[BuildStep | BuildOutput], None],
    cancel: threading.Event,
) -> str:
    """The id of the image; as ``build_api.build``. Raises DeployError, DeployCanceled or EngineError."""
    trace = PlainTrace()
    patience = Timeout(time.monotonic() + options.timeout_s, (cancel,))
    try:
        with build_secrets.directory(owner) as home:
            result = home / "image"
            files = build_secrets.write(home, options.secrets)
            command = arguments(program, host, options, files, result)
            code = _run(command, environment(options, home), home, context, trace, on_event, patience)
            image_id = result.read_text().strip() if code == 0 and result.exists() else ""
    except WaitInterrupted:
        raise DeployCanceled("the build was canceled") from None
    except TimeoutExpired:
        step, lines = trace.running_step()
        raise DeployError(
            f"the build took longer than {options.timeout_s:g} s" + (f", last in {step}" if step else ""),
            "make it faster, or raise build_timeout in [docker] on the server",
            lines,
        ) from None
    if code != 0:
        step, lines = trace.failed_step()
        raise failed(BuildFailure(trace.error, step, lines, options.dockerfile))
    if not image_id:
        raise EngineError("docker's client ended the build without a result", "push again; see `journalctl -u docker`")
    return image_id


def _run(
    command: list[str],
    env: Mapping[str, str],
    home: Path,
    context: Iterable[bytes],
    trace: PlainTrace,
    on_event: Callable[[BuildStep | BuildOutput], None],
    patience: Timeout,
) -> int:
    """The client's exit code; whatever happens, neither it nor the thread that feeds it is left."""
    process = subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0,
        process_group=0,
    )  # fmt: skip
    feed = _Feed(process, context)
    try:
        (home / build_secrets.PID).write_text(str(process.pid))
        feed.start()
        for line in _lines(process, patience):
            for event in trace.feed(line):
                on_event(event)
        code = process.wait(END_S)
    except subprocess.TimeoutExpired:
        raise EngineError("docker's client did not exit", "push again; see `journalctl -u docker`") from None
    finally:
        _end(process)
        feed.join(END_S)
    if feed.failed is not None:
        raise feed.failed
    return code


def _lines(process: subprocess.Popen[bytes], patience: Timeout) -> Iterable[str]:
    """What the client says, as it says it; its exit ends it, too, for a child of its own may keep the pipe."""
    assert process.stderr is not None
    lines, number = Lines(), process.stderr.fileno()
    poll = select.poll()
    poll.register(number, select.POLLIN)
    while True:
        patience.check()
        if poll.poll(POLL_S * 1000):
            data = os.read(number, 1 << 16)
            if not data:
                break
            yield from lines.feed(data)
        elif process.poll() is not None:
            break
    yield from lines.end()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()


class _Feed(threading.Thread):
    """Sends the context; ``failed`` is what the context itself raised. A client that ends early ends it."""

    def __init__(self, process: subprocess.Popen[bytes], context: Iterable[bytes]) -> None:
        super().__init__(name="build-context", daemon=True)
        self._process = process
        self._context = context
        self.failed: Exception | None = None

    def run(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # the client has ended, and its pipe is closed
            self._send()
            self._process.stdin.close()

    def _send(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        pieces = iter(self._context)
        while True:
            try:
                piece = next(pieces, None)
            except Exception as error:
                self.failed = error
                os.killpg(self._process.pid, signal.SIGKILL)  # half a context must not be built
                return
            if piece is None:
                return
            rest = memoryview(piece)
            while rest:
                rest = rest[stdin.write(rest) :]
