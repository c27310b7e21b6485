"""Sends one webhook POST, only to the checked address, without redirects."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import time
from collections.abc import Collection, Mapping

from gitship.containers import http_request
from gitship.containers.http_request import Address, Timeout
from gitship.front.tcp_ports import is_ours
from gitship.notify.webhooks import split

TIMEOUT_S = 10.0  # of one try, from the look-up of the name to the status
WEB_PORTS = frozenset({80, 443})
DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Undelivered(Exception):
    """Why a try came to nothing, in words for people. Says nothing of what the other end wrote."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    anywhere: bool,
    own_ports: Collection[int] = WEB_PORTS,
    timeout_s: float = TIMEOUT_S,
) -> int:
    """The status, from 200 to 299. Raises Undelivered.

    Unless ``anywhere``, every address of the host must be a public one: the server's own loopback, its containers, its
    private network and the cloud's metadata are out of reach, whatever a name resolves to. A public address of the
    server itself is one only for ``own_ports``, where visitors come in: others may be open to itself alone.
    """
    deadline = time.monotonic() + timeout_s
    parts = split(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    found = _resolve(host, port, timeout_s)
    private = [a[0] for _, a in found if not is_public(a[0])]
    if not private and port not in own_ports:
        private = [f"port {port} of this server" for _, a in found if is_ours(a[0])]
    if private and not anywhere:
        raise Undelivered(f"resolves to {private[0]}, which only an admin's webhook may use")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    at = f"[{host}]" if ":" in host else host
    sent = {"Host": at if port == DEFAULT_PORTS[parts.scheme] else f"{at}:{port}", **headers}
    patience, tls = Timeout(deadline), ssl.create_default_context() if secure else None
    try:
        with http_request.request("POST", found, path, sent, patience, body=body, tls=tls, name=host) as answer:
            status = answer.status
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            raise Undelivered(f"no answer within {timeout_s:g} s") from None
        raise Undelivered(_words(error)) from None
    if 300 <= status < 400:
        raise Undelivered(f"answered {status}: redirects are not followed")
    if not 200 <= status < 300:
        raise Undelivered(f"answered {status}")
    return status


def is_public(address: str) -> bool:
    """True for an address of the internet; one that carries an IPv4 address counts as that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _resolve(host: str, port: int, timeout_s: float) -> list[Address]:
    try:
        found = http_request.look_up(host, port, timeout_s)
    except TimeoutError:
        raise Undelivered("the DNS lookup timed out") from None
    if not found:
        raise Undelivered(f"the name {host} has no address")
    return found


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "could not be reached in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "did not answer with HTTP"
