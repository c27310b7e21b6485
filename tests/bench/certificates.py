"""haproxy with thousands of certificates: how long it takes to start, to learn of one more, and what they weigh.

`python -m tests.bench.certificates [--count N]`; needs haproxy.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gitship.config_values import Address
from gitship.front.tls import self_signed
from gitship.front.tls.served_certificates import ServedCertificate
from gitship.front.tls.terminator import Terminator
from tests.bench.table import show
from tests.places import free_port


def entry(number: int) -> ServedCertificate:
    host = f"shop-{number}.example.com"
    return ServedCertificate(f"shop-{number}", self_signed.make([host], 30), (host,))


def seconds(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def children_s() -> float:
    """Seconds that all programs started here have worked; haproxy reads everything before it becomes a daemon."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(count: int) -> None:
    entries, more = [entry(number) for number in range(count)], entry(count)
    with tempfile.TemporaryDirectory(prefix="gs-certificates-") as name:
        base = Path(name)
        base.chmod(0o711)
        listen = Address("127.0.0.1", free_port())
        tls = Terminator(listen, base / "tls", base / "certs", base / "varnish")

        def pid() -> int:
            return int((base / "tls/haproxy.pid").read_text())

        try:
            tls.bring([])
            empty_mb = memory_mb(pid())
            tls.stop()
            first = seconds(lambda: tls.bring(entries))
            tls.stop()
            worked = children_s()
            again = seconds(lambda: tls.bring(entries))
            worked, full_mb = children_s() - worked, memory_mb(pid())
            same = seconds(lambda: tls.bring(entries))
            change = seconds(lambda: tls.bring([*entries[1:], more]))
        finally:
            tls.stop()
    rows = [
        ("first start, every file written", f"{first:.2f} s"),
        ("start with the files there", f"{again:.2f} s, of which haproxy works {worked:.2f} s"),
        ("looking when nothing has changed", f"{same * 1000:.0f} ms"),
        ("one added and one removed, live", f"{change * 1000:.0f} ms"),
        ("memory", f"{empty_mb:.0f} MB empty, {full_mb:.0f} MB: {(full_mb - empty_mb) * 1000 / count:.0f} kB each"),
    ]
    show(f"haproxy with {count:,} certificates", ("what", "takes"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=2000)
    measure(parser.parse_args().count)


if __name__ == "__main__":
    main()
