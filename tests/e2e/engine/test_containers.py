"""Containers of the real engine, well-behaved and not."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from dataclasses import replace

import pytest

from gitship.errors import Conflict, DeployCanceled, DeployError, EngineError, NotFound
from tests.e2e import docker_cli
from tests.e2e.engine.conftest import LABEL, Lab, wait_for

pytestmark = pytest.mark.e2e
SLEEP = "exec busybox sleep 300"


def test_the_engine_tells_its_version_and_free_space(lab: Lab) -> None:
    assert lab.engine.ping()[0].isdigit()
    assert lab.engine.free_bytes() > 1 << 20


def test_a_container_runs_at_its_address_with_its_environment(lab: Lab) -> None:
    script = 'echo "$GREETING" >/index.html; exec busybox httpd -f -p 8000'
    address = lab.address(9)
    container = lab.start(script, address=address, env={"GREETING": "hello = you"})
    state = lab.engine.inspect(container)
    assert (state.status, state.address, state.restarts) == ("running", address, 0)
    assert state.started_at == pytest.approx(time.time(), abs=60)

    def answered() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}:8000/index.html", timeout=2) as answer:
                return bool(answer.read() == b"hello = you\n")
        except OSError:
            return False

    wait_for(answered)
    lab.engine.remove(container)


def test_limits_and_safeguards_hold_inside_the_container(lab: Lab) -> None:
    container = lab.start(SLEEP, memory_bytes=64 << 20, cpus=0.5, pids=50)
    _, status = lab.engine.exec(container, ("/bin/sh", "-c", "busybox cat /proc/1/status /proc/1/cmdline"), 10)
    assert "NoNewPrivs:\t1" in status
    assert "docker-init" in status
    told = docker_cli.docker(
        lab.host, "inspect", "-f",
        "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.LogConfig.Type}}"
        " {{.HostConfig.RestartPolicy.Name}}",
        container,
    )  # fmt: skip
    assert told == f"{64 << 20} 500000000 50 local unless-stopped"
    lab.engine.remove(container)


def test_the_list_has_exactly_what_carries_the_labels(lab: Lab) -> None:
    mine = lab.start(SLEEP)
    created = lab.engine.create(lab.spec("created", SLEEP))
    other = lab.engine.create(replace(lab.spec("other", SLEEP), labels={LABEL: lab.run, "gitship.app": "other"}))
    everything = {c.id: c for c in lab.engine.list({LABEL: lab.run})}
    assert {mine, created, other} <= set(everything)
    assert (everything[mine].status, everything[created].status) == ("running", "created")
    assert [c.id for c in lab.engine.list({LABEL: lab.run, "gitship.app": "other"})] == [other]
    assert lab.engine.list({LABEL: "nobody"}) == []
    for container in (mine, created, other):
        lab.engine.remove(container)


def test_a_crash_at_once_shows_its_code_and_its_log(lab: Lab) -> None:
    container = lab.start("echo no database >&2; exit 9", restart=False)
    wait_for(lambda: lab.engine.inspect(container).status == "exited")
    assert lab.engine.inspect(container).exit_code == 9
    assert [(line.stream, line.text) for line in lab.engine.logs(container)] == [("stderr", "no database")]
    lab.engine.remove(container)


def test_a_crash_loop_shows_in_the_restarts(lab: Lab) -> None:
    container = lab.start("exit 1")
    wait_for(lambda: lab.engine.inspect(container).restarts >= 2)
    lab.engine.stop(container, 1)
    lab.engine.remove(container)


def test_running_out_of_memory_is_told(lab: Lab) -> None:
    # the shell itself grows, doubling a variable
    script = "x=0123456789; while true; do x=$x$x; done"
    container = lab.start(script, memory_bytes=16 << 20, restart=False)
    wait_for(lambda: lab.engine.inspect(container).status == "exited", 60)
    state = lab.engine.inspect(container)
    assert state.oom_killed
    assert state.exit_code == 137
    lab.engine.remove(container)


def test_a_command_that_does_not_exist_is_told_by_exit_code_and_log(lab: Lab) -> None:
    """docker-init is pid 1, so the start itself succeeds and the log has the reason."""
    container = lab.engine.create(replace(lab.spec("bad", ""), command=("nosuch", "x"), restart=False))
    lab.engine.start(container)
    wait_for(lambda: lab.engine.inspect(container).status == "exited")
    assert lab.engine.inspect(container).exit_code == 127
    assert any("nosuch" in line.text for line in lab.engine.logs(container))
    lab.engine.remove(container)


def test_a_container_without_any_command_cannot_be_created(lab: Lab) -> None:
    image = lab.build("FROM scratch\nCOPY busybox /x\n")
    with pytest.raises(EngineError, match=r"(?i)no command"):
        lab.engine.create(replace(lab.spec("none", ""), image_id=image.id, command=None))


def test_a_taken_name_is_a_conflict(lab: Lab) -> None:
    spec = lab.spec("twice", SLEEP)
    container = lab.engine.create(spec)
    with pytest.raises(Conflict, match=f"a container named {re.escape(spec.name)} already exists"):
        lab.engine.create(spec)
    lab.engine.remove(container)


def test_a_taken_address_is_a_conflict(lab: Lab) -> None:
    first = lab.start(SLEEP, address=lab.address(20))
    second = lab.engine.create(lab.spec("second", SLEEP, address=lab.address(20)))
    with pytest.raises(Conflict, match="address is in use"):
        lab.engine.start(second)
    for container in (first, second):
        lab.engine.remove(container)


def test_an_image_that_is_gone_is_not_found(lab: Lab) -> None:
    with pytest.raises(NotFound, match="image"):
        lab.engine.create(replace(lab.spec("lost", SLEEP), image_id="sha256:" + "0" * 64))
    with pytest.raises(NotFound):
        lab.engine.images.inspect("sha256:" + "0" * 64)


def test_stopping_and_removing_what_is_gone_is_quiet_and_looking_at_it_is_not_found(lab: Lab) -> None:
    container = lab.start(SLEEP)
    lab.engine.stop(container, 5)
    lab.engine.stop(container, 5)
    lab.engine.remove(container)
    lab.engine.remove(container)
    lab.engine.stop(container, 5)
    for call in (lab.engine.inspect, lab.engine.start, lab.engine.logs):
        with pytest.raises(NotFound):
            call(container)


def test_a_container_removed_from_two_sides_is_gone_for_both(lab: Lab) -> None:
    container = lab.start(SLEEP)
    failed: list[BaseException] = []

    def remove() -> None:
        try:
            lab.engine.remove(container)
            with pytest.raises(NotFound):
                lab.engine.inspect(container)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=remove, name=f"remove-{n}") for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace(lab: Lab) -> None:
    container = lab.start("trap '' TERM; echo deaf; while true; do busybox sleep 1; done", restart=False)
    assert next(lab.engine.logs(container, follow=True)).text == "deaf"
    lab.engine.stop(container, 1)
    assert lab.engine.inspect(container).exit_code == 137
    lab.engine.remove(container)


def test_a_stopped_container_stays_stopped_and_may_be_started_at_its_address(lab: Lab) -> None:
    container = lab.start(SLEEP, address=lab.address(30))
    lab.engine.stop(container, 5)
    assert lab.engine.inspect(container).status == "exited"
    other = lab.start(SLEEP)
    lab.engine.start(container)
    assert lab.engine.inspect(container).address == lab.address(30)
    for one in (container, other):
        lab.engine.remove(one)


def test_health_is_told_with_the_probes_output(lab: Lab) -> None:
    dockerfile = "FROM scratch\nCOPY busybox /bin/sh\nHEALTHCHECK --interval=1s --retries=1 CMD echo sick; exit 1\n"
    image = lab.build(dockerfile)
    container = lab.engine.create(replace(lab.spec("sick", "sleep 300"), image_id=image.id))
    lab.engine.start(container)
    assert lab.engine.inspect(container).health in ("starting", "unhealthy")
    wait_for(lambda: lab.engine.inspect(container).health == "unhealthy")
    assert lab.engine.inspect(container).health_output == "sick"
    lab.engine.remove(container)


def test_what_an_image_says_in_gitships_name_and_of_its_healthcheck_is_bounded(lab: Lab) -> None:
    """An own label that the container has not, a healthcheck each millisecond; other labels are its own."""
    image = lab.build(
        "FROM scratch\nCOPY busybox /bin/sh\nLABEL gitship.one-off=detached gitship.server=x mine=yes\n"
        "HEALTHCHECK --interval=1ms CMD true\n"
    )
    spec = lab.spec("bounded", "sleep 300")
    container = lab.engine.create(replace(spec, image_id=image.id))
    shown = json.loads(docker_cli.docker(lab.host, "inspect", "-f", "{{json .Config}}", container))
    assert {name: shown["Labels"][name] for name in ("gitship.one-off", "gitship.server", "mine", LABEL)} == {
        "gitship.one-off": "", "gitship.server": "", "mine": "yes", LABEL: lab.run,
    }  # fmt: skip
    assert (shown["Healthcheck"]["Interval"], shown["Healthcheck"]["Test"]) == (10**9, ["CMD-SHELL", "true"])
    known = lab.engine.inspect(container).labels
    assert {name for name in known if known[name]} >= {"mine", LABEL} and "gitship.one-off" not in known
    assert [s.labels for s in lab.engine.list({LABEL: lab.run}) if s.id == container] == [known]
    lab.engine.remove(container)


def test_a_helper_of_a_volume_is_made_of_nothing_that_somebody_else_has_named_so(lab: Lab) -> None:
    """Its image is found by a name: one with files in it, or a link where the volume is mounted, is not that."""
    tag = f"gitship-empty:{lab.run}"
    image = lab.build("FROM scratch\nCOPY busybox /bin/sh\nVOLUME /data\n")
    docker_cli.docker(lab.host, "tag", image.id, tag)
    labels = {"gitship.server": lab.run, "gitship.volume": "data", **lab.labels}
    volume = f"gitship-{lab.run}-1-data"
    lab.engine.volumes.make(volume, labels)
    try:
        with lab.engine.volumes.read(volume, labels, threading.Event()) as chunks:
            assert b"".join(chunks)
        assert (
            docker_cli.docker(lab.host, "inspect", "-f", "{{.Id}} {{.Size}}", tag) != f"{image.id} {image.size_bytes}"
        )
        made = lab.engine.images.inspect(tag)
        assert made.size_bytes <= 4096, "containerd's store counts the block of the empty directory"
        with lab.engine.volumes.read(volume, labels, threading.Event()) as chunks:
            assert b"".join(chunks)
        assert lab.engine.images.inspect(tag).id == made.id, "it is taken for what it is the next time"
    finally:
        lab.engine.volumes.remove(volume)
        docker_cli.docker(lab.host, "rmi", "-f", tag, check=False)


def test_a_command_in_a_container_gives_code_and_output(lab: Lab) -> None:
    container = lab.start(SLEEP)
    assert lab.engine.exec(container, ("/bin/sh", "-c", "echo out; echo err >&2; exit 4"), 10)[0] == 4
    assert sorted(lab.engine.exec(container, ("/bin/sh", "-c", "echo out; echo err >&2"), 10)[1].split()) == [
        "err",
        "out",
    ]
    code, text = lab.engine.exec(container, ("nosuch",), 10)
    assert code in (126, 127)
    assert "nosuch" in text
    lab.engine.stop(container, 1)
    with pytest.raises(EngineError, match="not running"):
        lab.engine.exec(container, ("true",), 10)
    lab.engine.remove(container)


def test_a_command_in_a_container_that_takes_too_long_is_killed(lab: Lab) -> None:
    container = lab.start(SLEEP)
    code, text = lab.engine.exec(container, ("/bin/sh", "-c", "echo begun; exec busybox sleep 299"), 3)
    assert (code, text) == (124, "begun\n")
    wait_for(lambda: "sleep 299" not in lab.engine.exec(container, ("/bin/busybox", "ps"), 10)[1])
    lab.engine.remove(container)


def test_a_noisy_command_keeps_only_the_end_of_its_output(lab: Lab) -> None:
    container = lab.start(SLEEP)
    code, text = lab.engine.exec(container, ("/bin/sh", "-c", "busybox seq 100000"), 30)
    assert code == 0
    assert len(text) == 64 << 10
    assert text.endswith("\n99999\n100000\n")
    lab.engine.remove(container)


# -- one-off containers


def test_a_one_off_hands_its_lines_over_live_and_gives_its_exit_code(lab: Lab) -> None:
    came: list[tuple[str, float]] = []
    spec = lab.spec("release", "echo one; busybox sleep 1; echo two >&2; busybox printf three; exit 5")
    code = lab.engine.run(spec, lambda line: came.append((line, time.monotonic())), threading.Event(), 60)
    assert code == 5
    assert sorted(line for line, _ in came) == ["one", "three", "two"]
    times = dict(came)
    assert times["two"] - times["one"] > 0.5
    assert gone(lab, spec.name)


def test_a_one_off_that_closes_its_output_is_waited_for(lab: Lab) -> None:
    spec = lab.spec("quiet", "exec >/dev/null 2>&1 </dev/null; busybox sleep 1; exit 6")
    assert lab.engine.run(spec, print, threading.Event(), 60) == 6


def test_a_one_off_that_takes_too_long_is_ended_and_removed(lab: Lab) -> None:
    lines: list[str] = []
    spec = lab.spec("slow", "echo begun; exec busybox sleep 300")
    with pytest.raises(DeployError, match="took longer than 5 s") as caught:
        lab.engine.run(spec, lines.append, threading.Event(), 5)
    assert not isinstance(caught.value, DeployCanceled)
    assert lines == ["begun"]
    assert gone(lab, spec.name)


def test_a_canceled_one_off_may_clean_up_and_is_removed(lab: Lab) -> None:
    cancel = threading.Event()
    marker = lab.name("mark")
    spec = lab.spec("cancel", f"trap 'exit 0' TERM; echo begun {marker}; while true; do busybox sleep 0.1; done")
    with pytest.raises(DeployCanceled):
        lab.engine.run(spec, lambda line: cancel.set(), cancel, 60)
    assert gone(lab, spec.name)


def test_a_one_off_is_removed_when_the_listener_fails(lab: Lab) -> None:
    def fail(line: str) -> None:
        raise RuntimeError(line)

    spec = lab.spec("fails", f"echo boom; {SLEEP}")
    with pytest.raises(RuntimeError, match="boom"):
        lab.engine.run(spec, fail, threading.Event(), 60)
    assert gone(lab, spec.name)


def gone(lab: Lab, name: str) -> bool:
    return name not in {c.name for c in lab.engine.list({LABEL: lab.run})}
