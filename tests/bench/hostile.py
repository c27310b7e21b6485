"""Attacks on a whole gitship server, at full size: what each costs the server, and whether others are served meanwhile.

`python -m tests.bench.hostile [NAME ...]`; a name is a part of an attack's title. Everything goes to loopback.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import paramiko

from tests.bench.table import show
from tests.e2e import apps, dockerd
from tests.e2e.harness import Server, make_key, running
from tests.unit.git import bombs

APP = "honest"
SOCKETS = 5_000
BAD_LOGINS = 1_000
LOGINS_AT_ONCE = 24
GUESSERS = 10  # addresses that the bad logins come from
PACKET_BYTES = 256 << 20
ADDRESSES = [f"127.0.{n}.1" for n in range(1, 120)]  # attackers come from many
HONEST_ADDRESS = "127.0.0.1"
SAMPLE_S = 0.05
VISIT_S = 0.02


@dataclass
class Watch:
    """The server's memory and its honest users, for as long as an attack lasts."""

    server: Server
    before_kib: int = 0
    peak_kib: int = 0
    children_kib: int = 0
    threads: int = 0
    visits: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_visit_s: float = 0.0
    slowest_command_s: float = 0.0
    commands: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def pid(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        self.before_kib = self.peak_kib = _status(self.pid, "VmRSS")
        threads = [threading.Thread(target=t, daemon=True) for t in (self._memory, self._visit, self._command)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(60)

    def _memory(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.peak_kib = max(self.peak_kib, _status(self.pid, "VmRSS"))
            self.threads = max(self.threads, _status(self.pid, "Threads"))
            self.children_kib = max(self.children_kib, sum(_status(pid, "VmRSS") for pid in _children(self.pid)))

    def _visit(self) -> None:
        while not self._ended.wait(VISIT_S):
            began = time.monotonic()
            try:
                status = self.server.get(APP).status
                if status != 200:
                    self.failed.append(f"visitor: {status}")
            except OSError as error:
                self.failed.append(f"visitor: {error}")
            self.visits += 1
            self.slowest_visit_s = max(self.slowest_visit_s, time.monotonic() - began)

    def _command(self) -> None:
        while not self._ended.wait(0.5):
            began = time.monotonic()
            try:
                done = self.server.ssh("apps:list", timeout_s=30)
                if done.returncode:
                    self.failed.append(f"apps:list: {done.stderr.strip()[:80]}")
            except subprocess.TimeoutExpired:
                self.failed.append("apps:list: nothing for 30 s")
            self.commands += 1
            self.slowest_command_s = max(self.slowest_command_s, time.monotonic() - began)


def _status(pid: int, key: str) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1])
    return 0


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found + [child for one in found for child in _children(one)]


# -- attacks: each returns in words what the attacker got


def _still_open(sockets: list[socket.socket]) -> int:
    """How many the server has not closed; all are closed afterwards."""
    alive = 0
    for sock in sockets:
        sock.setblocking(False)
        try:
            while sock.recv(4096):
                pass
        except BlockingIOError:
            alive += 1
        except OSError:
            pass
    for sock in sockets:
        sock.close()
    return alive


def silent(port: int) -> str:
    """Connections that say nothing, from many addresses."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    held, refused = [], 0
    for number in range(SOCKETS):
        sock = socket.socket()
        sock.settimeout(5)
        try:
            sock.bind((ADDRESSES[number % len(ADDRESSES)], 0))
            sock.connect(("127.0.0.1", port))
            held.append(sock)
        except OSError:
            refused += 1
            sock.close()
    time.sleep(5)
    alive = _still_open(held)
    return f"{len(held)} connected, {refused} refused, {alive} held after 5 s"


def bad_logins(server: Server, key: paramiko.PKey) -> str:
    """A stranger's key, again and again."""

    def attempt(number: int) -> str:
        sock = socket.socket()
        sock.settimeout(20)
        try:
            sock.bind((ADDRESSES[number % GUESSERS], 0))
            sock.connect(("127.0.0.1", server.ssh_port))
            transport = paramiko.Transport(sock)
        except (OSError, paramiko.SSHException):
            return "cut"
        try:
            transport.start_client(timeout=20)
            transport.auth_publickey("deploy", key)
        except paramiko.AuthenticationException:
            return "denied"
        except (OSError, EOFError, paramiko.SSHException):
            return "cut"
        finally:
            transport.close()
        return "IN"

    with ThreadPoolExecutor(LOGINS_AT_ONCE) as pool:
        results = list(pool.map(attempt, range(BAD_LOGINS)))
    return ", ".join(f"{results.count(what)} {what}" for what in sorted(set(results)))


def large_packet(server: Server) -> str:
    """The first packet says that it has 256 MiB, and they are sent."""
    with socket.create_connection(("127.0.0.1", server.ssh_port), timeout=20) as sock:
        sock.sendall(b"SSH-2.0-x\r\n" + struct.pack(">IB", PACKET_BYTES, 4))
        sent, piece = 0, b"\0" * (1 << 20)
        try:
            while sent < PACKET_BYTES:
                sock.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
    return f"cut after {sent >> 20} MiB of {PACKET_BYTES >> 20}"


def slow_heads(server: Server) -> str:
    """Requests to the status page whose head never ends, and one of 64 MiB."""
    held = []
    for number in range(SOCKETS):
        sock = socket.socket()
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            sock.bind((ADDRESSES[number % len(ADDRESSES)], 0))
            sock.connect(("127.0.0.1", server.web_port))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            held.append(sock)
    sent = 0
    with socket.create_connection(("127.0.0.1", server.web_port), timeout=20) as large, contextlib.suppress(OSError):
        large.sendall(b"GET / HTTP/1.1\r\n")
        while sent < 64 << 20:
            large.sendall(b"X-Filling: " + b"a" * 65_000 + b"\r\n")
            sent += 65_000
    alive = _still_open(held)
    return f"{alive} of {len(held)} heads held, one of {64} MiB cut after {sent >> 10} KiB"


def push(server: Server, make: Callable[[Path], Path]) -> str:
    """A push of a repository that is a bomb; the reason it is refused with."""
    directory = Path(tempfile.mkdtemp(prefix="gs-bomb-"))
    try:
        repository = make(directory / "repository")
        size = sum(p.stat().st_size for p in repository.rglob("*") if p.is_file())
        done = server.push(repository, f"bomb-{make.__name__.replace('_', '-')}", "--no-progress", timeout_s=900)
        lines = [
            line.removeprefix("remote:").strip() for line in done.stderr.splitlines() if line.startswith("remote:")
        ]
        told = next((line for line in lines if line.startswith(("!", "error", "unpack"))), "")
        told = told or next(
            (line for line in done.stderr.splitlines() if "rejected" in line), lines[-1] if lines else ""
        )
        return f"{size >> 10} KiB on disk; exit {done.returncode}: {told.strip()[:110]}"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def attacks(server: Server, stranger: paramiko.PKey) -> dict[str, Callable[[], str]]:
    return {
        f"{SOCKETS} silent sockets, ssh": lambda: silent(server.ssh_port),
        f"{BAD_LOGINS} bad logins": lambda: bad_logins(server, stranger),
        f"{PACKET_BYTES >> 20} MiB packet before login": lambda: large_packet(server),
        f"{SOCKETS} silent sockets, status page": lambda: silent(server.web_port),
        f"{SOCKETS} endless heads, status page": lambda: slow_heads(server),
        "pack bomb: 2 GiB of zeros": lambda: push(server, bombs.zeros),
        "tree bomb: 10^10 files": lambda: push(server, bombs.trees),
        "1,000,000 files": lambda: push(server, bombs.many_files),
        "200 MiB blob, random": lambda: push(server, bombs.large_blob),
        "forking Dockerfile": lambda: push(server, bombs.forks),
    }


def main() -> None:
    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)  # the attacker's own
    base = Path(tempfile.mkdtemp(prefix="gs-"))
    base.chmod(0o711)
    rows = []
    try:
        with dockerd.engine() as host, running(base / "server", host, lambda: False) as server:
            server.push_ok(apps.busybox(base / APP), APP)
            stranger = paramiko.Ed25519Key.from_private_key_file(str(make_key(base / "stranger")))
            for title, attack in attacks(server, stranger).items():
                if sys.argv[1:] and not any(word in title for word in sys.argv[1:]):
                    continue
                watch, began = Watch(server), time.monotonic()
                with watch.on():
                    got = attack()
                took = time.monotonic() - began
                print(f"{title}: {got}" + "".join(f"\n   {text}" for text in watch.failed[:5]), flush=True)
                rows.append([
                    title, f"{took:.1f} s", f"{watch.before_kib >> 10} -> {watch.peak_kib >> 10}",
                    f"{watch.children_kib >> 10}", f"{watch.threads}",
                    f"{watch.visits} ({watch.slowest_visit_s:.2f} s)",
                    f"{watch.commands} ({watch.slowest_command_s:.2f} s)", f"{len(watch.failed)}", got,
                ])  # fmt: skip
        header = [
            "attack", "took", "MiB, peak", "children MiB", "threads", "visits (slowest)", "commands (slowest)",
            "of these failed", "what came of it",
        ]  # fmt: skip
        show("Hostile input", header, rows)
    finally:
        if not any(str(base) in line for line in Path("/proc/mounts").read_text().splitlines()):
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
