"""haproxy's configuration, as text.

Mozilla's intermediate profile (version 5.7) without its DHE ciphers, which need parameters of their own and which no
client of the last ten years depends on.
"""

from __future__ import annotations

from pathlib import Path

from gitship.configvalues import Address

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


def haproxy_config(listen: Address, varnish: Path, crt_list: Path, admin: Path, user: str | None) -> str:
    """``varnish`` and ``admin`` are Unix sockets; ``user`` is whom haproxy becomes, None: it stays who it is."""
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    lines = [
        "# Written by gitship; what is changed here is lost at its next start.",
        "global",
        *([f"    user {user}", f"    group {user}"] if user else []),
        f'    stats socket "{admin}" mode 600 level admin',
        "    no strict-limits",
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
