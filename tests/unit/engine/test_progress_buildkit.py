"""What BuildKit of Docker 20.10 really sent (recorded), turned into events."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.engine.progress_buildkit import BuildKitTrace, wire_fields
from gitship.engine.types import BuildOutput, BuildStep
from gitship.errors import EngineError

RECORDED = Path(__file__).parent / "recorded"


def replay(name: str) -> tuple[BuildKitTrace, list[BuildStep | BuildOutput]]:
    trace = BuildKitTrace()
    lines = (RECORDED / f"buildkit-{name}.jsonl").read_text().splitlines()
    return trace, [event for line in lines if line.strip() for event in trace.feed(json.loads(line))]


def steps(events: list[BuildStep | BuildOutput]) -> list[BuildStep]:
    return [e for e in events if isinstance(e, BuildStep)]


def internal(step: BuildStep) -> bool:
    """True for what the builder does of its own accord: no line of the Dockerfile."""
    return not step.name.startswith("[") or step.name.startswith("[internal]")


def output(events: list[BuildStep | BuildOutput]) -> list[str]:
    return [e.text for e in events if isinstance(e, BuildOutput)]


def test_every_step_starts_once_and_ends_once_in_order() -> None:
    trace, events = replay("ok")
    own = [s for s in steps(events) if not internal(s)]
    assert [s.name.split("]")[0] for s in own if s.seconds is None] == [
        "[base 1/3", "[base 2/3", "[base 3/3", "[stage-1 1/2", "[stage-1 2/2",
    ]  # fmt: skip
    assert [s.name for s in own if s.seconds is None] == [s.name for s in own if s.seconds is not None]
    numbers = [s.number for s in steps(events) if s.seconds is not None]  # BuildKit ended its first step twice here
    assert len(numbers) == len(set(numbers))
    assert trace.image_id.startswith("sha256:")
    assert trace.error == ""


def test_numbers_follow_each_other_and_output_carries_its_steps_number() -> None:
    _, events = replay("ok")
    started = [s.number for s in steps(events) if s.seconds is None]
    assert started == list(range(1, len(started) + 1))
    run = next(s for s in steps(events) if s.name.startswith("[base 3/3] RUN"))
    assert {e.number for e in events if isinstance(e, BuildOutput)} == {run.number}


def test_lines_are_whole_though_they_came_in_pieces() -> None:
    assert output(replay("ok")[1]) == ["hello", "err", "partial"]


def test_seconds_are_the_builders_own() -> None:
    run = next(s for s in steps(replay("ok")[1]) if "3/3] RUN" in s.name and s.seconds is not None)
    assert run.seconds == pytest.approx(0.824, abs=0.001)


def test_the_builders_own_steps_are_told_from_the_dockerfiles() -> None:
    names = {s.name for s in steps(replay("ok")[1]) if internal(s)}
    assert names == {"[internal] load remote build context", "copy /context /", "exporting to image"}


def test_cached_steps_say_so() -> None:
    ended = [s for s in steps(replay("cached")[1]) if s.seconds is not None and not internal(s)]
    assert len(ended) == 5
    assert all(s.cached for s in ended)


def test_a_failed_step_has_its_error_and_its_last_lines() -> None:
    trace, events = replay("failed-run")
    assert trace.failed_step() == ("[3/3] RUN echo one && echo two && exit 3", ("one", "two"))
    assert steps(events)[-1].error.endswith("exit code: 3")
    assert trace.error.endswith("exit code: 3")


def test_a_step_that_was_stopped_because_another_failed_is_not_the_culprit() -> None:
    trace, _ = replay("failed-beside-another")
    assert trace.failed_step() == ("[b 1/1] RUN echo bad; busybox sleep 0.5; exit 7", ("bad",))


def test_an_error_of_no_step_names_none() -> None:
    trace, _ = replay("syntax")
    assert "line 4: unknown instruction: FOO" in trace.error
    assert trace.failed_step() == ("", ())


def test_a_progress_bar_leaves_what_a_terminal_would_show_and_a_last_line_without_end_is_kept() -> None:
    assert output(replay("progress-bar")[1]) == ["30%", "héllo", "no newline"]


def test_the_running_step_is_known_while_it_runs() -> None:
    trace = BuildKitTrace()
    for line in (RECORDED / "buildkit-ok.jsonl").read_text().splitlines():
        texts = output(list(trace.feed(json.loads(line))))
        if "err" in texts:
            break
    name, last = trace.running_step()
    assert name.startswith("[base 3/3] RUN")
    assert last == ("hello", "err")


def test_a_noisy_step_keeps_only_its_last_lines() -> None:
    trace = BuildKitTrace()
    digest = field(1, b"sha256:1")
    list(trace.feed(message(field(1, digest + field(3, b"[1/1] RUN yes") + field(5, b"\x08\x01")))))
    for number in range(1000):
        list(trace.feed(message(field(3, digest + field(4, b"line %d\n" % number)))))
    list(
        trace.feed(
            message(field(1, digest + field(5, b"\x08\x01") + field(6, b"\x08\x03") + field(7, b"exit code: 1")))
        )
    )
    name, last = trace.failed_step()
    assert name == "[1/1] RUN yes"
    assert last == tuple(f"line {n}" for n in range(980, 1000))


def field(number: int, value: bytes) -> bytes:
    """A length-delimited protobuf field; for values under 128 bytes."""
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def message(status: bytes) -> dict[str, str]:
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(status).decode()}


@given(st.binary(max_size=60))
def test_garbage_is_an_engine_error_or_fields_never_anything_else(data: bytes) -> None:
    try:
        fields = wire_fields(data)
    except EngineError:
        return
    assert all(isinstance(v, int | bytes) for values in fields.values() for v in values)
