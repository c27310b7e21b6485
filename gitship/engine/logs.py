"""Container logs from Docker: lines with times, of one container or several interleaved."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gitship.engine.container_json import epoch
from gitship.engine.docker_http import DockerHttp
from gitship.engine.stream_frames import Lines, frames
from gitship.engine.timeouts import POLL_S, Timeout, WaitInterrupted
from gitship.engine.types import LogLine
from gitship.errors import EngineError, NotFound

RECORD_BYTES = 16 << 10  # Docker cuts a line into records of just this size
LOOK_S = 0.25  # how soon a new log is noticed
REORDER_S = 0.2  # how long a followed line may wait for an earlier one of another container
QUEUE_LINES = 1000


class ContainerLog(Iterator[LogLine]):
    """The lines of a container, oldest first; with ``follow`` until it ends, ``stop`` is set, or it is closed.

    It connects when it is first read. ``close`` works from any thread, also while another one waits for a line.
    """

    def __init__(
        self,
        wire: DockerHttp,
        api: str,
        container_id: str,
        name: str,
        *,
        tail: int | None,
        since: float | None,
        follow: bool,
        stop: threading.Event | None,
    ) -> None:
        self._wire = wire
        self._path = f"{api}/containers/{container_id}/logs"
        self._name = name
        self._query = {"stdout": "1", "stderr": "1", "timestamps": "1", "tail": "all" if tail is None else str(tail)}
        if since is not None:
            self._query["since"] = f"{since:.9f}"
        if follow:
            self._query["follow"] = "1"
        self._closed = threading.Event()
        self._patience = Timeout(events=(self._closed,) if stop is None else (self._closed, stop))
        self._lines = self._read()

    def __next__(self) -> LogLine:
        return next(self._lines)

    def close(self) -> None:
        """Ends it within POLL_S."""
        self._closed.set()

    def _read(self) -> Iterator[LogLine]:
        try:
            with self._wire.open("GET", self._path, query=self._query, patience=self._patience) as stream:
                if stream.status in (404, 409):  # gone, or being removed
                    raise NotFound(f"no container {self._name}", "it was removed")
                if stream.status != 200:
                    said = stream.read_all(500).decode("utf-8", "replace")
                    raise EngineError(
                        f"Docker could not read the log of {self._name}: {said}", "see `docker info` on the server"
                    )
                yield from lines(stream.read, self._name)
        except WaitInterrupted:
            return


def lines(read: Callable[[], bytes], name: str) -> Iterator[LogLine]:
    """Log lines from the raw stream: a frame is one record, ``<RFC 3339 time> <text>``.

    Docker cuts a line over RECORD_BYTES into records, which are joined again. Only the last should end in a line feed,
    which 20.10 loses: there the end is where a record is shorter.
    """
    open_lines = {"stdout": Lines(), "stderr": Lines()}
    began: dict[str, float] = {}
    for stream, record in frames(read):
        stamp, _, text = record.partition(b" ")
        at = began.setdefault(stream, epoch(stamp.decode("ascii", "replace")) or 0.0)
        for line in open_lines[stream].feed(text):
            yield LogLine(name, at, stream, line)
        if text.endswith(b"\n") or len(text) < RECORD_BYTES:
            for line in open_lines[stream].end():
                yield LogLine(name, at, stream, line)
            del began[stream]
    for stream, at in began.items():
        for line in open_lines[stream].end():
            yield LogLine(name, at, stream, line)


def merge(logs: Sequence[Iterator[LogLine]], *, follow: bool = False) -> Iterator[LogLine]:
    """The lines of several logs by time; with ``follow``, as far as they come within REORDER_S of each other.

    Ends when all of them have ended. Closing it closes them; a log that fails ends the whole with its error.
    """
    if not follow:
        return heapq.merge(*logs, key=lambda line: line.at)
    together = MergedLogs()
    for number, log in enumerate(logs):
        together.add(str(number), log)
    return together.lines()


@dataclass(frozen=True, slots=True)
class _End:
    """A log has ended, perhaps with an error."""

    key: str
    error: Exception | None = None


class MergedLogs:
    """Live logs as one, in the order of their lines' times. Logs may be added while it is read, by the reader only.

    Each log has a thread of its own until it ends or ``lines`` is closed.
    """

    def __init__(self) -> None:
        self.over = threading.Event()  # nobody reads any more: a log that is added may wait for it
        self._arrived: queue.Queue[LogLine | _End] = queue.Queue(QUEUE_LINES)
        self._logs: dict[str, tuple[Iterator[LogLine], threading.Thread]] = {}
        self._waiting: list[tuple[float, int, float, LogLine]] = []  # (at, order of arrival, due, line)
        self._count = 0

    def __contains__(self, key: str) -> bool:
        """True while the log of that key has not ended."""
        return key in self._logs

    def add(self, key: str, log: Iterator[LogLine]) -> None:
        """``key`` must be of no log that has not ended."""
        reader = threading.Thread(target=self._pump, args=(key, log), name=f"logs-{key[:12]}", daemon=True)
        self._logs[key] = (log, reader)
        reader.start()

    def put(self, line: LogLine) -> None:
        """A line of no log, to be put in its place by its time."""
        self._count += 1
        heapq.heappush(self._waiting, (line.at, self._count, time.monotonic() + REORDER_S, line))

    def lines(self, look: Callable[[], bool] | None = None) -> Iterator[LogLine]:
        """Ends when all logs have ended; with ``look``, which is asked every LOOK_S and may add logs, when it says no.

        A log that fails ends the whole with its error.
        """
        try:
            yield from self._ordered(look)
        finally:
            self.over.set()
            readers = list(self._logs.values())
            for log, _ in readers:
                if isinstance(log, ContainerLog):
                    log.close()
            for _, reader in readers:
                reader.join(timeout=5)

    def _ordered(self, look: Callable[[], bool] | None) -> Iterator[LogLine]:
        look_at = 0.0
        while self._logs or self._waiting or look:
            if look and time.monotonic() >= look_at:
                if not look():
                    return
                look_at = time.monotonic() + LOOK_S
            while self._waiting and (self._waiting[0][2] <= time.monotonic() or self._full):
                yield heapq.heappop(self._waiting)[3]
            if self._logs or look:
                self._receive(POLL_S if self._waiting else LOOK_S if look else None)

    @property
    def _full(self) -> bool:
        """Nothing more can come, or too much has: then what is here goes out."""
        return not self._logs or len(self._waiting) >= QUEUE_LINES

    def _receive(self, timeout_s: float | None) -> None:
        try:
            item = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            return
        if isinstance(item, LogLine):
            self.put(item)
            return
        del self._logs[item.key]
        if item.error is not None:
            raise item.error

    def _pump(self, key: str, log: Iterator[LogLine]) -> None:
        error: Exception | None = None
        try:
            for line in log:
                if not self._hand_over(line):
                    return
        except Exception as failed:  # raised again in the thread that reads
            error = failed
        self._hand_over(_End(key, error))

    def _hand_over(self, item: LogLine | _End) -> bool:
        while not self.over.is_set():
            try:
                self._arrived.put(item, timeout=POLL_S)
                return True
            except queue.Full:
                continue
        return False
