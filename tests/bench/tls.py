"""A cached page over TLS: haproxy and Varnish as gitship runs them, against nginx doing TLS and the same cache.

One origin, one certificate, one client (wrk, keep-alive), taken in turn. `python -m tests.bench.tls [--rounds N]`;
needs nginx and wrk. The figure to hold is a median of pairs of at least 1.0.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitship.configvalues import Address
from gitship.front.front import Front
from gitship.front.tls import self_signed
from gitship.front.tls.config import CIPHERS, CURVES
from gitship.front.tls.table import Entry
from gitship.front.tls.terminator import Terminator
from tests.bench.table import paired_ratio, show, spread
from tests.e2e.front.asking import app
from tests.e2e.front.conftest import switch
from tests.e2e.front.origin import Origin
from tests.e2e.harness import free_port, wait_until

HOST = "localhost"
TARGET = "1.0"
MEMORY_BYTES = 64 << 20
SECONDS = 4
SIZES = (100, 10_000, 100_000)
NGINX = """\
daemon off;
worker_processes auto;
pid {base}/nginx.pid;
error_log {base}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {base}/body; proxy_temp_path {base}/proxy; fastcgi_temp_path {base}/f;
  uwsgi_temp_path {base}/u; scgi_temp_path {base}/s;
  proxy_cache_path {base}/cache keys_zone=pages:10m;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {base}/pem; ssl_certificate_key {base}/pem;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {ciphers}; ssl_ecdh_curve {curves}; ssl_session_tickets off;
    keepalive_requests 1000000;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_cache pages;
    }}
  }}
}}
"""


def requests_per_second(url: str) -> float:
    """As many as 64 connections get in ``SECONDS``."""
    command = ["wrk", "-t2", "-c64", f"-d{SECONDS}s", "--timeout", "10s", url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 60, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


@contextmanager
def gitships(base: Path, pem: str, origin: Origin) -> Iterator[str]:
    """The address of haproxy before Varnish."""
    front = Front(Address("127.0.0.1", 0), base / "varnish", MEMORY_BYTES)
    tls = Terminator(Address("127.0.0.1", free_port()), base / "tls", base / "certs", base / "varnish")
    try:
        front.ensure_running()
        front.set_hosts({HOST: "bench"})
        switch(front, app("bench", origin))
        tls.bring([Entry("bench", pem, (HOST,))])
        yield f"https://{HOST}:{tls.listen.port}"
    finally:
        tls.stop()
        front.stop()


@contextmanager
def nginx(base: Path, pem: str, origin: Origin) -> Iterator[str]:
    """The address of an nginx that caches in the same way."""
    base.mkdir(mode=0o755)
    port = free_port()
    (base / "pem").write_text(pem)
    text = NGINX.format(base=base, origin=origin.port, port=port, ciphers=":".join(CIPHERS), curves=":".join(CURVES))
    (base / "nginx.conf").write_text(text)
    process = subprocess.Popen(["nginx", "-p", str(base), "-c", str(base / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (base / "nginx.pid").exists(), 10, "nginx runs")
        yield f"https://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait(10)


def compare(rounds: int) -> None:
    """Prints the table; each pair is taken in turn."""
    for program in ("nginx", "wrk"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed: apt-get install {program}")
    pem = self_signed.make([HOST], 30)
    with tempfile.TemporaryDirectory(prefix="gs-tls-") as name, Origin("v1") as origin:
        base = Path(name)
        base.chmod(0o711)  # started by root, the servers go on as users of their own
        with gitships(base, pem, origin) as ours, nginx(base / "nginx", pem, origin) as theirs:
            rows = [_row(ours, theirs, size, rounds) for size in SIZES]
    header = ("page", "gitship, 1000/s", "nginx, 1000/s", "ratio", "target")
    show("A cached page over TLS", header, rows)


def _row(ours: str, theirs: str, size: int, rounds: int) -> tuple[str, str, str, str, str]:
    path = f"/large?n={size}&cache-control=max-age=3600"
    figures: dict[str, list[float]] = {ours: [], theirs: []}
    for number in range(rounds):
        for address in (ours, theirs) if number % 2 else (theirs, ours):
            figures[address].append(requests_per_second(f"{address}{path}") / 1000)
    ratio = f"{paired_ratio(figures[ours], figures[theirs]):.2f}"
    return f"{size:,} bytes", spread(figures[ours]), spread(figures[theirs]), ratio, TARGET


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    compare(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
