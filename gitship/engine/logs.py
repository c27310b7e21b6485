"""Container logs: one container's lines with their times, and those of several containers interleaved."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from gitship.engine.base import LogLine
from gitship.engine.containers import epoch
from gitship.engine.frames import Lines, frames
from gitship.engine.patience import POLL_S, Interrupted, Patience
from gitship.engine.wire import Wire
from gitship.errors import EngineError, NotFound

REORDER_S = 0.2  # how long a followed line may wait for an earlier one of another container
QUEUE_LINES = 1000


class ContainerLog(Iterator[LogLine]):
    """The lines of a container, oldest first; with ``follow`` until it ends, ``stop`` is set, or it is closed.

    It connects when it is first read. ``close`` works from any thread, also while another one waits for a line.
    """

    def __init__(
        self,
        wire: Wire,
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
        self._patience = Patience(events=(self._closed,) if stop is None else (self._closed, stop))
        self._lines = self._read()

    def __next__(self) -> LogLine:
        return next(self._lines)

    def close(self) -> None:
        """Ends it within POLL_S."""
        self._closed.set()

    def _read(self) -> Iterator[LogLine]:
        try:
            with self._wire.open("GET", self._path, query=self._query, patience=self._patience) as stream:
                if stream.status == 404:
                    raise NotFound(f"no container {self._name}", "it was removed meanwhile")
                if stream.status != 200:
                    said = stream.read_all(500).decode("utf-8", "replace")
                    raise EngineError(
                        f"Docker could not read the log of {self._name}: {said}", "see `docker info` on the server"
                    )
                yield from lines(stream.read, self._name)
        except Interrupted:
            return


def lines(read: Callable[[], bytes], name: str) -> Iterator[LogLine]:
    """Log lines from the raw stream: a frame is one record, ``<RFC 3339 time> <text>``.

    Docker cuts a line over 16 KiB into records of which only the last ends in a line feed; they are joined again.
    """
    open_lines = {"stdout": Lines(), "stderr": Lines()}
    began: dict[str, float] = {}
    for stream, record in frames(read):
        stamp, _, text = record.partition(b" ")
        at = began.setdefault(stream, epoch(stamp.decode("ascii", "replace")) or 0.0)
        for line in open_lines[stream].feed(text):
            yield LogLine(name, at, stream, line)
        if text.endswith(b"\n"):
            del began[stream]
    for stream, at in began.items():
        for line in open_lines[stream].end():
            yield LogLine(name, at, stream, line)


def merge(logs: Sequence[Iterator[LogLine]], *, follow: bool = False) -> Iterator[LogLine]:
    """The lines of several logs by time; with ``follow``, as far as they come within REORDER_S of each other.

    Ends when all of them have ended. Closing it closes them; a log that fails ends the whole with its error.
    """
    return _live(logs) if follow else heapq.merge(*logs, key=lambda line: line.at)


_Item = LogLine | Exception | None  # None: a log has ended


def _live(logs: Sequence[Iterator[LogLine]]) -> Iterator[LogLine]:
    ended = threading.Event()
    arrived: queue.Queue[_Item] = queue.Queue(QUEUE_LINES)
    readers = [
        threading.Thread(target=_pump, args=(log, arrived, ended), name=f"logs-{number}", daemon=True)
        for number, log in enumerate(logs)
    ]
    for reader in readers:
        reader.start()
    try:
        yield from _ordered(arrived, len(readers))
    finally:
        ended.set()
        for log in logs:
            if isinstance(log, ContainerLog):
                log.close()
        for reader in readers:
            reader.join(timeout=5)


def _pump(log: Iterator[LogLine], arrived: queue.Queue[_Item], ended: threading.Event) -> None:
    last: Exception | None = None
    try:
        for line in log:
            if not _put(arrived, line, ended):
                return
    except Exception as error:  # raised again in the thread that reads
        last = error
    _put(arrived, last, ended)


def _put(arrived: queue.Queue[_Item], item: _Item, ended: threading.Event) -> bool:
    while not ended.is_set():
        try:
            arrived.put(item, timeout=POLL_S)
            return True
        except queue.Full:
            continue
    return False


def _ordered(arrived: queue.Queue[_Item], running: int) -> Iterator[LogLine]:
    waiting: list[tuple[float, int, float, LogLine]] = []  # (at, order of arrival, due, line)
    count = 0
    while running or waiting:
        while waiting and (waiting[0][2] <= time.monotonic() or not running or len(waiting) >= QUEUE_LINES):
            yield heapq.heappop(waiting)[3]
        if not running:
            continue
        try:
            item = arrived.get(timeout=POLL_S if waiting else None)
        except queue.Empty:
            continue
        if isinstance(item, Exception):
            raise item
        if item is None:
            running -= 1
        else:
            count += 1
            heapq.heappush(waiting, (item.at, count, time.monotonic() + REORDER_S, item))
