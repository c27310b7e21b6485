"""HTTPS of an app or of the status page, as the server file has it."""

from __future__ import annotations

from typing import Any

from gitship.https.wanted_certificates import WantedCertificate
from gitship.schema import Value
from gitship.serverfile.document import Step


def read_https(value: Value) -> Any:
    """``false``, or a table with ``hsts``. Raises ConfigError."""
    if isinstance(value.raw, bool):
        return {"hsts": False} if value.raw else False
    hsts = value.known(("hsts",)).get("hsts")
    if hsts is not None and not isinstance(hsts.raw, bool):
        raise hsts.error("must be true or false")
    return {"hsts": bool(hsts is not None and hsts.raw)}


def https_wish(wish: WantedCertificate) -> Any:
    """As ``read_https`` reads it."""
    return {"hsts": bool(wish.hsts_s)} if wish.on else False


def https_step(site: str, wanted: Any) -> Step:
    if wanted is False:
        return Step(("https:disable", site))
    return Step(("https:enable", site, "--hsts", "on" if wanted["hsts"] else "off"))
