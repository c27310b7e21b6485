"""A cached page over TLS: haproxy before Varnish as gitship runs them, against nginx in haproxy's place, and alone.

One origin, one certificate, one client (wrk, keep-alive), taken in turn. `python -m tests.bench.tls [--rounds N]`;
needs nginx and wrk. Two peers:

- *nginx before the same Varnish*: TLS in nginx (HTTP, kept connections, HTTP/1.1), the pages in the very Varnish that
  gitship uses. The figure to hold is a median of pairs of at least 1.0.
- *nginx alone*: TLS and `proxy_cache` in one process, with no Varnish. Printed to be honest about what the second
  process costs; no target, since even Varnish without any TLS takes more processor time for a page than that nginx.

The last columns are processor time for a request, of all servers together: it says more than the rates where others use
the machine, too. `new` in place of a size: 100 bytes, each on a connection of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gitship.config_values import Address
from gitship.front.front import Front
from gitship.front.tls import self_signed
from gitship.front.tls.haproxy_config import CIPHERS, CURVES
from gitship.front.tls.served_certificates import ServedCertificate
from gitship.front.tls.terminator import Terminator
from tests.bench.table import median, paired_ratio, show, spread
from tests.e2e.front.asking import app
from tests.e2e.front.conftest import switch
from tests.e2e.front.origin import Origin
from tests.places import free_port
from tests.waiting import wait_until

HOST = "localhost"
TARGET = "1.0"
MEMORY_BYTES = 64 << 20
SECONDS = 3
SIZES = (100, 10_000, 100_000)
NEW = 0  # in place of a size
SMALL = 100
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
  {cache}
  upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {base}/pem; ssl_certificate_key {base}/pem;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers {ciphers}; ssl_ecdh_curve {curves}; ssl_session_tickets off;
    keepalive_requests 1000000;
    location / {{
      proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto https;
      {pages}
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Peer:
    """``pids``: every process that works for its visitors."""

    name: str
    url: str
    pids: tuple[int, ...]
    rates: list[float] = field(default_factory=list)  # 1000/s
    costs: list[float] = field(default_factory=list)  # microseconds of processor time for a request

    def fresh(self) -> Peer:
        return Peer(self.name, self.url, self.pids)

    def take(self, size: int) -> None:
        before = processor_s(self.pids)
        rate = requests_per_second(f"{self.url}/large?n={size or SMALL}&cache-control=max-age=3600", size == NEW)
        self.rates.append(rate / 1000)
        self.costs.append((processor_s(self.pids) - before) / (rate * SECONDS) * 1e6)


def processor_s(pids: tuple[int, ...]) -> float:
    """Seconds that these processes have worked, in user and in system mode (proc(5), fields 14 and 15)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def requests_per_second(url: str, new: bool) -> float:
    """As many as 64 visitors get in ``SECONDS``; with ``new`` each request has a connection of its own."""
    command = ["wrk", "-t2", "-c64", f"-d{SECONDS}s", "--timeout", "10s", *(["-H", "Connection: close"] if new else [])]
    said = subprocess.run([*command, url], capture_output=True, text=True, timeout=SECONDS + 60, check=True).stdout
    if "Non-2xx" in said or ("Socket errors" in said and not new):
        raise RuntimeError(said)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def with_children(pid: int | None) -> tuple[int, ...]:
    assert pid is not None
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (pid, *(int(child) for child in children))


@contextmanager
def gitships(base: Path, pem: str, origin: Origin) -> Iterator[tuple[Peer, Front, tuple[int, ...]]]:
    """haproxy before Varnish, and that Varnish with its processes."""
    front = Front(Address("127.0.0.1", 0), base / "varnish", MEMORY_BYTES)
    tls = Terminator(Address("127.0.0.1", free_port()), base / "tls", base / "certs", base / "varnish")
    try:
        front.ensure_running()
        front.set_hosts({HOST: "bench"})
        switch(front, app("bench", origin))
        tls.bring([ServedCertificate("bench", pem, (HOST,))])
        varnish = with_children(int((base / "varnish/varnishd.pid").read_text()))
        haproxy = with_children(int((base / "tls/haproxy.pid").read_text()))
        yield Peer("gitship", f"https://{HOST}:{tls.listen.port}", haproxy + varnish), front, varnish
    finally:
        tls.stop()
        front.stop()


@contextmanager
def nginx(
    name: str, base: Path, pem: str, behind: int, *, caches: bool, others: tuple[int, ...] = ()
) -> Iterator[Peer]:
    """An nginx that speaks TLS; what it asks listens at port ``behind`` and is made of the processes ``others``."""
    base.mkdir(mode=0o755)
    port = free_port()
    (base / "pem").write_text(pem)
    text = NGINX.format(
        base=base, behind=behind, port=port, ciphers=":".join(CIPHERS), curves=":".join(CURVES),
        cache=f"proxy_cache_path {base}/cache keys_zone=pages:10m;" if caches else "",
        pages="proxy_cache pages;" if caches else "",
    )  # fmt: skip
    (base / "nginx.conf").write_text(text)
    process = subprocess.Popen(["nginx", "-p", str(base), "-c", str(base / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (base / "nginx.pid").exists(), 10, "nginx runs")
        url = f"https://{HOST}:{port}"
        wait_until(lambda: len(workers(process.pid)) == os.cpu_count(), 10, "nginx has its workers")
        yield Peer(name, url, (*workers(process.pid), *others))
    finally:
        process.terminate()
        process.wait(10)


def workers(pid: int) -> tuple[int, ...]:
    """Without the master, which sleeps, and those that only tidy the cache."""
    found = [child for child in with_children(pid)[1:] if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return tuple(found)


def compare(rounds: int) -> None:
    """Prints the table; each group is taken in turn."""
    for program in ("nginx", "wrk"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed: apt-get install {program}")
    pem = self_signed.make([HOST], 30)
    with tempfile.TemporaryDirectory(prefix="gs-tls-") as name, Origin("v1") as origin, ExitStack() as stack:
        base = Path(name)
        base.chmod(0o711)  # started by root, the servers go on as users of their own
        ours, front, varnish = stack.enter_context(gitships(base, pem, origin))
        before = nginx("before", base / "before", pem, front.address.port, caches=False, others=varnish)
        alone = nginx("alone", base / "alone", pem, origin.port, caches=True)
        peers = [ours, stack.enter_context(before), stack.enter_context(alone)]
        rows = [_row(peers, size, rounds) for size in (*SIZES, NEW)]
    header = (
        "page", "gitship, 1000/s", "nginx before the same Varnish", "ratio", "target", "nginx alone", "ratio",
        "us/request", "before", "alone",
    )  # fmt: skip
    show("A cached page over TLS", header, rows)


def _row(peers: list[Peer], size: int, rounds: int) -> tuple[str, ...]:
    taken = [peer.fresh() for peer in peers]
    for number in range(rounds):
        for peer in taken if number % 2 else taken[::-1]:
            peer.take(size)
    ours, before, alone = taken
    return (
        f"{size:,} bytes" if size != NEW else "new", spread(ours.rates),
        spread(before.rates), f"{paired_ratio(ours.rates, before.rates):.2f}", TARGET,
        spread(alone.rates), f"{paired_ratio(ours.rates, alone.rates):.2f}",
        *(f"{median(peer.costs):.0f}" for peer in taken),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    compare(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
