"""Generates the backends and load balancing of an app's VCL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from gitship.front import websocket_vcl
from gitship.front.pause_vcl import SOCKET_PATH
from gitship.front.probe_vcl import Probe, probe_text
from gitship.front.websocket_vcl import IN_TURN, WebsocketRouting

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

    @property
    def place(self) -> list[str]:
        """As VCL says it."""
        return [f'    .host = "{self.address}";', f'    .port = "{self.port}";']


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """A program of this machine that listens on the socket ``path``."""

    name: str
    path: Path

    def __post_init__(self) -> None:
        if not SOCKET_PATH.fullmatch(str(self.path)):
            raise ValueError(f"cannot be put into VCL: {str(self.path)!r}")

    @property
    def place(self) -> list[str]:
        """As VCL says it."""
        return [f'    .path = "{self.path}";']


AnyBackend = Backend | LocalBackend


def names_of(backends: Sequence[AnyBackend]) -> list[str]:
    """What they are called in the VCL."""
    return [f"b{i}_{re.sub(r'[^A-Za-z0-9]', '_', b.name)}" for i, b in enumerate(backends)]


def gaps(
    backends: Sequence[AnyBackend], probe: Probe | None, proxy: Path | None, turn: WebsocketRouting = IN_TURN
) -> dict[str, str]:
    """What fills the gaps of varnish/app.vcl that are about containers; websockets go through ``proxy``, None: none.

    ``turn`` says which container a websocket goes to.
    """
    names = names_of(backends)
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
        "websockets": websocket_vcl.declarations(proxy, _containers(backends, names), turn),
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


def _containers(backends: Sequence[AnyBackend], names: Sequence[str]) -> list[tuple[str, str, int]]:
    return [(n, b.address, b.port) for n, b in zip(names, backends, strict=True) if isinstance(b, Backend)]


def _backend(name: str, backend: AnyBackend, probed: bool) -> str:
    lines = [
        f"backend {name} {{",
        *backend.place,
        f"    .connect_timeout = {CONNECT_TIMEOUT_S}s;",
        f"    .first_byte_timeout = {RESPONSE_TIMEOUT_S}s;",
        f"    .between_bytes_timeout = {RESPONSE_TIMEOUT_S}s;",
    ]
    if probed:
        lines.append("    .probe = ready;")
    return "\n".join([*lines, "}"])
