"""Parses the classic builder's output (``POST /build``) into build events. Pure."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gitship.engine.progress_buildkit import LAST_LINES, MAX_LAST_LINE_CHARS
from gitship.engine.stream_frames import Lines, error_of, shown
from gitship.engine.types import PROXIES, BuildOptions, BuildOutput, BuildStep
from gitship.errors import DeployError

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_BUILDERS_OWN = re.compile(
    r"$| ---> |Removing intermediate container [0-9a-f]{12}$|Successfully (built|tagged) |\[Warning\]"
)
_COLOUR = re.compile(r"\x1b\[(?:91|0)m")  # the builder paints what comes on stderr


def ensure_usable(options: BuildOptions) -> None:
    """Raises DeployError for what this builder leaves out of the key of its cache, which all apps share."""
    for name in options.build_args:
        if name.lower() in PROXIES:
            raise DeployError(
                f"the classic builder takes no build argument {name}: what came through the proxy would be in the "
                "cache for other apps, too",
                'set builder = "buildkit" in [docker] on the server, or the proxy in Docker\'s own daemon.json',
            )


class ClassicTrace:
    """Like BuildKitTrace. The classic builder sends no times, so a step's seconds are from line to line here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._number = 0
        self._name = ""
        self._since = 0.0
        self._cached = False
        self._lines = Lines()
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self.image_id = ""
        self.error = ""

    def feed(self, message: Mapping[str, Any]) -> Iterator[BuildStep | BuildOutput]:
        """The events in one message of the stream."""
        if error := error_of(message):
            self.error = error
            yield from self._end(self.error)
        elif "aux" in message:
            self.image_id = str(message["aux"].get("ID", self.image_id))
        elif "stream" in message:
            for line in self._lines.feed(str(message["stream"]).encode()):
                yield from self._line(_COLOUR.sub("", line))

    def failed_step(self) -> tuple[str, tuple[str, ...]]:
        """Name and last output lines of the step that was running when the error came."""
        return self.running_step() if self.error else ("", ())

    def running_step(self) -> tuple[str, tuple[str, ...]]:
        """Name and last output lines of the step that began last."""
        return self._name, tuple(self._last)

    def _line(self, line: str) -> Iterator[BuildStep | BuildOutput]:
        if match := _STEP.fullmatch(line):
            yield from self._end()
            self._number, self._name = int(match[1]), f"[{match[1]}/{match[2]}] {match[3]}"
            self._since, self._cached = self._clock(), False
            self._last.clear()
            yield BuildStep(self._number, self._name)
        elif line == " ---> Using cache":
            self._cached = True
        elif line.startswith("Successfully built "):
            yield from self._end()
        elif not _BUILDERS_OWN.match(line):
            self._last.append(shown(line)[:MAX_LAST_LINE_CHARS])
            yield BuildOutput(self._number, shown(line))

    def _end(self, error: str = "") -> Iterator[BuildStep | BuildOutput]:
        for line in self._lines.end():
            yield from self._line(_COLOUR.sub("", line))
        if self._number:
            yield BuildStep(self._number, self._name, self._clock() - self._since, self._cached, error)
            self._number = 0
