"""Certificates of apps and of the status page."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Site(Protocol):
    """Whoever has certificates: an app, or the status page."""

    @property
    def id(self) -> int: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class StatusPage:
    """The only site that is no app. No app has its id, nor a name that begins so."""

    id: int = 0
    name: str = "_status"


STATUS_PAGE = StatusPage()


class CertificateSource(StrEnum):
    """Where a certificate comes from; for a host that several cover, the first one counts."""

    OWN = "own"
    ACME = "acme"
    SELF_SIGNED = "self-signed"

    @property
    def trusted(self) -> bool:
        """True when visitors' browsers are expected to trust it."""
        return self is not CertificateSource.SELF_SIGNED


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A site's certificate with chain and key; ``app_id`` 0: the status page's. Times are epoch seconds.

    ``suggested_at``: when the authority itself would like it to be renewed. ``warned``: its end was announced.
    """

    id: int
    app_id: int
    source: CertificateSource
    domains: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    pem: str = field(repr=False)
    suggested_at: float | None = None
    warned: bool = False


AUTHORITY, BUDGET = "authority", "budget"  # what holds an attempt


@dataclass(frozen=True, slots=True)
class CertificateAttempt:
    """Attempts to get a site's certificate since the last that succeeded; none is made by itself before ``next_at``,
    unless other ``names`` are wanted by then.

    ``held``: nobody may ask for these names before that, whoever wants it: by the authority's word, or BUDGET.
    """

    failures: int
    next_at: float
    names: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""
    held: str = ""
