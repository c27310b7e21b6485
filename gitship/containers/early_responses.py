"""Detects 1xx responses (RFC 9110, 15.2), such as 103 Early Hints, which Varnish answers with a 503."""

from __future__ import annotations

from http import HTTPStatus

HINT = (
    "turn early hints off in the app (Puma: `early_hints false`, Node: no writeEarlyHints); a Link header in the "
    "final response is passed on"
)
_BEFORE = "before the final response: Varnish cannot pass that on, visitors would get 503"


def cause(path: str, status: int) -> str:
    """What is wrong with an app that answered ``path`` with ``status``, below 200, in one line."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return f"GET {path} is answered with {f'{status} {phrase}'.strip()} {_BEFORE}"


def is_cause(seen: str) -> bool:
    """True for what ``cause`` has made."""
    return seen.endswith(_BEFORE)
