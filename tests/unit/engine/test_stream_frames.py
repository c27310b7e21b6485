"""Bytes to records, however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.engine.progress_buildkit import BuildKitTrace
from gitship.engine.progress_classic import ClassicTrace
from gitship.engine.pull import PullProgress
from gitship.engine.stream_frames import MAX_LINE_BYTES, Lines, error_of, frames, messages, shown
from gitship.errors import EngineError


def frame(stream: int, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)] + [b""]


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=6),
    st.lists(st.integers(0), max_size=9),
)
def test_frames_come_whole_wherever_the_stream_is_cut(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(frame(stream, payload) for stream, payload in sent)
    got = list(frames(iter(pieces(data, cuts)).__next__))
    assert got == [({1: "stdout", 2: "stderr"}[stream], payload) for stream, payload in sent]


def test_a_frame_that_was_cut_off_is_dropped() -> None:
    data = frame(1, b"whole") + frame(2, b"broken")[:-1]
    assert list(frames(iter([data, b""]).__next__)) == [("stdout", b"whole")]


@given(st.text(alphabet="ab\né", max_size=60), st.lists(st.integers(0), max_size=9))
def test_lines_come_whole_wherever_they_are_cut(text: str, cuts: list[int]) -> None:
    lines = Lines()
    got = [line for piece in pieces(text.encode(), cuts) for line in lines.feed(piece)] + lines.end()
    expected = text.split("\n")
    assert got == (expected if expected[-1] else expected[:-1])


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    lines = Lines()
    got = [line for _ in range(100) for line in lines.feed(b"x" * 10_000)]
    assert {len(line) for line in got} == {MAX_LINE_BYTES}
    assert sum(map(len, got)) + sum(map(len, lines.end())) == 1_000_000


def test_a_carriage_return_at_the_end_is_no_text() -> None:
    assert Lines().feed(b"a\r\nb\n") == ["a", "b"]


def test_only_what_a_terminal_would_show_of_a_progress_bar() -> None:
    assert shown("10%\r50%\r100%") == "100%"


def test_messages_come_one_a_line_and_the_last_may_lack_its_end() -> None:
    stream = iter([b'{"a"', b':1}\r\n{"b":2}\n\n{"c"', b":3}", b""])
    assert list(messages(stream.__next__)) == [{"a": 1}, {"b": 2}, {"c": 3}]


@pytest.mark.parametrize("data", [b"<html>\n", b"[1]\n", b'"x"'])
def test_what_is_no_message_is_an_engine_error(data: bytes) -> None:
    with pytest.raises(EngineError):
        list(messages(iter([data, b""]).__next__))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"errorDetail": {"code": 1, "message": "why"}, "error": "short"}, "why"),
        ({"errorDetail": {"message": "why"}}, "why"),
        ({"error": "short"}, "short"),
        ({"errorDetail": {}, "error": ""}, "unknown error"),
        ({"stream": "error"}, ""),
    ],
)
def test_an_error_is_read_where_newer_engines_have_it(message: dict[str, object], error: str) -> None:
    assert error_of(message) == error


@pytest.mark.parametrize("reader", [BuildKitTrace, ClassicTrace, PullProgress])
def test_builds_and_pulls_fail_by_the_error_that_newer_engines_give(
    reader: type[BuildKitTrace | ClassicTrace | PullProgress],
) -> None:
    reading = reader()
    assert list(reading.feed({"errorDetail": {"code": 1, "message": "exit code: 1"}})) == []
    assert reading.error == "exit code: 1"
