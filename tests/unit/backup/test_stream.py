"""What a stream passes on its way to a target."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.backup.stream import Meter, rechunked, stalled, until_gone
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


def test_a_slow_consumer_is_not_a_stall() -> None:
    """The watch looks at each wait for the source: here none lasts."""
    gone = threading.Event()
    passed = stalled([b"a", b"b"], 0.05, gone)
    next(passed)
    assert not gone.wait(0.2)
    assert list(passed) == [b"b"]


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
