"""One attempt of a network health check: a TCP connection or a GET, and its result.

``events`` end a try at once, whatever the other end does: ``WaitInterrupted`` is raised then.
"""

from __future__ import annotations

import http.client
import threading
import time

from gitship.containers import early_responses, http_request
from gitship.containers.http_request import HEAD_BYTES, ResponseTooLarge, Timeout, numeric
from gitship.model import Check

BODY_BYTES = 1 << 20  # enough to look for `content`
REFUSED = "connection"  # what is seen of a port that nobody opens begins so
Events = tuple[threading.Event, ...]


def listens(address: str, port: int, timeout_s: float, events: Events = ()) -> tuple[bool, str]:
    """(passed, what was seen) of one TCP connection."""
    try:
        http_request.connected(numeric(address, port), Timeout(time.monotonic() + timeout_s, events)).close()
    except OSError as error:
        return False, _network_cause(error, port, timeout_s)
    return True, f"listens on {port}"


def http_answer(
    check: Check, address: str, port: int, host: str, *, timeout_s: float | None = None, events: Events = ()
) -> tuple[bool, str]:
    """(passed, what was seen) of one GET with the check's path, headers and scheme, all within ``timeout_s``.

    None: the check's own. What is read of the answer is bounded, too.
    """
    limit_s = check.timeout_s if timeout_s is None else timeout_s
    headers = {"Host": host, "User-Agent": "gitship-check", "Accept": "*/*", **check.headers}
    try:
        with http_request.request(
            "GET", numeric(address, port), check.path, headers, Timeout(time.monotonic() + limit_s, events),
            most_bytes=BODY_BYTES if check.content else 0,
            tls=http_request.insecure() if check.scheme == "https" else None,
        ) as response:  # fmt: skip
            body = response.read(BODY_BYTES) if check.content else b""
    except OSError as error:
        return False, _network_cause(error, port, limit_s)
    except ResponseTooLarge:
        return False, f"GET {check.path} returned more than {HEAD_BYTES >> 10} KB of headers"
    except http.client.HTTPException as error:
        return False, f"GET {check.path} returned something that is not HTTP ({type(error).__name__})"
    if response.status < 200:
        return False, early_responses.cause(check.path, response.status)
    seen = f"GET {check.path} {response.status}"
    if response.status >= (500 if check.lenient else 400):
        return False, f"GET {check.path} answered {response.status}"
    if check.content and check.content.encode() not in body:
        return False, f"{seen}, but the response does not contain {check.content!r}"
    return True, seen


def _network_cause(error: OSError, port: int, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer on port {port} within {timeout_s:g} s"
    return f"{REFUSED} to port {port} failed: {error.strerror or error}"
