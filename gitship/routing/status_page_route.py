"""Route to the status page in Varnish (setting ``web.domain``).

It has a socket of its own for Varnish, which nobody else can connect to: whoever comes by it is a visitor, whatever the
request says, and what Varnish says of the visitor is true.
Its answers say `no-store`, so that Varnish keeps none of them but the files whose address tells their content.
"""

from __future__ import annotations

import hmac

from gitship.config import Settings
from gitship.errors import FrontError
from gitship.front.front import AppFront, LocalBackend
from gitship.front.gate import Gate
from gitship.model import STATUS_PAGE
from gitship.routing.gate_settings import status_https
from gitship.store import Store

SLUG = STATUS_PAGE.name  # no app's begins so


def status_front(store: Store, settings: Settings) -> AppFront | None:
    """None when the page has no host name. Raises FrontError."""
    if not settings.web.domain:
        return None
    try:
        page = LocalBackend("status", settings.status_socket)
    except ValueError:
        raise FrontError(
            f"the path {settings.status_socket} is too long for a socket", "choose a shorter data_dir"
        ) from None
    return AppFront(
        slug=SLUG,
        app="gitship",
        release="v0",
        cache_key="status",
        backends=(),
        local=page,
        gate=Gate(https=status_https(store)),
        verify_token=hmac.new(store.secret(), b"status page", "sha256").hexdigest()[:32],
    )
