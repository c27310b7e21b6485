"""What the classic builder of Docker 20.10 really sent (recorded), turned into events."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from gitship.engine.progress_classic import ClassicTrace
from gitship.engine.types import BuildOutput, BuildStep

RECORDED = Path(__file__).parent / "recorded"


def replay(name: str) -> tuple[ClassicTrace, list[BuildStep | BuildOutput]]:
    ticks = itertools.count()
    trace = ClassicTrace(clock=lambda: float(next(ticks)))
    lines = (RECORDED / f"classic-{name}.jsonl").read_text().splitlines()
    return trace, [event for line in lines if line.strip() for event in trace.feed(json.loads(line))]


def test_steps_start_and_end_and_only_the_programs_lines_are_output() -> None:
    trace, events = replay("ok")
    steps = [e for e in events if isinstance(e, BuildStep)]
    assert [s.number for s in steps if s.seconds is None] == list(range(1, 9))
    assert [s.number for s in steps if s.seconds is not None] == list(range(1, 9))
    assert steps[0].name == "[1/8] FROM scratch AS base"
    output = [(e.number, e.text) for e in events if isinstance(e, BuildOutput)]
    assert [text.split()[0] for _, text in output] == ["hello", "err", "partial"]
    assert {number for number, _ in output} == {4}
    assert trace.image_id.startswith("sha256:774d45e3d309")


def test_a_step_from_the_cache_says_so() -> None:
    _, events = replay("failed-run")
    ended = {e.number: e for e in events if isinstance(e, BuildStep) and e.seconds is not None}
    assert [ended[n].cached for n in (1, 2, 3, 4)] == [False, True, True, False]


def test_a_failed_step_has_its_error_and_its_last_lines() -> None:
    trace, events = replay("failed-run")
    assert trace.failed_step() == ("[4/5] RUN echo one && echo two && exit 3", ("one", "two"))
    last = events[-1]
    assert isinstance(last, BuildStep)
    assert last.error.endswith("returned a non-zero code: 3")


def test_a_missing_file_names_the_copy() -> None:
    trace, _ = replay("missing-file")
    assert trace.failed_step()[0] == "[4/5] COPY nope /x"
    assert "stat nope" in trace.error
