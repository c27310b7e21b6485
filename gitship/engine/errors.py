"""Translates Docker's errors into EngineError, NotFound and Conflict with hints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from docker import errors as docker_errors

from gitship.engine.interface import NameTaken, NoSpace
from gitship.errors import Conflict, EngineError, NotFound

_PERMISSION = re.compile(r"permission denied", re.I)
_TIMEOUT = re.compile(r"timed? ?out", re.I)
NO_SPACE = "no space left on device"
FREE_SPACE = "free some space there: `server:cleanup --build-cache`; `docker system df` shows what uses it"
_RUNTIME_NOISE = re.compile(
    r"^.*?(?:unable to start container process|starting container process caused):\s*(?:\"?process_linux.*?caused: )?",
    re.S,
)


def unreachable(host: str, error: object) -> EngineError:
    """Docker cannot be spoken to at all; the hint depends on why."""
    text = str(error)
    if _PERMISSION.search(text):
        return EngineError(
            f"no permission to use Docker at {host}", "run gitship as root, or add its user to the group `docker`"
        )
    if _TIMEOUT.search(text):
        return EngineError(
            f"Docker at {host} does not answer in time",
            "it may be overloaded or stuck: see `docker ps` on the server, or try `systemctl restart docker`",
        )
    return EngineError(f"Docker does not answer at {host}: is it running?", "try `systemctl start docker`")


def refused(doing: str, explanation: str) -> EngineError:
    """Docker answered, and said no. NoSpace when its disk is full."""
    if NO_SPACE in explanation.lower():
        return NoSpace(f"Docker could not {doing}: its disk is full ({runtime_cause(explanation)})", FREE_SPACE)
    return EngineError(f"Docker could not {doing}: {runtime_cause(explanation)}", "see `docker info` on the server")


def runtime_cause(text: str) -> str:
    """The cause in one line, from what the container runtime wraps around it.

    >>> runtime_cause('runc failed: unable to start container process: exec: "x": not found: unknown')
    'exec: "x": not found'
    """
    text = _RUNTIME_NOISE.sub("", text.strip())
    return re.sub(r":\s*unknown$", "", " ".join(text.split()))


@contextmanager
def translated(host: str, doing: str, missing: str = "") -> Iterator[None]:
    """Turns what docker-py raises into EngineError, and a 404 into NotFound when ``missing`` names what is sought."""
    try:
        yield
    except docker_errors.NotFound as error:
        if missing:
            raise NotFound(f"no {missing}", "it was removed, or never existed") from error
        raise refused(doing, str(error.explanation)) from error
    except docker_errors.APIError as error:
        raise refused(doing, str(error.explanation or error)) from error
    except (docker_errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise unreachable(host, error) from error


def conflict(name: str, error: docker_errors.APIError) -> Conflict | None:
    """A name or an address that another container has; None when it is something else."""
    text = str(error.explanation)
    if error.status_code == 409 and "name" in text and name:
        return NameTaken(f"a container named {name} already exists", f"remove it: `docker rm -f {name}`")
    if "address already in use" in text.lower():
        return Conflict("the container's address is in use", "deploy again to get another address")
    return None


def start_failed(error: docker_errors.APIError) -> EngineError:
    """In the runtime's words, and when the command is at fault with where that is written."""
    cause = runtime_cause(str(error.explanation))
    if "exec:" in cause:
        return EngineError(
            f"the command cannot be run: {cause}",
            "check the process's command in the Procfile, or CMD in the Dockerfile",
        )
    return refused("start the container", cause)
