"""Whether a domain leads to this server: told before an authority is asked, whose patience is limited."""

from __future__ import annotations

import http.client
import secrets
import socket
from collections.abc import Iterable

from gitship.deploy.https.authority import Answer
from gitship.front.challenges import PATH
from gitship.front.ports import is_ours

PORT = 80
TIMEOUT_S = 5.0
MOST_ADDRESSES = 3


def problems(hosts: Iterable[str], answer: Answer) -> dict[str, str]:
    """Host -> why it doesn't lead here. ``answer`` sets what is answered at the challenge path, as for an authority.

    An address of this machine will do. Any other may be a router or balancer that leads here: it is asked.
    """
    found: dict[str, str] = {}
    token = secrets.token_urlsafe(24)
    answering = False
    try:
        for host in hosts:
            try:
                addresses = sorted({str(i[4][0]) for i in socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)})
            except (OSError, UnicodeError):
                found[host] = "it has no address in DNS"
                continue
            if any(map(is_ours, addresses)):
                continue
            if not answering:
                answer({token: token})
                answering = True
            if not any(_answers(address, host, token) for address in addresses[:MOST_ADDRESSES]):
                shown = ", ".join(addresses[:MOST_ADDRESSES])
                found[host] = f"it leads to {shown}, and no request to it arrives here at port {PORT}"
    finally:
        if answering:
            answer({})
    return found


def _answers(address: str, host: str, token: str) -> bool:
    connection = http.client.HTTPConnection(address, PORT, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"{PATH}{token}", headers={"Host": host, "Connection": "close"})
        return connection.getresponse().read(len(token) + 1) == token.encode()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
