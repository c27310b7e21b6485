"""One POST to a webhook: to the very address that was checked, within its time, following no redirect."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from gitship.deploy.notifications import split
from gitship.front.ports import is_ours

TIMEOUT_S = 10.0  # of one try, from the look-up of the name to the status
WEB_PORTS = frozenset({80, 443})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = tuple[socket.AddressFamily, Any]


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
    port = parts.port or (443 if secure else 80)
    found = _resolve(host, port, timeout_s)
    private = [a[0] for _, a in found if not is_public(a[0])]
    if not private and port not in own_ports:
        private = [f"port {port} of this server" for _, a in found if is_ours(a[0])]
    if private and not anywhere:
        raise Undelivered(f"leads to {private[0]}, which only a webhook that an admin has made may reach")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with _connected(found, deadline) as raw, raw.dup() as same:  # TLS takes the first one for itself
        watch = threading.Timer(max(deadline - time.monotonic(), 0.0), _shut, (same,))
        watch.name, watch.daemon = "webhook-limit", True
        watch.start()
        status = 0
        try:
            status = _exchange(raw, host, port, secure, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() < deadline:
                raise Undelivered(_words(error)) from None
        finally:
            watch.cancel()
    if time.monotonic() >= deadline:
        raise Undelivered(f"no answer within {timeout_s:g} s")
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


def _resolve(host: str, port: int, timeout_s: float) -> list[_Address]:
    """In a thread of its own: the system's look-up knows no time-out."""
    found: list[_Address] = []

    def look() -> None:
        with suppress(OSError, UnicodeError):
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append((family, address))

    thread = threading.Thread(target=look, name="webhook-lookup", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive() or not found:
        raise Undelivered(f"the name {host} has no address" if not thread.is_alive() else "the name's look-up hangs")
    return list(found)


def _connected(found: list[_Address], deadline: float) -> socket.socket:
    """Connected to the first address that takes it."""
    last = Undelivered("no address could be reached")
    for family, address in found:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(remaining)
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            last = Undelivered(_words(error))
    raise last


def _exchange(
    raw: socket.socket, host: str, port: int, secure: bool, path: str, body: bytes, headers: Mapping[str, str]
) -> int:
    """The status alone is read."""
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(host, port)
    connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host) if secure else raw
    try:
        connection.request("POST", path, body, {**headers, "Connection": "close"})
        with connection.getresponse() as answer:
            return answer.status
    finally:
        connection.close()


def _shut(raw: socket.socket) -> None:
    """Whoever reads or writes sees the end."""
    with suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "could not be reached in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "gave no HTTP answer"
