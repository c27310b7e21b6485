"""What counting visitors costs: CPU of varnishncsa and of the parser, against Varnish's own for the same requests.

Cache hits, the cheapest requests there are, on kept connections with many requests on their way at once; every request
must have been counted at the end. `python -m tests.bench.stats [--rounds N]`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from gitship.config_values import Address
from gitship.front.front import Front
from gitship.front.traffic_counters import TrafficCounters, parse
from gitship.front.visitor_log import VisitorLog
from tests.bench.table import show, spread
from tests.e2e.front.asking import app, ask
from tests.e2e.front.conftest import LOOPBACK, MEMORY_BYTES, switch
from tests.e2e.front.origin import Origin

HOST = "shop.localhost"
PATH = "/page?cache-control=max-age%3D3600"
CLIENTS = 2
BATCH = 50
REQUESTS = 60_000  # of each client and round
LINES = 200_000


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def client(address: Address, count: int) -> None:
    """Asks ``count`` times, BATCH at a time, and reads every answer."""
    request = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode() * BATCH
    with socket.create_connection((address.host, address.port), 30) as connection:
        for _ in range(count // BATCH):
            connection.sendall(request)
            seen, rest = 0, b""
            while seen < BATCH:
                rest += connection.recv(1 << 17)
                seen += rest.count(b"HTTP/1.1 200")
                rest = rest[rest.rfind(b"HTTP/1.1 200") + 12 :]


def load(address: Address) -> float:
    """All clients at once; the seconds that they took."""
    began = time.monotonic()
    clients = [multiprocessing.Process(target=client, args=(address, REQUESTS)) for _ in range(CLIENTS)]
    for process in clients:
        process.start()
    for process in clients:
        process.join()
        assert process.exitcode == 0
    return time.monotonic() - began


def compare(rounds: int) -> None:
    """Prints both tables."""
    with tempfile.TemporaryDirectory(prefix="gs-stats-") as name, Origin("v1") as origin:
        directory = Path(name)
        directory.chmod(0o711)  # started by root, varnishd goes on as a user of its own
        front = Front(LOOPBACK, directory / "varnish", MEMORY_BYTES)
        front.ensure_running()
        try:
            front.set_hosts({HOST: "shop"})
            switch(front, replace(app("shop", origin), id=7))
            ask(front.address, HOST, PATH)
            _compare(front, rounds)
        finally:
            front.stop()
    parsing()


def _compare(front: Front, rounds: int) -> None:
    manager = int((front.workdir.parent / "varnishd.pid").read_text())
    children = Path(f"/proc/{manager}/task/{manager}/children").read_text().split()
    worker = int(children[0])
    without, rates, ours, readers, each_us, lost = [], [], [], [], [], 0
    total = CLIENTS * REQUESTS
    for number in range(rounds + 1):
        quiet = load(front.address)
        tally = TrafficCounters()
        log = VisitorLog(front.workdir, tally.take)
        log.start()
        time.sleep(1.5)
        assert log.pid is not None
        before = [cpu_s(pid) for pid in (worker, log.pid, os.getpid())]
        seconds = load(front.address)
        deadline = time.monotonic() + 10
        while sum(t.requests for t in tally.totals().values()) < total and time.monotonic() < deadline:
            time.sleep(0.1)
        varnish, reader, own = (cpu_s(pid) - b for pid, b in zip((worker, log.pid, os.getpid()), before, strict=True))
        lost += total - sum(t.requests for t in tally.totals().values())
        log.stop()
        if number:  # the first warms up
            without.append(total / quiet)
            rates.append(total / seconds)
            readers.append(reader / varnish)
            ours.append(own / varnish)
            each_us.append(1e6 * (reader + own) / total)
    rows = [
        ["requests/s without counting", spread(without)],
        ["requests/s while counted", spread(rates)],
        ["CPU of varnishncsa / of varnishd", spread(readers)],
        ["CPU of the parser / of varnishd", spread(ours)],
        ["both, microseconds of CPU per request", spread(each_us)],
        ["requests not counted", f"{lost} of {total * (rounds + 1)}"],
    ]
    show("Counting visitors: cache hits", ["what", "median (least..most)"], rows)


def parsing() -> None:
    """The parser alone."""
    handlings = ("hit 200", "miss 200", "pass 200", "pass 500")
    lines = "".join(f"{7 + n % 20} v12 {handlings[n % 4]} 0.0{n % 9999:05} {n}\n" for n in range(LINES)).encode()
    times = []
    for _ in range(5):
        began = time.process_time()
        parse(lines)
        times.append(1e6 * (time.process_time() - began) / LINES)
    show("The parser alone, 20 apps", ["what", "median (least..most)"], [["microseconds per line", spread(times)]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    compare(parser.parse_args().rounds)
