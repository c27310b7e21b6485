"""Generates the configuration of the haproxy for websockets.

Each connection comes from Varnish and begins with a request that Varnish has written, so its headers can be believed.
What follows on it may be a visitor's: of that nothing is a request any more.
"""

from __future__ import annotations

from pathlib import Path

from gitship.front.backend_vcl import RESPONSE_TIMEOUT_S
from gitship.front.websocket_vcl import ADDRESS, ASKED, CONNECT_S, PORT

# Varnish closes an idle websocket after an hour, so this waits longer.
TUNNEL_TIMEOUT_S = 3700
# When one end of a websocket has closed, the other may take so long to do it too.
CLOSING_TIMEOUT_S = 30
# Varnish takes requests of 64 KB and answers of 32 KB (see ``varnishd_parameters``). Only while data waits in
# it is there such a buffer: an idle websocket has none.
BUFFER_BYTES = 80 << 10
MOST_HEADERS = 160
# haproxy writes all header names in lower case; some small clients and servers look for these as they stand here.
_AS_ALWAYS = (
    "Connection", "Upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Extensions", "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol", "Sec-WebSocket-Version",
)  # fmt: skip


def websocket_config(listen: Path, admin: Path, user: str | None, group: str | None, threads: int) -> str:
    """``listen`` and ``admin`` are Unix sockets. ``user`` is whom haproxy becomes (None: it stays who it is), and
    ``group`` is Varnish's, which may connect (None: this user alone may).
    """
    allowed = f"group {group} mode 660" if group else "mode 600"
    lines = [
        "# Written by gitship; what is changed here is lost at its next start.",
        "global",
        *([f"    user {user}", f"    group {user}"] if user else []),
        f'    stats socket "{admin}" mode 600 level admin expose-fd listeners',
        "    no strict-limits",
        f"    nbthread {threads}",
        f"    tune.bufsize {BUFFER_BYTES}",
        f"    tune.http.maxhdr {MOST_HEADERS}",
        *(f"    h1-case-adjust {name.lower()} {name}" for name in _AS_ALWAYS),
        "",
        "defaults",
        "    mode http",
        "    option httpclose",
        "    option disable-h2-upgrade",
        "    option h1-case-adjust-bogus-client",
        "    option h1-case-adjust-bogus-server",
        "    retries 0",
        f"    timeout connect {CONNECT_S}s",
        f"    timeout http-request {CLOSING_TIMEOUT_S}s",
        f"    timeout client {RESPONSE_TIMEOUT_S}s",
        f"    timeout server {RESPONSE_TIMEOUT_S}s",
        f"    timeout client-fin {CLOSING_TIMEOUT_S}s",
        f"    timeout server-fin {CLOSING_TIMEOUT_S}s",
        f"    timeout tunnel {TUNNEL_TIMEOUT_S}s",
        "",
        "frontend websockets",
        f'    bind "unix@{listen}" {allowed}',
        "    http-request deny deny_status 400 unless { http_first_req }",
        f"    http-request return status 204 if {{ hdr({ASKED}) -m found }}",
        f"    http-request deny deny_status 400 unless {{ hdr({ADDRESS}) -m found }} {{ hdr({PORT}) -m found }}",
        f"    http-request set-dst hdr({ADDRESS})",
        f"    http-request set-dst-port hdr({PORT})",
        f"    http-request del-header {ADDRESS}",
        f"    http-request del-header {PORT}",
        "    default_backend container",
        "",
        "backend container",
        "    server wanted 0.0.0.0",
    ]
    return "\n".join(lines) + "\n"
