"""Log files by line number."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.web import deploy_log_file
from gitship.web.deploy_log_file import LogFile, Position, clean


def read_all(file: LogFile, at: Position, whole: bool = False) -> list[str]:
    found: list[str] = []
    while (piece := file.read(at, whole))[0]:
        found += piece[0]
        at = piece[1]
    return found


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "none.log")
    assert file.read(Position()) == ([], Position())
    assert file.position(5) == Position()
    assert file.tail(5) == (Position(), [], Position())
    assert file.block(0) == b""


def test_a_line_that_is_still_being_written_waits(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log")
    file.path.write_bytes(b"one\ntw")
    lines, at = file.read(Position())
    assert lines == ["one"]
    assert file.read(at) == ([], at)
    file.path.write_bytes(b"one\ntwo\n")
    assert file.read(at)[0] == ["two"]


def test_once_writing_is_over_the_last_line_needs_no_end(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log")
    file.path.write_bytes(b"one\ntwo")
    assert file.tail(1, whole=False)[1] == ["one"]
    assert file.tail(5, whole=True)[1] == ["one", "two"]


@given(
    lines=st.lists(st.text(alphabet="ab é", max_size=9), max_size=60),
    count=st.integers(0, 70),
    scan=st.integers(1, 40),
)
def test_every_position_leads_to_exactly_the_lines_after_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int, scan: int
) -> None:
    file = LogFile(tmp_path_factory.getbasetemp() / "property.log")
    file.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy_log_file, "SCAN_BYTES", scan)
        patch.setattr(deploy_log_file, "CHUNK_BYTES", scan)
        at = file.position(count)
        assert at.line == min(count, len(lines))
        assert read_all(file, at) == lines[count:]
        begin, last, end = file.tail(count)
        assert last == lines[max(0, len(lines) - count) :]
        assert (begin.line, end.line) == (len(lines) - len(last), len(lines))


def test_a_line_ends_at_its_end_and_a_redrawn_one_shows_its_last_state() -> None:
    assert clean(b"plain \xc3\xa9\r\n") == "plain é"
    assert clean(b"10%\r50%\r100%\n") == "100%"
    assert clean(b"a\xff\tb\n") == "a\ufffd\tb"


def test_a_huge_line_is_cut_and_counts_as_one(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log")
    file.path.write_bytes(b"x" * 3_000_000 + b"\nnext\n")
    first, second = read_all(file, Position())
    assert len(first) == deploy_log_file.LINE_CHARS + 2
    assert second == "next"
    assert file.position(1) == Position(1, 3_000_001)
