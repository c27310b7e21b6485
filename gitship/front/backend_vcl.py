"""An app's containers in its VCL: backends, and who of them gets a request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from gitship.front.probe_vcl import Probe, probe_text

SOCKET_PREFIX = "socket_"  # of the backends that websockets go to

# A container's address is on this machine: one lost SYN is repeated after 1 s, the next after 3 s.
CONNECT_TIMEOUT_S = 3
# Until the first byte, and between two: as long as the slowest report or the quietest event stream may take.
# A request that hangs holds one of 10,000 worker threads for that long.
RESPONSE_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Backend:
    """A container's address, an IP. ``name`` shows up in statistics."""

    name: str
    address: str
    port: int

    def __post_init__(self) -> None:
        ip_address(self.address)
        if not 0 < self.port < 65536:
            raise ValueError(f"not a port: {self.port}")


def gaps(backends: Sequence[Backend], probe: Probe | None) -> dict[str, str]:
    """What fills the gaps of varnish/app.vcl that are about containers."""
    names = [f"b{i}_{re.sub(r'[^A-Za-z0-9]', '_', b.name)}" for i, b in enumerate(backends)]
    probed = probe is not None
    made = [_backend(n, b, probed) for n, b in zip(names, backends, strict=True)]
    members = ["    new app = directors.round_robin();", *(f"    app.add_backend({n});" for n in names)]
    if probed:
        made += [_backend(f"any_{n}", b, False) for n, b in zip(names, backends, strict=True)]
        members += ["    new any = directors.round_robin();", *(f"    any.add_backend(any_{n});" for n in names)]
    return {
        "probe": probe_text(probe) if probe else "",
        "backends": "\n".join(made),
        "members": "\n".join(members),
        "sockets": _sockets(backends, names, probed),
        "any_at_all": _any_at_all("req.backend_hint", "    ") if probed else "",
        "any_at_all_again": _any_at_all("bereq.backend", "        ") if probed else "",
        "retry_503": _retry_503(probed) if len(names) > 1 else "",
    }


def _retry_503(probed: bool) -> str:
    """Another container may be able to answer what this one turns away."""
    lines = [
        '    if (beresp.status == 503 && bereq.retries < 2 && (bereq.method == "GET" || bereq.method == "HEAD")) {',
        "        set bereq.backend = app.backend();",
        *([_any_at_all("bereq.backend", "        ")] if probed else []),
        "        call gitship_keep_patience;",
        "        return (retry);",
        "    }",
    ]
    return "\n".join(lines)


def _any_at_all(variable: str, indent: str) -> str:
    """When no container passes its probe they are tried all the same: a probe never makes it worse."""
    condition = f"{indent}if (!std.healthy({variable})) {{"
    return f"{condition}\n{indent}    set {variable} = any.backend();\n{indent}}}"


def _sockets(backends: Sequence[Backend], names: Sequence[str], probed: bool) -> str:
    """The same containers once more: Varnish counts open connections by backend, and so tells sockets from requests."""
    own = [f"{SOCKET_PREFIX}{name}" for name in names]
    made = [_backend(n, b, probed) for n, b in zip(own, backends, strict=True)]
    members = [f"    sockets.add_backend({n});" for n in own]
    return "\n".join([*made, "", "sub vcl_init {", "    new sockets = directors.round_robin();", *members, "}"])


def _backend(name: str, backend: Backend, probed: bool) -> str:
    lines = [
        f"backend {name} {{",
        f'    .host = "{backend.address}";',
        f'    .port = "{backend.port}";',
        f"    .connect_timeout = {CONNECT_TIMEOUT_S}s;",
        f"    .first_byte_timeout = {RESPONSE_TIMEOUT_S}s;",
        f"    .between_bytes_timeout = {RESPONSE_TIMEOUT_S}s;",
    ]
    if probed:
        lines.append("    .probe = ready;")
    return "\n".join([*lines, "}"])
