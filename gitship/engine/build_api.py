"""Builds an image through the Engine API, with live progress and cancellation.

``POST /build?version=2`` is BuildKit without a session, on every engine since 18.09 (run on 20.10 and 26.1); docker-py
has no word for it. Build secrets and SSH agents need a session: ``build_cli`` has one.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from gitship.engine.build_cgroup import PERIOD_US
from gitship.engine.build_errors import BuildFailure, failed
from gitship.engine.docker_http import DockerHttp, HttpStream
from gitship.engine.progress_buildkit import BuildKitTrace
from gitship.engine.progress_classic import ClassicTrace
from gitship.engine.stream_frames import messages
from gitship.engine.timeouts import Timeout, TimeoutExpired, WaitInterrupted
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep
from gitship.errors import DeployCanceled, DeployError, EngineError, GitshipError


class Trace(Protocol):
    """What both builders' decoders have."""

    image_id: str
    error: str

    def feed(self, message: dict[str, object]) -> Iterable[BuildStep | BuildOutput]: ...

    def failed_step(self) -> tuple[str, tuple[str, ...]]: ...

    def running_step(self) -> tuple[str, tuple[str, ...]]: ...


def query(options: BuildOptions, builder: str, build_id: str, session: str = "") -> dict[str, str]:
    """The parameters of ``POST /build``; with a session's id the context comes from there."""
    parameters = {
        "t": options.tag,
        "dockerfile": options.dockerfile,
        "buildid": build_id,
        "rm": "1",
        "forcerm": "1",
        "labels": json.dumps(dict(options.labels)),
        "buildargs": json.dumps(options.arguments if builder == "buildkit" else dict(options.build_args)),
    }
    if options.target:
        parameters["target"] = options.target
    if options.network != "default":
        parameters["networkmode"] = options.network
    if options.no_cache:
        parameters["nocache"] = "1"
    if options.platform:
        parameters["platform"] = options.platform
    if builder == "buildkit":
        parameters["version"] = "2"
        if options.host:
            parameters["extrahosts"] = options.host
        return parameters | ({"remote": "client-session", "session": session} if session else {})
    if options.memory_bytes:
        parameters["memory"] = parameters["memswap"] = str(options.memory_bytes)
    if options.cpus:
        parameters |= {"cpuperiod": str(PERIOD_US), "cpuquota": str(round(options.cpus * PERIOD_US))}
    return parameters


def build(
    wire: DockerHttp,
    api: str,
    builder: str,
    context: Iterable[bytes],
    options: BuildOptions,
    on_event: Callable[[BuildStep | BuildOutput], None],
    cancel: threading.Event,
    memory_limit: str = "",
    session: str = "",
) -> str:
    """The id of the image built from the tar stream ``context``; ``api`` is the path prefix, ``/v1.41``.

    With a ``session`` the engine asks for the context by itself, and ``context`` is empty.

    ``memory_limit`` says what the build may use, for the error of a step that is killed.

    The archive's first entry must be a plain one, such as the directory ``.``: BuildKit takes an archive that begins
    with an extension header for a Dockerfile. Raises DeployError, DeployCanceled or EngineError.
    """
    trace: Trace = BuildKitTrace() if builder == "buildkit" else ClassicTrace()
    build_id = uuid.uuid4().hex
    patience = Timeout(time.monotonic() + options.timeout_s, (cancel,))
    try:
        with wire.open(
            "POST",
            f"{api}/build",
            query=query(options, builder, build_id, session),
            body=context,
            content_type="application/x-tar",
            patience=patience,
        ) as stream:
            if stream.status != 200:
                trace.error = _refusal(stream)
            else:
                for message in messages(stream.read):
                    for event in trace.feed(message):
                        on_event(event)
    except DeployError:  # of whoever gets the events: it is enough
        _end(wire, api, build_id)
        raise
    except WaitInterrupted:
        _end(wire, api, build_id)
        raise DeployCanceled("the build was canceled") from None
    except TimeoutExpired:
        _end(wire, api, build_id)
        step, lines = trace.running_step()
        raise DeployError(
            f"the build took longer than {options.timeout_s:g} s" + (f", last in {step}" if step else ""),
            "make it faster, or raise build_timeout in [docker] on the server",
            lines,
        ) from None
    if trace.error:
        step, lines = trace.failed_step()
        raise failed(BuildFailure(trace.error, step, lines, options.dockerfile, memory_limit))
    if not trace.image_id:
        raise EngineError("Docker ended the build without a result", "push again; see `journalctl -u docker`")
    return trace.image_id


def _refusal(stream: HttpStream) -> str:
    """The message of an answer that is no build; a Docker that is no builder at all raises EngineError."""
    text = stream.read_all(1 << 20)
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        raise EngineError(
            f"Docker answered {stream.status} to a build", "see `journalctl -u docker` on the server"
        ) from None


def _end(wire: DockerHttp, api: str, build_id: str) -> None:
    """Ends the build for certain; the closed connection has told Docker already, so that a failure here is harmless."""
    with suppress(GitshipError):
        wire.json("POST", f"{api}/build/cancel?id={build_id}")
