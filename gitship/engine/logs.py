"""Container logs: one container's lines with their times, and those of several containers interleaved."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from gitship.engine.base import LogLine
from gitship.engine.containers import epoch
from gitship.engine.frames import Lines, frames
from gitship.engine.wire import POLL_S, Interrupted, Patience, Wire
from gitship.errors import EngineError, GitshipError, NotFound

REORDER_S = 0.2  # how long a followed line may wait for an earlier one of another container
QUEUE_LINES = 1000


def read(
    wire: Wire,
    api: str,
    container_id: str,
    name: str,
    *,
    tail: int | None,
    since: float | None,
    follow: bool,
    stop: threading.Event | None,
) -> Iterator[LogLine]:
    """The lines of a container, oldest first; with ``follow`` until it ends or ``stop`` is set."""
    query = {"stdout": "1", "stderr": "1", "timestamps": "1", "tail": "all" if tail is None else str(tail)}
    if since is not None:
        query["since"] = f"{since:.9f}"
    if follow:
        query["follow"] = "1"
    try:
        with wire.open(
            "GET", f"{api}/containers/{container_id}/logs", query=query, patience=Patience(cancel=stop)
        ) as stream:
            if stream.status == 404:
                raise NotFound(f"no container {name}", "it was removed meanwhile")
            if stream.status != 200:
                raise EngineError(
                    f"Docker could not read the log of {name}: {stream.read_all(500).decode('utf-8', 'replace')}",
                    "see `journalctl -u docker` on the server",
                )
            yield from lines(stream.read, name)
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


def merge(sources: Sequence[Iterable[LogLine]]) -> Iterator[LogLine]:
    """The lines of several logs that end by themselves, by time; each source is read only as far as needed."""
    return heapq.merge(*sources, key=lambda line: line.at)


Source = Callable[[threading.Event], Iterator[LogLine]]


def follow(sources: Sequence[Source], stop: threading.Event) -> Iterator[LogLine]:
    """The lines of several live logs, by time as far as they come within REORDER_S of each other.

    Each source is called with an event that ends it. Ends when all of them have ended or ``stop`` is set; closing the
    iterator ends them too. A source that fails ends the whole with its error.
    """
    ended = threading.Event()
    arrived: queue.Queue[LogLine | GitshipError | None] = queue.Queue(QUEUE_LINES)
    readers = [
        threading.Thread(target=_pump, args=(source, arrived, ended), name=f"logs-{number}", daemon=True)
        for number, source in enumerate(sources)
    ]
    for reader in readers:
        reader.start()
    try:
        yield from _ordered(arrived, len(readers), stop)
    finally:
        ended.set()
        for reader in readers:
            reader.join(timeout=5)


def _pump(source: Source, arrived: queue.Queue[LogLine | GitshipError | None], ended: threading.Event) -> None:
    last: GitshipError | None = None
    try:
        for line in source(ended):
            if not _put(arrived, line, ended):
                return
    except GitshipError as error:
        last = error
    _put(arrived, last, ended)


def _put(
    arrived: queue.Queue[LogLine | GitshipError | None], item: LogLine | GitshipError | None, ended: threading.Event
) -> bool:
    while not ended.is_set():
        try:
            arrived.put(item, timeout=POLL_S)
            return True
        except queue.Full:
            continue
    return False


def _ordered(
    arrived: queue.Queue[LogLine | GitshipError | None], open_sources: int, stop: threading.Event
) -> Iterator[LogLine]:
    waiting: list[tuple[float, int, float, LogLine]] = []  # (at, order of arrival, due, line)
    count = 0
    while (open_sources or waiting) and not stop.is_set():
        now = time.monotonic()
        while waiting and (waiting[0][2] <= now or not open_sources or len(waiting) >= QUEUE_LINES):
            yield heapq.heappop(waiting)[3]
        if not open_sources:
            continue
        try:
            item = arrived.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if isinstance(item, GitshipError):
            raise item
        if item is None:
            open_sources -= 1
        else:
            count += 1
            heapq.heappush(waiting, (item.at, count, time.monotonic() + REORDER_S, item))
