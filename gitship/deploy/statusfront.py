"""The status page behind Varnish (setting ``web.domain``): one more site there, whose only backend is gitship itself.

Its answers say `no-store`, so that Varnish keeps none of them but the files whose address tells their content.
"""

from __future__ import annotations

import hmac

from gitship.config import Settings
from gitship.deploy.gates import status_https
from gitship.deploy.webaddress import EVERYWHERE
from gitship.front.front import AppFront, Backend
from gitship.front.gate import Gate
from gitship.model import STATUS_PAGE
from gitship.store import Store

SLUG = STATUS_PAGE.name  # no app's begins so


def status_front(store: Store, settings: Settings) -> AppFront | None:
    """None when the page has no host name."""
    if not settings.web.domain:
        return None
    host = settings.web.listen.host
    address = {"localhost": "127.0.0.1"}.get(host, "127.0.0.1" if host in EVERYWHERE else host)
    return AppFront(
        slug=SLUG,
        app="gitship",
        release="v0",
        cache_key="status",
        backends=(Backend("status", address, settings.web.listen.port),),
        gate=Gate(https=status_https(store)),
        verify_token=hmac.new(store.secret(), b"status page", "sha256").hexdigest()[:32],
    )
