"""What a real Docker tells of containers, and what they use by their control groups."""

from __future__ import annotations

import threading
import time

import pytest

from gitship.engine.types import EngineEvent, Usage
from tests.e2e import docker_cli
from tests.e2e.engine.conftest import Lab, wait_for

pytestmark = pytest.mark.e2e


def past(lab: Lab, container: str, since: float) -> list[tuple[str, int | None, int | None]]:
    """(action, exit code, signal) of what has happened to the container."""
    events = lab.engine.events(lab.labels, since=since, until=time.time(), stop=threading.Event())
    return [(e.action, e.exit_code, e.signal) for e in events if e.container_id == container]


def test_a_crash_a_kill_and_the_end_are_told(lab: Lab) -> None:
    since = time.time()
    container = lab.start("busybox sleep 0.3; exit 3", restart=False)
    wait_for(lambda: lab.engine.inspect(container).status == "exited")
    assert past(lab, container, since) == [("create", None, None), ("start", None, None), ("die", 3, None)]
    lab.engine.start(container)
    lab.engine.remove(container)
    assert past(lab, container, since)[3:] == [
        ("start", None, None), ("kill", None, 9), ("die", 137, None), ("destroy", None, None),
    ]  # fmt: skip


def test_out_of_memory_of_a_child_is_told(lab: Lab) -> None:
    since = time.time()
    container = lab.start("busybox tail /dev/zero; exec busybox sleep 300", memory_bytes=16 << 20)
    wait_for(lambda: ("oom", None, None) in past(lab, container, since))
    assert lab.engine.inspect(container).status == "running"
    lab.engine.remove(container)


def test_they_come_live_with_the_containers_labels_until_the_stream_is_stopped(lab: Lab) -> None:
    stop, came = threading.Event(), list[EngineEvent]()
    stream = lab.engine.events(lab.labels, since=time.time(), stop=stop)

    def read() -> None:
        for event in stream:
            came.append(event)  # each as it comes

    thread = threading.Thread(target=read, name="events of a test")
    thread.start()
    container = lab.start("exec busybox sleep 300")
    docker_cli.docker(lab.host, "kill", "-s", "HUP", container)
    wait_for(lambda: "kill" in [e.action for e in came])
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert [e.action for e in came if e.container_id == container][:3] == ["create", "start", "kill"]
    assert {e.labels["gitship.test"] for e in came} == {lab.run}
    lab.engine.remove(container)


def test_what_a_container_uses_is_read_from_its_control_group(lab: Lab) -> None:
    container = lab.start("while :; do :; done", memory_bytes=64 << 20)

    def read() -> Usage:
        usage = lab.engine.usage(container)
        assert usage is not None
        return usage

    before = read()
    wait_for(lambda: read().cpu_s > before.cpu_s + 0.1)
    assert read().limit_bytes == 64 << 20
    assert 10_000 < read().memory_bytes < 64 << 20
    docker_cli.docker(lab.host, "restart", "-t", "0", container)
    assert read().cpu_s < 60  # of its new life: the same group, made again
    lab.engine.stop(container, 0)
    assert lab.engine.usage(container) is None
    lab.engine.remove(container)
    assert lab.engine.usage(container) is None
