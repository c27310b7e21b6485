"""Per-thread log context: the request, app and deploy of each log line.

A request is one thing that somebody asked for: a push, a command, a button of the status page. Its id goes from there
into the log, the deploy's record, `deploys:info` and the deploy's page.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_NOTHING: Mapping[str, str | int] = {}
_fields: ContextVar[Mapping[str, str | int]] = ContextVar("gitship", default=_NOTHING)


def new_request() -> str:
    """An id that no other request has for a long time."""
    return secrets.token_hex(4)


def current() -> Mapping[str, str | int]:
    """What this thread works for now, by ``request``, ``app``, ``deploy`` and such; empty for nothing in particular."""
    return _fields.get()


def request() -> str:
    """The id of the request, or ""."""
    return str(current().get("request", ""))


@contextmanager
def traced(**fields: str | int) -> Iterator[None]:
    """This thread works for that until the block ends; an empty value says nothing, and leaves what is known."""
    token = _fields.set({**_fields.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _fields.reset(token)
