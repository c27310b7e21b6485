"""Container events of Docker: recent ones first, then live."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from gitship.engine.docker_http import DockerHttp
from gitship.engine.stream_frames import messages
from gitship.engine.timeouts import Timeout, WaitInterrupted
from gitship.engine.types import EngineEvent
from gitship.errors import EngineError

ACTIONS = ("create", "start", "kill", "die", "oom", "health_status", "destroy")
STOP_POLL_S = 0.5  # a stream that stays open for weeks need not look twenty times a second


def events(
    wire: DockerHttp, api: str, labels: Mapping[str, str], since: float, until: float | None, stop: threading.Event
) -> Iterator[EngineEvent]:
    """Ends when ``stop`` is set or at ``until``. Raises EngineError when Docker goes away."""
    filters = {
        "type": ["container"],
        "label": [f"{name}={value}" for name, value in labels.items()],
        "event": list(ACTIONS),
    }
    query = {"filters": json.dumps(filters), "since": f"{since:.9f}"}
    if until is not None:
        query["until"] = f"{until:.9f}"
    patience = Timeout(events=(stop,), poll_s=STOP_POLL_S)
    try:
        with wire.open("GET", f"{api}/events", query=query, patience=patience) as stream:
            if stream.status != 200:
                said = stream.read_all(500).decode("utf-8", "replace")
                raise EngineError(f"Docker does not send events: {said}", "see `docker info` on the server")
            for message in messages(stream.read):
                yield event(message)
    except WaitInterrupted:
        return


def event(message: Mapping[str, Any]) -> EngineEvent:
    """From one message of ``GET /events``; of ``health_status: unhealthy`` the second word is the health."""
    actor = message.get("Actor") or {}
    attributes = {str(name): str(value) for name, value in (actor.get("Attributes") or {}).items()}
    action, _, health = str(message.get("Action", "")).partition(": ")
    return EngineEvent(
        at=int(message.get("timeNano", 0)) / 1e9,
        action=action,
        container_id=str(actor.get("ID", "")),
        name=attributes.get("name", ""),
        labels=attributes,
        exit_code=_number(attributes.get("exitCode")),
        signal=_number(attributes.get("signal")),
        health=health,
    )


def _number(text: str | None) -> int | None:
    """A short one, or none: Docker puts a container's labels over these, so an image may say anything here."""
    return int(text) if text and re.fullmatch("[0-9]{1,9}", text) else None
