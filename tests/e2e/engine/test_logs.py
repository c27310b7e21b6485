"""Logs of real containers, by the ``local`` driver."""

from __future__ import annotations

import threading
import time

import pytest

from gitship.engine.logs import merge
from gitship.errors import NotFound
from tests.e2e.engine.conftest import Lab, wait_for

pytestmark = pytest.mark.e2e


def test_lines_have_time_stream_and_the_containers_name(lab: Lab) -> None:
    container = lab.start("echo out; echo err >&2", restart=False)
    wait_for(lambda: lab.engine.inspect(container).status == "exited")
    lines = list(lab.engine.logs(container))
    assert sorted((line.stream, line.text) for line in lines) == [("stderr", "err"), ("stdout", "out")]
    assert {line.container for line in lines} == {lab.engine.inspect(container).name}
    assert all(abs(line.at - time.time()) < 60 for line in lines)
    lab.engine.remove(container)


def test_tail_and_since_choose_the_end(lab: Lab) -> None:
    container = lab.start("for i in 1 2 3 4; do echo $i; busybox sleep 0.1; done", restart=False)
    wait_for(lambda: lab.engine.inspect(container).status == "exited")
    lines = list(lab.engine.logs(container))
    assert [line.text for line in lines] == ["1", "2", "3", "4"]
    assert [line.text for line in lab.engine.logs(container, tail=2)] == ["3", "4"]
    assert [line.text for line in lab.engine.logs(container, tail=0)] == []
    assert [line.text for line in lab.engine.logs(container, since=lines[2].at - 0.01)] == ["3", "4"]
    lab.engine.remove(container)


def test_a_line_longer_than_dockers_records_stays_one_line(lab: Lab) -> None:
    container = lab.start("busybox seq -s, 10000; echo end", restart=False)
    wait_for(lambda: lab.engine.inspect(container).status == "exited")
    lines = [line.text for line in lab.engine.logs(container)]
    assert lines == [",".join(map(str, range(1, 10001))), "end"]
    lab.engine.remove(container)


def test_following_gives_lines_live_and_ends_with_the_container(lab: Lab) -> None:
    container = lab.start("for i in 1 2 3; do echo $i; busybox sleep 0.5; done", restart=False)
    came = [(line.text, time.time() - line.at) for line in lab.engine.logs(container, follow=True)]
    assert [text for text, _ in came] == ["1", "2", "3"]
    lab.engine.remove(container)


def test_following_a_silent_container_ends_when_it_is_told_to(lab: Lab) -> None:
    container = lab.start("echo one; exec busybox sleep 300")
    stop = threading.Event()
    lines = lab.engine.logs(container, follow=True, stop=stop)
    assert next(lines).text == "one"
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    began = time.monotonic()
    assert list(lines) == []
    print(f"ended {time.monotonic() - began - 0.3:.3f} s after the stop")
    timer.join()
    lab.engine.remove(container)


def test_two_containers_are_followed_as_one_log_by_time(lab: Lab) -> None:
    containers = [
        lab.start(f"busybox sleep 0.{n}; for i in 1 2 3; do echo $i; busybox sleep 0.5; done; exec busybox sleep 300")
        for n in (1, 3)
    ]
    stop = threading.Event()
    merged = merge([lab.engine.logs(c, follow=True, stop=stop) for c in containers], follow=True)
    lines = [next(merged) for _ in range(6)]
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert len({line.container for line in lines}) == 2
    stop.set()
    assert list(merged) == []
    assert not [t for t in threading.enumerate() if t.name.startswith("logs-")]
    for container in containers:
        lab.engine.remove(container)


def test_closing_a_followed_log_ends_its_connections(lab: Lab) -> None:
    container = lab.start("echo one; exec busybox sleep 300")
    merged = merge([lab.engine.logs(container, follow=True)], follow=True)
    assert next(merged).text == "one"
    merged.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("logs-")]
    lab.engine.remove(container)


def test_the_log_of_a_container_that_is_being_removed_is_not_there(lab: Lab) -> None:
    """Docker says then that it is marked for removal, which is nobody's failure."""
    container = lab.start("exec busybox sleep 300")
    remove = threading.Thread(target=lab.engine.remove, args=(container,))
    remove.start()
    with pytest.raises(NotFound):
        while True:
            list(lab.engine.logs(container))
    remove.join()
