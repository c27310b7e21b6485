"""Variables of `links`, as Fig and Docker's own links set them, with host names in the place of addresses. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

MOST_PORTS = 10  # of a link: nobody reads more of these


def link_variables(alias: str, service: str, ports: Iterable[int]) -> dict[str, str]:
    """Of a link to ``service`` under the name ``alias``: DB_HOST and DB_PORT, DB_PORT_5432_TCP_ADDR and its kin.

    Also with Fig's number of the container: DB_1_PORT_5432_TCP_ADDR.
    """
    prefix = re.sub(r"[^A-Za-z0-9_]", "_", alias).upper()
    found = {f"{prefix}_HOST": service}
    for number, port in enumerate(itertools.islice(ports, MOST_PORTS)):
        url = f"tcp://{service}:{port}"
        for name in (f"{prefix}_PORT", f"{prefix}_1_PORT"):
            if number == 0:
                found[name] = url
            found |= {f"{name}_{port}_TCP": url, f"{name}_{port}_TCP_ADDR": service}
            found |= {f"{name}_{port}_TCP_PORT": str(port), f"{name}_{port}_TCP_PROTO": "tcp"}
    return found
