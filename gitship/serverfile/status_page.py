"""Section of the status page in the server file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitship.console.context import Context
from gitship.errors import Conflict
from gitship.https.wanted_certificates import wish_of
from gitship.model import STATUS_PAGE
from gitship.schema import Value
from gitship.serverfile.document import Step
from gitship.serverfile.https_entry import https_step, https_wish, read_https


def read(value: Value) -> dict[str, Any]:
    """Raises ConfigError."""
    table = value.known(("https",))
    return {"https": read_https(table["https"])} if table else {}


def current(context: Context) -> dict[str, Any]:
    """Nothing when nobody has said anything: the server's settings decide then."""
    wish = wish_of(context.store, context.settings, STATUS_PAGE)
    return {"https": https_wish(wish)} if wish.said else {}


def steps(context: Context, wanted: Mapping[str, Any]) -> Iterable[Step]:
    """Raises Conflict when the page has no name to be served at."""
    if not wanted or wanted == current(context):
        return []
    if not context.settings.web.domain:
        raise Conflict(
            "the status page has no host name", 'set domain = "status.example.com" in [web], and restart gitship'
        )
    return [https_step("--status-page", wanted["https"])]
