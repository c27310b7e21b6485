"""Every key of a Compose file that gitship knows, as the manual shows them."""

from __future__ import annotations

from gitship.compose.build import BUILD
from gitship.compose.granted_files import SECRET
from gitship.compose.keys import KeyUse
from gitship.compose.limits import DEPLOY, LIMITS, RESERVATIONS
from gitship.compose.options import HEALTHCHECK
from gitship.compose.service import NETWORK
from gitship.compose.service_keys import SERVICE
from gitship.compose.top import CACHE, GITSHIP, NETWORKS, TOP, VOLUMES

TABLES = (
    ("", TOP),
    ("x-gitship", GITSHIP),
    ("x-gitship.cache", CACHE),
    ("services.<name>", SERVICE),
    ("services.<name>.build", BUILD),
    ("services.<name>.healthcheck", HEALTHCHECK),
    ("services.<name>.deploy", DEPLOY),
    ("services.<name>.deploy.resources.limits", LIMITS),
    ("services.<name>.deploy.resources.reservations", RESERVATIONS),
    ("services.<name>.networks.<name>", NETWORK),
    ("networks.<name>", NETWORKS),
    ("volumes.<name>", VOLUMES),
    ("secrets.<name>", SECRET),
    ("configs.<name>", SECRET),
)


def reference(use: KeyUse) -> list[tuple[str, str]]:
    """The keys of that use as (key, sentence): what an honoured one does, why another is not, and the way."""
    return [
        (f"{table}.{key.name}" if table else key.name, f"{key.about}; {key.way}" if key.way else key.about)
        for table, keys in TABLES
        for key in keys.values()
        if key.use is use
    ]
