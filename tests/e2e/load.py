"""Visitors: steady load on one app from a process of its own, every failure counted with its kind.

`python -m tests.e2e.load --port P --host NAME --allow v1,v2 ...` prints "ready" after the first good answers, goes on
until its standard input ends, finishes the requests in flight and prints one line of JSON (`Report`). It prints one, of
what was answered so far, for each line that it reads, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp

SAMPLES = 20  # failures that are kept word for word
REQUEST_S = 60.0
AT_LEAST_S = 180.0  # how long the load may go on to reach its number of requests
SLOW_MS = 5000
SLOW = 2
STREAMS = 2
STREAM_PIECES = 8
PIECE_MS = 500
# A drain waits for the longest, and so does the end of the load: 5 s are for the test that is about them.
SOON_MS, SOON_PIECE_MS = 1000, 120


def tally(counts: dict[str, int], key: str) -> None:
    """One more of ``key`` (a Counter does not survive ``asdict`` in Python 3.11)."""
    counts[key] = counts.get(key, 0) + 1


@dataclass(slots=True)
class Report:
    """``failures`` counts by kind; ``versions`` by the version that answered; ``kinds`` by the kind of request.

    ``slowest`` is of the good ones, in seconds.
    """

    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)

    def fail(self, kind: str, detail: str, at: float) -> None:
        self.failed += 1
        tally(self.failures, kind)
        if len(self.samples) < SAMPLES:
            self.samples.append(f"{at:.2f} s: {kind}: {detail[:200]}")


class WrongAnswer(Exception):
    """Status or body are not what the app sends: ``args`` are the kind and the detail."""


def checksum(body: bytes) -> int:
    """As tiny.c computes it."""
    total = 0
    for byte in body:
        total = (total * 31 + byte) & 0xFFFFFFFF
    return total


BODIES = {body: checksum(body) for body in (b"x", b"form=1&field=two", bytes(range(256)) * 16)}


class Visitors:
    """Workers that ask until ``stop`` is set."""

    def __init__(
        self, port: int, host: str, allowed: Sequence[str], pause_s: float, slow_ms: int, piece_ms: int
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.slow_ms = slow_ms
        self.piece_ms = piece_ms
        self.host = host
        self.allowed = frozenset(allowed)
        self.pause_s = pause_s
        self.stop = asyncio.Event()
        self.report = Report()
        self.began = time.monotonic()

    def session(self, keep_alive: bool = True) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=not keep_alive),
            timeout=aiohttp.ClientTimeout(total=REQUEST_S),
            headers={"Host": self.host},
        )
        session._retry_connection = (
            False  # aiohttp repeats a GET on a closed connection by itself: that would hide a failure
        )
        return session

    def version(self, text: str) -> str:
        if text not in self.allowed:
            raise WrongAnswer("wrong body", repr(text))
        return text

    async def get(self, session: aiohttp.ClientSession, path: str = "/") -> str:
        async with session.get(self.url + path) as answer:
            return self.version(await self.text(answer))

    async def slow(self, session: aiohttp.ClientSession) -> str:
        return await self.get(session, f"/x?ms={self.slow_ms}")

    async def post(self, session: aiohttp.ClientSession) -> str:
        body, total = list(BODIES.items())[self.report.requests % len(BODIES)]
        async with session.post(self.url + "/", data=body) as answer:
            version, *rest = (await self.text(answer)).split()
            if rest != [str(len(body)), str(total)]:
                raise WrongAnswer("wrong body", f"{rest} for {len(body)} bytes")
            return self.version(version)

    async def stream(self, session: aiohttp.ClientSession) -> str:
        async with session.get(f"{self.url}/stream?ms={self.piece_ms}") as answer:
            lines = (await self.text(answer)).splitlines()
            version = self.version(lines[0].split()[0])
            if lines != [f"{version} {n}" for n in range(STREAM_PIECES)]:
                raise WrongAnswer("wrong body", f"stream {lines}")
            return version

    async def text(self, answer: aiohttp.ClientResponse) -> str:
        text = await answer.text()
        if answer.status != 200:
            raise WrongAnswer(f"status {answer.status}", text[:120])
        return text.strip()

    async def worker(
        self, kind: str, ask: Callable[[aiohttp.ClientSession], Awaitable[str]], keep_alive: bool = True
    ) -> None:
        async with self.session(keep_alive) as session:
            while not self.stop.is_set():
                self.report.requests += 1
                tally(self.report.kinds, kind)
                began = time.monotonic()
                try:
                    tally(self.report.versions, await ask(session))
                    self.report.slowest = max(self.report.slowest, time.monotonic() - began)
                except WrongAnswer as error:
                    self.report.fail(f"{kind} {error.args[0]}", error.args[1], time.monotonic() - self.began)
                except (aiohttp.ClientError, TimeoutError, OSError, IndexError, ValueError) as error:
                    self.report.fail(f"{kind} {type(error).__name__}", str(error), time.monotonic() - self.began)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), self.pause_s)

    async def run(self, workers: int, slow: int, streams: int, at_least: int) -> None:
        asks: list[tuple[str, Callable[[aiohttp.ClientSession], Awaitable[str]], bool]] = [
            *[("GET", self.get, True)] * (workers // 2),
            *[("POST", self.post, True)] * (workers - workers // 2),
            ("GET new connection", self.get, False),
            ("POST new connection", self.post, False),
            *[("GET slow", self.slow, True)] * slow,
            *[("GET stream", self.stream, True)] * streams,
        ]
        async with self.session() as session:
            await self.get(session)
            await self.post(session)
        print("ready", flush=True)
        self.began = time.monotonic()
        tasks = [asyncio.create_task(self.worker(*ask)) for ask in asks]
        while await asyncio.to_thread(sys.stdin.readline):
            self.tell()
        deadline = time.monotonic() + AT_LEAST_S
        while self.report.requests < at_least and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        self.stop.set()
        await asyncio.gather(*tasks)
        self.tell()

    def tell(self) -> None:
        self.report.seconds = round(time.monotonic() - self.began, 2)
        print(json.dumps(asdict(self.report)), flush=True)


class Load:
    """A running load."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._report: Report | None = None

    def so_far(self) -> Report:
        """The count at this moment."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Report(**json.loads(self._process.stdout.readline()))

    def end(self) -> Report:
        """Lets the requests in flight finish and returns the count."""
        if self._report is None:
            out, errors = self._process.communicate(timeout=AT_LEAST_S + REQUEST_S + 10)
            assert self._process.returncode == 0, f"the load generator ended with {self._process.returncode}\n{errors}"
            self._report = Report(**json.loads(out.splitlines()[-1]))
        return self._report


@contextmanager
def load(
    port: int, host: str, allowed: Sequence[str], *, workers: int = 12, pause_ms: int = 15, at_least: int = 0,
    slow_ms: int = SOON_MS, piece_ms: int = SOON_PIECE_MS, slow: int = SLOW, streams: int = STREAMS,
) -> Iterator[Load]:  # fmt: skip
    """Visitors of one app while the body runs, and until there were ``at_least`` requests; ``end`` gives the report."""
    command = [
        sys.executable, "-m", "tests.e2e.load", "--port", str(port), "--host", host, "--allow", ",".join(allowed),
        "--workers", str(workers), "--pause-ms", str(pause_ms), "--at-least", str(at_least),
        "--slow-ms", str(slow_ms), "--piece-ms", str(piece_ms), "--slow", str(slow), "--streams", str(streams),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "ready\n", f"the load generator said {line!r}: {process.communicate(timeout=10)[1]}"
        running = Load(process)
        yield running
        running.end()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--allow", required=True, help="versions that may answer, separated by commas")
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--pause-ms", type=int, default=15)
    parser.add_argument("--at-least", type=int, default=0, help="go on until there were so many requests")
    parser.add_argument("--slow-ms", type=int, default=SLOW_MS, help="how long a slow answer takes")
    parser.add_argument("--piece-ms", type=int, default=PIECE_MS, help="between the pieces of a stream")
    parser.add_argument("--slow", type=int, default=SLOW, help="visitors with slow answers")
    parser.add_argument("--streams", type=int, default=STREAMS, help="visitors with answers in pieces")
    given = parser.parse_args()

    async def run() -> None:
        visitors = Visitors(
            given.port, given.host, given.allow.split(","), given.pause_ms / 1000, given.slow_ms, given.piece_ms
        )
        await visitors.run(given.workers, given.slow, given.streams, given.at_least)

    asyncio.run(run())


if __name__ == "__main__":
    main()
