"""What a stream of a backup passes on its way to a target: counted, hashed, and ended when it stalls.

Every stage pulls from the one before it, so a slow target slows the dump and nothing piles up in memory.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from typing import TypeVar

from gitship.containers.attach_client import ClientLeft
from gitship.errors import GitshipError

CHUNK_BYTES = 256 << 10
ALSO_S = 1.0
Result = TypeVar("Result")
Chunk = TypeVar("Chunk")


class Meter:
    """Counts and hashes what passes through ``metered``. May be read from other threads while it does."""

    def __init__(self) -> None:
        self.bytes = 0
        self._digest = hashlib.sha256()
        self._began: float | None = None
        self._last = 0.0

    @property
    def sha256(self) -> str:
        """In hex, of what has passed so far."""
        return self._digest.hexdigest()

    @property
    def rate(self) -> float:
        """Bytes a second, from the first chunk asked for to the last that came; 0 before that."""
        if self._began is None or self._last <= self._began:
            return 0.0
        return self.bytes / (self._last - self._began)

    def metered(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        self._began = time.monotonic()
        for chunk in chunks:
            self._digest.update(chunk)
            self.bytes += len(chunk)
            self._last = time.monotonic()
            yield chunk


def until_gone(chunks: Iterable[bytes], gone: threading.Event) -> Iterator[bytes]:
    """Raises ClientLeft before the next chunk when ``gone`` is set."""
    for chunk in chunks:
        if gone.is_set():
            raise ClientLeft
        yield chunk
    if gone.is_set():  # a source that just stops when it is set has not given all
        raise ClientLeft


def rechunked(chunks: Iterable[bytes], size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Joins small chunks: each is at least ``size`` bytes but the last. Large ones pass as they are."""
    gathered: list[bytes] = []
    count = 0
    for chunk in chunks:
        gathered.append(chunk)
        count += len(chunk)
        if count >= size:
            yield b"".join(gathered) if len(gathered) > 1 else gathered[0]
            gathered.clear()
            count = 0
    if count:
        yield b"".join(gathered)


def handed_over(chunks: Iterable[bytes], consume: Callable[[Iterator[bytes]], Result], name: str) -> Result:
    """What ``consume`` returns or raises, run in a thread called ``name``, of the ``chunks`` that this thread reads.

    What ``chunks`` raises comes out once ``consume`` has ended, whose iterator raises Interrupted then. One chunk is
    read ahead.
    """
    queue: Queue[bytes | None] = Queue(maxsize=1)
    interrupted, ended = threading.Event(), threading.Event()
    results: list[Result] = []
    failed: list[BaseException] = []

    def taken() -> Iterator[bytes]:
        while (chunk := queue.get()) is not None:
            yield chunk
        if interrupted.is_set():
            raise Interrupted

    def work() -> None:
        try:
            results.append(consume(taken()))
        except BaseException as error:  # Rust's panics are no Exception
            failed.append(error)
        finally:
            ended.set()
            with suppress(Empty):  # makes room for whom waits to give more
                queue.get_nowait()

    def give(chunk: bytes | None) -> bool:
        """False when nobody wants it any more. Only this thread fills the queue, and so it never waits in vain."""
        if not ended.is_set():
            queue.put(chunk)
        return not ended.is_set()

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        all(give(chunk) for chunk in rechunked(chunks))
    except BaseException:
        interrupted.set()
        raise
    finally:
        give(None)
        thread.join()
    if failed:
        raise failed[0]
    return results[0]


def awaited(chunks: Iterable[bytes], limit_s: float, name: str) -> Iterator[bytes]:
    """The same chunks, for a source that cannot be told to end. Raises GitshipError when one takes longer to come.

    They are read in a thread called ``name``, one ahead, which outlives this while the source gives nothing.
    """
    queue: Queue[bytes | BaseException | None] = Queue(maxsize=1)
    over = threading.Event()

    def read() -> None:
        try:
            for chunk in chunks:
                queue.put(chunk)
                if over.is_set():
                    return
            queue.put(None)
        except BaseException as error:  # it comes out where the chunks do
            queue.put(error)

    threading.Thread(target=read, name=name, daemon=True).start()
    try:
        while (found := queue.get(timeout=limit_s)) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
    except Empty:
        raise GitshipError(f"no data came for {limit_s:g} seconds", "nothing was changed; try again") from None
    finally:
        over.set()
        with suppress(Empty):  # makes room for what is being read
            queue.get_nowait()


class Interrupted(Exception):
    """The source of a stream has failed."""


def stalled(
    chunks: Iterable[Chunk], limit_s: float, gone: threading.Event, what: str = "the dump",
    also: threading.Event | None = None,
) -> Iterator[Chunk]:  # fmt: skip
    """Sets ``gone`` when a chunk is waited for longer than ``limit_s``, and raises GitshipError then.

    Only waits for ``chunks`` count, not those for the consumer. ``chunks`` has to end when ``gone`` is set, which it is
    within a second of ``also``, too.
    """
    watch = _Watch(limit_s, gone, also)
    threading.Thread(target=watch.run, name="backup-stall", daemon=True).start()
    source = iter(chunks)
    try:
        while True:
            with watch:
                chunk = next(source, None)
            if chunk is None or watch.tripped:
                break
            yield chunk
    except Exception:
        if not watch.tripped:
            raise
    finally:
        watch.ended.set()
    if watch.tripped:
        raise GitshipError(f"{what} gave no data for {limit_s:g} seconds", "look at the logs of what it reads from")


class _Watch:
    """A context is one wait; ``run`` looks at it again when it may have lasted too long."""

    def __init__(self, limit_s: float, gone: threading.Event, also: threading.Event | None) -> None:
        self.ended = threading.Event()
        self.tripped = False
        self._limit_s = limit_s
        self._gone = gone
        self._also = also
        self._since: float | None = None

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def run(self) -> None:
        left = self._limit_s
        while not self.ended.wait(left if self._also is None else min(left, ALSO_S)):
            if self._also is not None and self._also.is_set():
                self._gone.set()
                return
            since = self._since
            left = self._limit_s if since is None else since + self._limit_s - time.monotonic()
            if left <= 0:
                self.tripped = True
                self._gone.set()
                return
