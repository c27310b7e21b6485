"""Builds an image with a BuildKit session for its context, or with a tar if sessions are unavailable."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from gitship.engine import build_api, buildkit_session
from gitship.engine.docker_http import DockerHttp
from gitship.engine.source_tree import SourceTree
from gitship.engine.timeouts import Timeout, TimeoutExpired, WaitInterrupted
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep
from gitship.errors import DeployCanceled, DeployError, EngineError

log = logging.getLogger("gitship.build")


def build(
    wire: DockerHttp,
    api: str,
    tree: SourceTree,
    options: BuildOptions,
    on_event: Callable[[BuildStep | BuildOutput], None],
    cancel: threading.Event,
    memory_limit: str = "",
) -> str:
    """The id of the image, as ``build_api.build`` has it; raises what that raises, and GitError for a file."""
    deadline = time.monotonic() + options.timeout_s
    try:
        with buildkit_session.opened(wire, api, tree, Timeout(deadline, (cancel,))) as served:
            if served is not None:
                try:
                    return build_api.build(
                        wire, api, "buildkit", (), options, on_event, cancel, memory_limit, session=served.id
                    )
                except (DeployError, EngineError):
                    if served.failed is not None:
                        raise served.failed from None
                    if not served.broken:
                        raise
    except WaitInterrupted:
        raise DeployCanceled("the build was canceled") from None
    except TimeoutExpired:
        raise EngineError("Docker took no session for the build", "see `journalctl -u docker` on the server") from None
    return build_api.build(wire, api, "buildkit", tree, options, on_event, cancel, memory_limit)
