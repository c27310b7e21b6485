"""Pulls an image through the Engine API, with live progress, credentials and cancellation."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gitship.engine.docker_http import DockerHttp
from gitship.engine.errors import FREE_SPACE, NO_SPACE
from gitship.engine.image_references import DEFAULT_SERVER, ImageReference
from gitship.engine.stream_frames import error_of, messages
from gitship.engine.timeouts import Timeout, TimeoutExpired, WaitInterrupted
from gitship.errors import DeployCanceled, DeployError, EngineError

_REFUSED = re.compile(r"unauthorized|authentication required|no basic auth|denied|forbidden|incorrect username", re.I)
_MISSING = re.compile(r"manifest unknown|not found|manifest for .* not found|repository does not exist", re.I)
MAX_ERROR_CHARS = 300
MOST_LAYERS = 1000  # whose progress is told


class PullProgress:
    """Feed it the stream's messages: it gives a line for every change, and knows how much of the layers is here."""

    def __init__(self) -> None:
        self.error = ""
        self._layers: dict[str, tuple[int, int]] = {}

    def feed(self, message: Mapping[str, Any]) -> Iterator[str]:
        """Errors come in the stream of an answer that said 200."""
        if error := error_of(message):
            self.error = error
            return
        layer, status = str(message.get("id", "")), str(message.get("status", ""))
        detail = message.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total") and len(self._layers) < MOST_LAYERS:
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif status in ("Download complete", "Verifying Checksum") and layer in self._layers:
            self._layers[layer] = (self._layers[layer][1],) * 2
        if status and not detail:
            yield f"{layer}: {status}" if layer else status

    @property
    def received(self) -> tuple[int, int]:
        """Bytes that are here, and bytes of the layers that are known to be needed."""
        return sum(done for done, _ in self._layers.values()), sum(total for _, total in self._layers.values())


def authorization(server: str, username: str, password: str) -> str:
    """The header X-Registry-Auth."""
    address = "" if server == DEFAULT_SERVER else server
    document = {"username": username, "password": password, "serveraddress": address}
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


def pull(
    wire: DockerHttp,
    api: str,
    reference: ImageReference,
    auth: str,
    on_line: Callable[[str], None],
    on_bytes: Callable[[int, int], None],
    cancel: threading.Event,
    timeout_s: float,
) -> None:
    """Brings the image to the engine. Raises DeployError, DeployCanceled or EngineError."""
    progress = PullProgress()
    query = {"fromImage": reference.repository, "tag": reference.version}
    patience = Timeout(time.monotonic() + timeout_s, (cancel,))
    headers = {"X-Registry-Auth": auth} if auth else {}
    try:
        with wire.open("POST", f"{api}/images/create", query=query, headers=headers, patience=patience) as stream:
            if stream.status != 200:
                raise failed(reference, _message(stream.read_all(1 << 16)))
            for message in messages(stream.read):
                for line in progress.feed(message):
                    on_line(line)
                on_bytes(*progress.received)
    except WaitInterrupted:  # the closed connection ends the pull
        raise DeployCanceled("canceled while the image was pulled") from None
    except TimeoutExpired:
        raise DeployError(
            f"pulling {reference} took longer than {timeout_s:g} s", "try again, or raise build_timeout in [docker]"
        ) from None
    if progress.error:
        raise failed(reference, progress.error)


def login(wire: DockerHttp, api: str, server: str, username: str, password: str) -> None:
    """Raises EngineError when the registry does not take these, or does not answer."""
    address = "" if server == DEFAULT_SERVER else server
    body = json.dumps({"username": username, "password": password, "serveraddress": address}).encode()
    try:
        with wire.open("POST", f"{api}/auth", body=body) as stream:
            status, text = stream.status, _message(stream.read_all(1 << 16))
    except TimeoutExpired:
        raise EngineError(
            f"the registry {server} does not answer in time", "check that this server can reach it"
        ) from None
    if status not in (200, 204):
        cause = " ".join(text.split())[:MAX_ERROR_CHARS]
        hint = "check user and password" if _REFUSED.search(cause) else "check that this server can reach it"
        raise EngineError(f"the registry {server} rejected the login: {cause}", hint)


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode("utf-8", "replace")


def failed(reference: ImageReference, text: str) -> DeployError:
    """Why, and what helps."""
    text = " ".join(text.split())[:MAX_ERROR_CHARS]
    if _REFUSED.search(text):
        return DeployError(
            f"the registry denied access to {reference}: {text}",
            f"check the name; if it is right, ask an admin to run: registry:login {reference.server} USER",
        )
    if _MISSING.search(text):
        return DeployError(f"the registry has no {reference}: {text}", "check the name and the tag")
    if NO_SPACE in text.lower():
        return DeployError(f"{reference} cannot be pulled: Docker's disk is full ({text})", FREE_SPACE)
    return DeployError(f"{reference} cannot be pulled: {text}", "check that this server can reach the registry")
