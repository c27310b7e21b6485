"""Generates the configuration of the haproxy that terminates TLS.

Mozilla's intermediate profile (version 5.7) without its DHE ciphers, which need parameters of their own and which no
client of the last ten years depends on.
"""

from __future__ import annotations

from pathlib import Path

from gitship.config_values import Address

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")  # of TLS 1.3
CURVES = ("X25519", "prime256v1", "secp384r1")

HANDSHAKE_TIMEOUT_S = 30
# Varnish closes idle connections after 75 s and idle websockets after an hour: it decides, so haproxy waits longer.
TUNNEL_TIMEOUT_S = 3700
# What is read from Varnish at once: four TLS records in a row. With the default of 16 KiB haproxy goes from visitor to
# visitor after each record: 148 us of processor time for a page of 100 kB against 141, and 4 to 9 % fewer pages. A
# connection has such a buffer only while data waits in it.
BUFFER_BYTES = 65536


def threads(processors: int) -> int:
    """How many of haproxy's: half of the machine's processors.

    Varnish works longer for a page than haproxy does (29 us against 17), and needs the others; two threads on two
    processors cost 10 to 15 % more than one. And a flood of handshakes leaves half of the machine to everything else.
    """
    return max(1, processors // 2)


def haproxy_config(
    listen: Address, varnish: Path, crt_list: Path, admin: Path, user: str | None, processors: int
) -> str:
    """``varnish`` and ``admin`` are Unix sockets; ``user`` is whom haproxy becomes, None: it stays who it is."""
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    lines = [
        "# Written by gitship; what is changed here is lost at its next start.",
        "global",
        *([f"    user {user}", f"    group {user}"] if user else []),
        f'    stats socket "{admin}" mode 600 level admin',
        "    no strict-limits",
        f"    nbthread {threads(processors)}",
        f"    tune.bufsize {BUFFER_BYTES}",
        f"    ssl-default-bind-ciphers {':'.join(CIPHERS)}",
        f"    ssl-default-bind-ciphersuites {':'.join(SUITES)}",
        f"    ssl-default-bind-curves {':'.join(CURVES)}",
        "    ssl-default-bind-options prefer-client-ciphers ssl-min-ver TLSv1.2 no-tls-tickets",
        "",
        "defaults",
        "    mode tcp",
        "    timeout connect 5s",
        f"    timeout client {HANDSHAKE_TIMEOUT_S}s",
        f"    timeout server {HANDSHAKE_TIMEOUT_S}s",
        f"    timeout tunnel {TUNNEL_TIMEOUT_S}s",
        "",
        "frontend https",
        f'    bind "{host}:{listen.port}" ssl crt-list "{crt_list}" alpn h2,http/1.1',
        "    default_backend varnish",
        "",
        "backend varnish",
        f'    server varnish "unix@{varnish}" send-proxy-v2-ssl',
    ]
    return "\n".join(lines) + "\n"
