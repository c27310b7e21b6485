"""Generates sticky sessions: one container per visitor, by a cookie.

For what keeps something of a visitor in one container's memory, as socket.io's polling does. The container follows
from the cookie (consistent hashing); one that is not healthy, or gone, gives its visitors to the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gitship.front.backend_vcl import Backend, names_of
from gitship.front.websocket_vcl import WebsocketRouting

COOKIE = "gitship_sticky"
_VALUE = "[0-9-]{1,40}"  # a request's id
_KEY = "req.http.x-gitship-sticky"
# Instead of the next container in turn; a visitor's websocket goes where the requests go.
CHOICE = f"set req.backend_hint = stuck.backend(by=KEY, key=stuck.key({_KEY}));"
TURN = WebsocketRouting("stuck", _KEY, own=False)


def wanted(sticky: bool, backends: Sequence[Backend]) -> bool:
    """With a single container there is nothing to choose."""
    return sticky and len(backends) > 1


def declarations(backends: Sequence[Backend], *, beside_others: bool) -> str:
    """What comes before everything that looks at cookies; ``beside_others`` as for ``canary_vcl.telling``."""
    names = names_of(backends)
    # the container's name is its place on the ring, whatever its number in this VCL is
    both = [(name, re.sub(r"[^A-Za-z0-9_.-]", "_", b.name)) for name, b in zip(names, backends, strict=True)]
    return "\n".join(
        [
            "sub vcl_init {",
            "    new stuck = directors.shard();",
            *(f'    stuck.add_backend({name}, "{ident}");' for name, ident in both),
            "    stuck.reconfigure();",
            "}",
            "",
            "# A visitor without the cookie goes where the id of this request leads, and is told so.",
            "sub vcl_recv {",
            "    if (req.restarts == 0) {",
            "        unset req.http.x-gitship-stick;",
            "        set req.http.x-gitship-sticky = req.http.x-request-id;",
            f'        if (req.http.cookie ~ "(^|; *){COOKIE}={_VALUE}(;|$)") {{',
            "            set req.http.x-gitship-sticky =",
            f'                regsub(req.http.cookie, "^(?:.*; *)?{COOKIE}=({_VALUE})(?:;.*)?$", "\\1");',
            "        } else {",
            '            set req.http.x-gitship-stick = "tell";',
            "        }",
            "    }",
            "}",
            "",
            "sub vcl_backend_fetch {",
            "    unset bereq.http.x-gitship-stick;",
            "    unset bereq.http.x-gitship-sticky;",
            "}",
            "",
            "sub vcl_pipe {",
            "    unset bereq.http.x-gitship-stick;",
            "    unset bereq.http.x-gitship-sticky;",
            "}",
            "",
            "# Only with what the container itself has answered: what is kept for all is told to nobody.",
            "sub vcl_deliver {",
            "    if (req.http.x-gitship-stick && obj.uncacheable && !req.http.x-gitship-verify) {",
            *_tell(beside_others),
            "    }",
            "}",
            "",
        ]
    )


def _tell(beside_others: bool) -> list[str]:
    value = f'"{COOKIE}=" + req.http.x-gitship-sticky + "; Path=/; HttpOnly; SameSite=Lax"'
    if beside_others:
        return [f"        header.append(resp.http.set-cookie, {value});"]
    return [
        "        if (!resp.http.set-cookie) {",
        f"            set resp.http.set-cookie = {value};",
        "        }",
    ]
