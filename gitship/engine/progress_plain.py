"""Parses `docker build --progress=plain` into build events, line by line. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from gitship.engine.progress_buildkit import CANCELED, LAST_LINES, MAX_LAST_LINE_CHARS
from gitship.engine.stream_frames import shown
from gitship.engine.types import BuildOutput, BuildStep

_LINE = re.compile(r"#(\d+) (.*)")
_OUTPUT = re.compile(r"\d+\.\d+ (.*)")  # seconds since the step began
_DONE = re.compile(r"DONE (\d+\.\d+)s")
_ERROR = "ERROR: "


@dataclass(slots=True)
class _Step:
    number: int
    name: str
    ended: bool = False
    error: str = ""
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))


class PlainTrace:
    """Feed it the lines; it gives the events, and afterwards tells which step failed and why."""

    def __init__(self) -> None:
        self._steps: dict[int, _Step] = {}
        self._tail: deque[str] = deque(maxlen=LAST_LINES)  # of what belongs to no step: the client's own words
        self._last_word = ""

    def feed(self, line: str) -> Iterator[BuildStep | BuildOutput]:
        """The events in one line."""
        match = _LINE.fullmatch(line)
        if match is None:
            if line.strip():
                self._last_word = line.strip()
                self._tail.append(line[:MAX_LAST_LINE_CHARS])
            return
        number, text = int(match[1]), match[2]
        step = self._steps.get(number)
        if step is None:
            self._steps[number] = _Step(number, text)
            yield BuildStep(number, text)
        elif output := _OUTPUT.fullmatch(text):
            step.last.append(shown(output[1])[:MAX_LAST_LINE_CHARS])
            yield BuildOutput(number, shown(output[1]))
        elif done := _DONE.fullmatch(text):
            step.ended = True
            yield BuildStep(number, step.name, seconds=float(done[1]))
        elif text == "CACHED":
            step.ended = True
            yield BuildStep(number, step.name, seconds=0.0, cached=True)
        elif text.startswith(_ERROR) and not step.ended:
            step.ended, step.error = True, text.removeprefix(_ERROR)
            yield BuildStep(number, step.name, seconds=0.0, error=step.error)

    @property
    def error(self) -> str:
        """Why the build failed, in the builder's words; newer clients put their own before them."""
        return self._last_word.removeprefix(_ERROR).removeprefix("failed to build: ")

    def failed_step(self) -> tuple[str, tuple[str, ...]]:
        """Name and last output lines of the step that failed; the client's own last lines when no step did."""
        failed = [s for s in self._steps.values() if s.error and CANCELED not in s.error]
        return (failed[0].name, tuple(failed[0].last)) if failed else ("", tuple(self._tail))

    def running_step(self) -> tuple[str, tuple[str, ...]]:
        """Name and last output lines of the step that began last and has not ended; empty when there is none."""
        running = [s for s in self._steps.values() if not s.ended]
        return (running[-1].name, tuple(running[-1].last)) if running else ("", ())
