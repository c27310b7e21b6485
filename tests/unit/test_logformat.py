"""The server's log: one line for each event, with what the thread works for."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from gitship import log_context, log_format

log = logging.getLogger("gitship.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_says_what_its_thread_works_for(stream: io.StringIO) -> None:
    log_format.configure("text", verbose=False, stream=stream)
    with log_context.traced(request="1a2b", key="ada"), log_context.traced(app="shop", deploy=12, request=""):
        log.info("live")
        other = threading.Thread(target=lambda: log.info("elsewhere"))
        other.start()
        other.join()
    log.debug("not shown")
    log.info("%s", "later")
    lines = stream.getvalue().splitlines()
    assert [line.partition("INFO    gitship.test: ")[2] for line in lines] == [
        "live [request=1a2b key=ada app=shop deploy=12]", "elsewhere", "later",
    ]  # fmt: skip


def test_json_has_the_same_as_keys(stream: io.StringIO) -> None:
    log_format.configure("json", verbose=True, stream=stream)
    with log_context.traced(app="shop", deploy=12):
        log.debug("two\nlines")
        try:
            raise ValueError("no\ngood")
        except ValueError:
            log.exception("failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["message"], first["level"], first["app"], first["deploy"]) == ("two\nlines", "debug", "shop", 12)
    assert first["at"].endswith("+00:00")
    assert "ValueError: no" in second["exception"] and second["logger"] == "gitship.test"


@pytest.mark.parametrize(
    "text", ["a\n2026-01-01 00:00:00,000 INFO    gitship: forged", "\x1b[2Jgone", "x\u202ey", "\r"]
)
def test_nothing_that_comes_from_outside_makes_a_line_of_its_own(stream: io.StringIO, text: str) -> None:
    log_format.configure("text", verbose=False, stream=stream)
    with log_context.traced(app=text):
        log.info("unknown key %s", text)
    [line] = stream.getvalue().split("\n")[:-1]
    assert line.isprintable()
