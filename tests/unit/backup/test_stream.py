"""What a stream passes on its way to a target."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.backup.stream import CHUNK_BYTES, Interrupted, Meter, awaited, handed_over, rechunked, stalled, until_gone
from gitship.containers.attach_client import ClientLeft
from gitship.errors import GitshipError


def test_is_counted_and_hashed_as_it_passes() -> None:
    meter = Meter()
    passed = meter.metered([b"abc", b"de"])
    assert next(passed) == b"abc"
    assert (meter.bytes, meter.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
    assert list(passed) == [b"de"]
    assert (meter.bytes, meter.sha256) == (5, hashlib.sha256(b"abcde").hexdigest())
    assert meter.rate > 0


def test_nothing_passed_has_no_rate() -> None:
    assert Meter().rate == 0


@given(st.lists(st.binary(max_size=40)), st.integers(1, 50))
def test_small_chunks_are_joined(chunks: list[bytes], size: int) -> None:
    joined = list(rechunked(chunks, size))
    assert b"".join(joined) == b"".join(chunks)
    assert all(len(chunk) >= size for chunk in joined[:-1])
    assert all(joined)


def test_ends_when_nobody_wants_it() -> None:
    gone = threading.Event()
    passed = until_gone([b"a", b"b"], gone)
    assert next(passed) == b"a"
    gone.set()
    with pytest.raises(ClientLeft):
        next(passed)


@pytest.mark.parametrize("count", [0, 1, 30])
def test_is_handed_over_to_another_thread(count: int) -> None:
    read_by: set[str] = set()

    def chunks() -> Iterator[bytes]:
        for number in range(count):
            read_by.add(threading.current_thread().name)
            yield bytes([number]) * CHUNK_BYTES

    def consume(handed: Iterator[bytes]) -> tuple[str, list[bytes]]:
        return threading.current_thread().name, list(handed)

    name, came = handed_over(chunks(), consume, "backup-test")
    assert (name, came) == ("backup-test", [bytes([number]) * CHUNK_BYTES for number in range(count)])
    assert read_by <= {threading.current_thread().name}


@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_the_consumer_raises_comes_out_and_ends_the_reading(after: int) -> None:
    """However much more there would be to read, and even while the reader waits for room."""
    error = BaseException("as a panic of Rust")
    full = threading.Event()

    def endless() -> Iterator[bytes]:
        for number in itertools.count(1):
            if number == after + 2:  # one waits already
                full.set()
            yield bytes(CHUNK_BYTES)

    def consume(handed: Iterator[bytes]) -> None:
        for _ in range(after):
            next(handed)
        assert full.wait(30)
        raise error

    with pytest.raises(BaseException) as raised:
        handed_over(endless(), consume, "backup-test")
    assert raised.value is error


@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_the_source_raises_comes_out_when_the_consumer_has_ended(after: int) -> None:
    error = OSError(5, "of the dump")
    seen: list[type[BaseException]] = []

    def failing() -> Iterator[bytes]:
        for _ in range(after):
            yield bytes(CHUNK_BYTES)
        raise error

    def consume(handed: Iterator[bytes]) -> None:
        try:
            for _ in handed:
                pass
        except BaseException as interrupted:
            seen.append(type(interrupted))
            raise ValueError("its own, from cleaning up") from None

    with pytest.raises(OSError) as raised:
        handed_over(failing(), consume, "backup-test")
    assert raised.value is error
    assert seen == [Interrupted]


def test_a_slow_consumer_slows_the_source() -> None:
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield bytes(CHUNK_BYTES)

    def consume(handed: Iterator[bytes]) -> int:
        return max(read - number for number, _ in enumerate(handed))

    assert handed_over(chunks(), consume, "backup-test") <= 4  # taken, waiting, being given, being read


def test_a_source_that_hangs_is_ended_and_named() -> None:
    gone = threading.Event()

    def hanging() -> Iterator[bytes]:
        yield b"a"
        gone.wait(60)
        raise OSError("the source's own error, for having been ended")

    passed = stalled(hanging(), 0.05, gone, "the dump of db")
    assert next(passed) == b"a"
    with pytest.raises(GitshipError, match=r"the dump of db gave no data for 0\.05 seconds"):
        next(passed)
    assert gone.is_set()


def test_a_hanging_source_that_just_stops_is_not_whole() -> None:
    gone = threading.Event()

    def hanging() -> Iterator[bytes]:
        yield b"a"
        gone.wait(60)

    with pytest.raises(GitshipError, match="gave no data"):
        list(stalled(hanging(), 0.05, gone))


def test_a_source_is_ended_by_another_event_too() -> None:
    gone, also = threading.Event(), threading.Event()

    def hanging() -> Iterator[bytes]:
        yield b"a"
        also.set()
        assert gone.wait(60)
        raise OSError("ended")

    with pytest.raises(OSError, match="ended"):
        list(stalled(hanging(), 60, gone, "the dump", also))


def test_a_slow_consumer_is_not_a_stall() -> None:
    """The watch looks at each wait for the source: here none lasts."""
    gone = threading.Event()
    passed = stalled([b"a", b"b"], 0.05, gone)
    next(passed)
    assert not gone.wait(0.2)
    assert list(passed) == [b"b"]


def test_what_is_awaited_comes_as_it_is_and_so_does_its_error() -> None:
    def failing() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        raise KeyError("x")

    passed = awaited(failing(), 60, "test")
    assert [next(passed), next(passed)] == [b"a", b"b"]
    with pytest.raises(KeyError):
        next(passed)


def test_a_source_that_is_awaited_no_more_ends() -> None:
    ended = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"a"
        finally:
            ended.set()

    passed = awaited(endless(), 60, "test")
    next(passed)
    passed.close()  # type: ignore[attr-defined]
    assert ended.wait(60)


def test_an_error_of_the_source_comes_out() -> None:
    def failing() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("x")

    with pytest.raises(KeyError):
        list(stalled(failing(), 60, threading.Event()))


def test_the_watch_ends_with_the_stream() -> None:
    list(stalled([b"a"], 60, threading.Event()))
    closed = stalled([b"a", b"b"], 60, threading.Event())
    next(closed)
    closed.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread.name == "backup-stall":
            thread.join(10)
            assert not thread.is_alive()
