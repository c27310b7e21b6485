"""Log records to lines, and several logs to one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from gitship.engine.logs import lines, merge
from gitship.engine.types import LogLine
from gitship.errors import EngineError
from tests.unit.engine.test_stream_frames import frame

STAMP = b"2026-11-23T22:44:01.000000000Z "


def read(*records: bytes) -> list[LogLine]:
    return list(lines(iter([*records, b""]).__next__, "web"))


def test_a_record_is_a_line_with_its_time_and_stream() -> None:
    got = read(frame(1, STAMP + b"one\n"), frame(2, STAMP + b"two\n"))
    assert got == [LogLine("web", 1795473841.0, "stdout", "one"), LogLine("web", 1795473841.0, "stderr", "two")]


def test_each_line_has_its_own_time() -> None:
    later = STAMP.replace(b":01.0", b":02.5")
    assert [line.at for line in read(frame(1, STAMP + b"one\n"), frame(1, later + b"two\n"))] == [
        1795473841.0,
        1795473842.5,
    ]


def test_a_long_line_that_docker_cut_is_joined_without_the_times_in_it() -> None:
    got = read(frame(1, STAMP + b"x" * 16384), frame(2, STAMP + b"between\n"), frame(1, STAMP + b"yz\n"))
    assert [line.text for line in got] == ["between", "x" * 16384 + "yz"]


@pytest.mark.parametrize("rest", [b"yz", b""])
def test_the_line_after_a_long_one_stays_a_line_of_its_own_where_docker_lost_the_line_feed(rest: bytes) -> None:
    """20.10 gives the last record of a cut line without its line feed."""
    got = read(frame(1, STAMP + b"x" * 16384), frame(1, STAMP + rest), frame(1, STAMP + b"next\n"))
    assert [line.text for line in got] == ["x" * 16384 + rest.decode(), "next"]


def test_an_empty_line_and_a_last_line_without_end_are_lines() -> None:
    assert [line.text for line in read(frame(1, STAMP + b"\n"), frame(1, STAMP + b"end"))] == ["", "end"]


def at(container: str, *times: float) -> Iterator[LogLine]:
    return iter([LogLine(container, t, "stdout", str(t)) for t in times])


def test_logs_that_end_are_merged_by_time() -> None:
    assert [line.at for line in merge([at("a", 1, 4, 5), at("b", 2, 3, 6)])] == [1, 2, 3, 4, 5, 6]


def test_live_logs_are_merged_by_time_when_their_lines_come_close_together() -> None:
    assert [line.at for line in merge([at("a", 1, 4, 5), at("b", 2, 3, 6)], follow=True)] == [1, 2, 3, 4, 5, 6]


def test_a_live_line_is_not_held_back_by_a_silent_log() -> None:
    quiet = threading.Event()

    def silent() -> Iterator[LogLine]:
        quiet.wait()
        yield from ()

    live = merge([at("a", 1), silent()], follow=True)
    try:
        assert next(live).at == 1
    finally:
        quiet.set()
    assert list(live) == []


def test_a_live_log_that_fails_ends_the_whole_with_its_error() -> None:
    def failing() -> Iterator[LogLine]:
        yield from at("b", 2)
        raise EngineError("gone", "again")

    with pytest.raises(EngineError, match="gone"):
        list(merge([failing()], follow=True))


def test_closing_a_live_merge_leaves_no_thread() -> None:
    def endless() -> Iterator[LogLine]:
        count = 0.0
        while True:
            count += 1
            yield LogLine("a", count, "stdout", "x")

    live = merge([endless(), endless()], follow=True)
    next(live)
    live.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("logs-")]
