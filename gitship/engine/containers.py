"""Containers in Docker: made, started, ended, removed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from docker import APIClient
from docker import errors as docker_errors

from gitship.engine import container_json
from gitship.engine.errors import conflict, start_failed
from gitship.engine.interface import ImageGone
from gitship.engine.types import ContainerSpec
from gitship.errors import EngineError, NotFound

_REMOVAL_POLL_S = 0.05


def create(docker: APIClient, spec: ContainerSpec, image: Mapping[str, Any]) -> str:
    """Its id; ``image`` is the image's config. Raises ImageGone, NotFound or Conflict."""
    try:
        created = docker.create_container_from_config(  # type: ignore[no-untyped-call]
            container_json.arguments(spec) | container_json.healthcheck(image), spec.name
        )
    except docker_errors.NotFound as error:
        if "no such image" in str(error.explanation).lower():
            raise image_gone(spec) from error
        raise NotFound(f"container {spec.name} cannot be created: {error.explanation}", "deploy again") from error
    except docker_errors.APIError as error:
        raise conflict(spec.name, error) or error from None
    return str(created["Id"])


def image_gone(spec: ContainerSpec) -> ImageGone:
    return ImageGone(f"the image of container {spec.name} is gone", "build it again")


def start(docker: APIClient, container_id: str) -> None:
    """See ``Engine.start``."""
    try:
        docker.start(container_id)
    except docker_errors.NotFound as error:
        # the runtime's "no such file" for a command comes as a 404 on newer engines
        if "no such container" in str(error.explanation).lower():
            raise
        raise start_failed(error) from error
    except docker_errors.APIError as error:
        raise conflict("", error) or start_failed(error) from error


def stop(docker: APIClient, container_id: str, timeout_s: float) -> None:
    with suppress(docker_errors.NotFound):
        docker.stop(container_id, timeout=math.ceil(timeout_s))


def remove(docker: APIClient, container_id: str, timeout_s: float) -> None:
    """It is gone when this returns, also when somebody else removes it: raises EngineError after ``timeout_s``."""
    try:
        docker.remove_container(container_id, v=True, force=True)
    except docker_errors.NotFound:
        return
    except docker_errors.APIError as error:
        if "already in progress" not in str(error.explanation):
            raise
        _await_removal(docker, container_id, timeout_s)


def _await_removal(docker: APIClient, container_id: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            docker.inspect_container(container_id)
        except docker_errors.NotFound:
            return
        time.sleep(_REMOVAL_POLL_S)
    raise EngineError(
        f"container {container_id[:12]} is being removed and does not go away", "see `docker ps -a` on the server"
    )
