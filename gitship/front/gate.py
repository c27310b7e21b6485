"""Access settings of an app as data: https, networks, maintenance, redirects, passwords; ``gate_vcl`` writes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from urllib.parse import urlsplit

from gitship.front.visitor_limits import UNLIMITED, VisitorLimits
from gitship.model import DOMAIN_NAME, WILDCARD

REDIRECT_CODES = (301, 302, 307, 308)
PAGE_BYTES = 256 * 1024

_PATH = re.compile(r"/[!$%&'()*+,./0-9:;=@A-Z\[\]_a-z~-]{0,1000}")
_ORIGIN = r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
_TARGET = re.compile(rf"(?:{_ORIGIN})?(?:/[!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]{{0,1000}})?")
_CREDENTIALS = re.compile(r"[A-Za-z0-9+/]{2,4000}={0,2}")


@dataclass(frozen=True, slots=True)
class Redirect:
    """From a host of the app, a path, or all below a path (``/old/*``) to a path or URL, with a status ``code``.

    A host's path and query, and what follows the ``/*``, are kept; a query also when ``target`` has none of its own.
    Raises ValueError for what could end a VCL string or lead to another site than ``target`` says.
    """

    source: str
    target: str
    code: int

    def __post_init__(self) -> None:
        named = _PATH if self.source.startswith("/") else DOMAIN_NAME
        if not named.fullmatch(self.source) or "*" in self.source.removesuffix("/*"):
            raise ValueError(f"not a path or host: {self.source!r}")
        if not self.target or not _TARGET.fullmatch(self.target) or self.target.startswith("//"):
            raise ValueError(f"not a path or URL: {self.target!r}")
        if (self.is_host or self.is_prefix) and re.search(r"[?#]", self.target):
            raise ValueError(f"nothing can be appended to {self.target!r}")
        if self.code not in REDIRECT_CODES:
            raise ValueError(f"not a redirect: {self.code}")

    @property
    def is_host(self) -> bool:
        return not self.source.startswith("/")

    @property
    def is_prefix(self) -> bool:
        return self.source.endswith("/*")

    @property
    def base(self) -> str:
        """``target`` as what is kept is appended to it."""
        if self.is_host:
            return self.target.rstrip("/")
        return self.target.rstrip("/") + "/" if self.is_prefix else self.target

    @property
    def keeps_query(self) -> bool:
        return not re.search(r"[?#]", self.target)

    def location(self, host: str, url: str) -> str | None:
        """Where ``url`` (path and query) at ``host`` is sent, as the VCL does it; None: it is not concerned."""
        if self.is_host:
            return self.base + url if host == self.source else None
        if self.is_prefix:
            start = self.source.removesuffix("*")
            return self.base + url.removeprefix(start).lstrip("/\\") if url.startswith(start) else None
        path, mark, query = url.partition("?")
        return None if path != self.source else self.base + (mark + query if self.keeps_query else "")


def in_order(redirects: Iterable[Redirect]) -> list[Redirect]:
    """As they are tried: hosts, then paths, then what lies below a path, the longest first."""
    return sorted(redirects, key=lambda r: (not r.is_host, r.is_prefix, -len(r.source), r.source))


def looping(redirects: Collection[Redirect], own_hosts: Collection[str]) -> Redirect | None:
    """A redirect from which a visitor never arrives anywhere, at the app that answers at ``own_hosts``."""
    ordered = in_order(redirects)
    for first in ordered:
        host, url = (first.source, "/x") if first.is_host else ("", first.source.replace("/*", "/x"))
        for _ in range(len(ordered) + 1):
            location = next((to for r in ordered if (to := r.location(host, url)) is not None), None)
            if location is None:
                break
            parts = urlsplit(location)
            if parts.netloc and (parts.hostname or "") not in own_hosts:
                break
            host = parts.hostname or host
            url = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        else:
            return first
    return None


@dataclass(frozen=True, slots=True)
class Login:
    """``credentials`` is base64 of ``user:password``, as browsers send it: Varnish can compare but not hash."""

    user: str
    credentials: str

    def __post_init__(self) -> None:
        if not _CREDENTIALS.fullmatch(self.credentials):
            raise ValueError("not base64")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Visitors get ``page`` (HTML; None: gitship's own), those from the networks ``allow`` see the app."""

    page: str | None = None
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_networks(self.allow)
        check_page(self.page or "")


@dataclass(frozen=True, slots=True)
class HttpsRedirect:
    """``hosts`` (perhaps ``*.example.com``) are sent from http to https at ``port``, and have a certificate there.

    ``hsts_s``: browsers are told to come by https alone for so many seconds; 0: they are not.
    """

    hosts: tuple[str, ...]
    port: int = 443
    hsts_s: int = 0

    def __post_init__(self) -> None:
        if not all(DOMAIN_NAME.fullmatch(host.removeprefix(WILDCARD)) for host in self.hosts):
            raise ValueError(f"not hosts: {self.hosts!r}")

    def url(self, host: str) -> str:
        return f"https://{host}" if self.port == 443 else f"https://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Gate:
    """All of it, in the order in which it is asked: ``limits``, ``https``, and so on. ``allow`` are networks; none: all
    are let in. ``vcl`` is the app's own (see ``custom_vcl``).
    """

    allow: tuple[str, ...] = ()
    maintenance: Maintenance | None = None
    redirects: tuple[Redirect, ...] = ()
    logins: tuple[Login, ...] = ()
    limits: VisitorLimits = UNLIMITED
    vcl: str = ""
    https: HttpsRedirect | None = None

    def __post_init__(self) -> None:
        _check_networks(self.allow)

    @property
    def open(self) -> bool:
        """True when nothing stands there, but for limits and the app's own VCL."""
        return replace(self, limits=UNLIMITED, vcl="") == OPEN


def check_page(page: str) -> None:
    """Raises ValueError for what VCL cannot say of a page."""
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", page):
        raise ValueError("a page has no control characters")


def _check_networks(networks: tuple[str, ...]) -> None:
    for network in networks:
        if "%" in network or str(ip_network(network)) != network:
            raise ValueError(f"not a network: {network!r}")


OPEN = Gate()
