"""Checks that a domain resolves to this server before a certificate is requested."""

from __future__ import annotations

import http.client
import secrets
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from gitship.containers import http_request
from gitship.containers.http_request import Address, Timeout
from gitship.front.acme_challenges import PATH
from gitship.front.tcp_ports import is_ours
from gitship.https.acme import Answer

PORT = 80
TIMEOUT_S = 5.0  # of one address
MOST_S = 30.0  # of all names together: their DNS and servers are strangers', and others' certificates wait meanwhile
PARALLEL = 8
MOST_ADDRESSES = 3
LATE = "checking where it resolves took too long: DNS or its server is too slow"


def problems(hosts: Iterable[str], answer: Answer) -> dict[str, str]:
    """Host -> why it doesn't lead here. ``answer`` sets what is answered at the challenge path, as for an authority.

    An address of this machine will do. Any other may be a router or balancer that leads here: it is asked.
    """
    deadline, names = time.monotonic() + MOST_S, list(hosts)
    found: dict[str, str] = {}
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="reach") as pool:
        looked = dict(zip(names, pool.map(lambda host: _addresses(host, deadline), names), strict=True))
        found |= {host: seen for host, seen in looked.items() if isinstance(seen, str)}
        elsewhere = {
            host: seen
            for host, seen in looked.items()
            if not isinstance(seen, str) and not any(is_ours(str(address[0])) for _, address in seen)
        }
        if elsewhere:
            token = secrets.token_urlsafe(24)
            answer({token: token})
            try:
                asked = pool.map(lambda host: _problem(host, elsewhere[host], token, deadline), elsewhere)
                found |= {host: problem for host, problem in zip(elsewhere, asked, strict=True) if problem}
            finally:
                answer({})
    return {host: found[host] for host in names if host in found}


def _addresses(host: str, deadline: float) -> list[Address] | str:
    """Where it leads, or what is wrong."""
    try:
        addresses = http_request.look_up(host, PORT, deadline - time.monotonic())
    except TimeoutError:
        return LATE
    return sorted(addresses, key=lambda one: str(one[1][0])) or "it has no address in DNS"


def _problem(host: str, addresses: Sequence[Address], token: str, deadline: float) -> str:
    """Empty when one of its addresses leads here."""
    shown = list(dict.fromkeys(str(address[0]) for _, address in addresses))[:MOST_ADDRESSES]
    if any(_answers(one, host, token, deadline) for one in addresses[:MOST_ADDRESSES]):
        return ""
    return f"it resolves to {', '.join(shown)}, and requests to it do not reach this server at port {PORT}"


def _answers(to: Address, host: str, token: str, deadline: float) -> bool:
    patience = Timeout(min(deadline, time.monotonic() + TIMEOUT_S))
    try:
        with http_request.request(
            "GET", [to], f"{PATH}{token}", {"Host": host}, patience, most_bytes=len(token) + 1
        ) as response:
            return response.read(len(token) + 1) == token.encode()
    except (OSError, http.client.HTTPException):
        return False
