"""Actions of services in real containers: outputs, streams of any size, and programs that end in every way."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest

from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import EngineError, ServiceError
from gitship.services.actions import OUTPUT_BYTES, ServiceActions
from gitship.services.engine_file import EngineAction
from tests.e2e.engine.conftest import Lab, wait_for

PIECE = bytes(range(256)) * 256
VALUES = {"root_password": "R00t-secret", "password": "Pw-secret", "login": "shop_1"}


@pytest.fixture(scope="module")
def container(lab: Lab) -> str:
    return lab.start("while :; do sleep 1000; done")


@pytest.fixture(scope="module")
def actions(lab: Lab) -> ServiceActions:
    return ServiceActions(lab.engine)


def script(text: str, **more: str) -> EngineAction:
    return EngineAction(("/bin/sh", "-c", text), more.pop("stdin", ""), more)


def runs(lab: Lab, container: str, word: str) -> bool:
    """Whether a process of the container has this word in its command line."""
    code, _ = lab.engine.exec(
        container, ("/bin/sh", "-c", f"ps -o args | grep -v grep | grep -q '[{word[0]}]{word[1:]}'"), 30
    )
    return code == 0


def pieces(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield PIECE


def test_an_output_is_what_is_printed_with_values_in_input_and_environment(
    actions: ServiceActions, container: str
) -> None:
    action = script(
        "echo beside >&2; cat; echo $SECRET {login}", stdin="login {login} {password}\n", SECRET="{password}"
    )
    assert actions.output(container, action, VALUES, 30) == "login shop_1 Pw-secret\nPw-secret shop_1\n"


def test_an_action_without_a_command_does_nothing(actions: ServiceActions) -> None:
    assert actions.output("no-such-container", EngineAction(()), {}, 1) == ""


def test_a_failure_shows_the_last_lines_without_secrets(actions: ServiceActions, container: str) -> None:
    action = script("seq 20; echo $A no >&2; echo $B >&2; exit 7", A="{password}", B="{root_password}")
    with pytest.raises(ServiceError, match=r"failed with exit code 7: \*\*\*$") as caught:
        actions.output(container, action, VALUES, 30)
    assert caught.value.lines == ("*** no", "***")


def test_a_failure_that_says_nothing_beside_its_output_shows_that(actions: ServiceActions, container: str) -> None:
    with pytest.raises(ServiceError, match="exit code 1: refused"):
        actions.output(container, script("echo refused; exit 1"), VALUES, 30)


def test_a_command_that_is_not_there_is_an_error(actions: ServiceActions, container: str) -> None:
    with pytest.raises(EngineError, match="cannot be run"):
        actions.output(container, EngineAction(("/no/such/program",)), {}, 30)


def test_an_output_has_an_end(actions: ServiceActions, container: str) -> None:
    with pytest.raises(ServiceError, match="more than 4 MB"):
        actions.output(container, script(f"head -c {OUTPUT_BYTES + 1} /dev/zero"), {}, 30)


def test_what_takes_too_long_is_killed(lab: Lab, actions: ServiceActions, container: str) -> None:
    with pytest.raises(ServiceError, match=r"took longer than 0\.5 s"):
        actions.output(container, script("echo begun; sleep 4321"), {}, 0.5)
    wait_for(lambda: not runs(lab, container, "sleep 4321"))


def test_a_stream_is_read_as_it_comes(actions: ServiceActions, container: str) -> None:
    count, largest = 0, 0
    with actions.read(container, script("head -c 50000000 /dev/zero"), {}, threading.Event()) as chunks:
        for chunk in chunks:
            count, largest = count + len(chunk), max(largest, len(chunk))
    assert count == 50_000_000
    assert largest <= 1 << 20


def test_a_program_that_dies_half_way_is_an_error_after_its_data(actions: ServiceActions, container: str) -> None:
    got = bytearray()
    action = script("head -c 1000000 /dev/zero; echo lost {login} >&2; exit 3")
    with (
        pytest.raises(ServiceError, match="exit code 3: lost shop_1"),
        actions.read(container, action, VALUES, threading.Event()) as chunks,
    ):
        for chunk in chunks:
            got += chunk
    assert len(got) == 1_000_000


def test_a_killed_program_is_an_error(actions: ServiceActions, container: str) -> None:
    with (
        pytest.raises(ServiceError, match="exit code 137"),
        actions.read(container, script("echo some; kill -9 $$"), VALUES, threading.Event()) as chunks,
    ):
        assert b"".join(chunks) == b"some\n"


def test_who_stops_reading_ends_the_program(lab: Lab, actions: ServiceActions, container: str) -> None:
    with actions.read(container, script("yes | head -c 90000000; sleep 4322"), {}, threading.Event()) as chunks:
        next(chunks)
    wait_for(lambda: not runs(lab, container, "sleep 4322") and not runs(lab, container, "90000000"))


def test_reading_ends_when_the_client_has_gone(lab: Lab, actions: ServiceActions, container: str) -> None:
    gone = threading.Event()
    with (
        pytest.raises(WaitInterrupted),
        actions.read(container, script("echo some; sleep 4323"), {}, gone) as chunks,
    ):
        for _ in chunks:
            gone.set()
    wait_for(lambda: not runs(lab, container, "sleep 4323"))


def test_a_stream_is_written_whole(actions: ServiceActions, container: str) -> None:
    wanted = hashlib.sha256(PIECE * 300).hexdigest()
    check = script(f"[ $(sha256sum | cut -c1-64) = {wanted} ]")
    actions.write(container, check, {}, pieces(300), threading.Event())
    with pytest.raises(ServiceError, match="exit code 1"):
        actions.write(container, check, {}, pieces(299), threading.Event())


def test_a_program_may_print_as_much_as_it_reads(actions: ServiceActions, container: str) -> None:
    actions.write(container, script("cat"), {}, pieces(300), threading.Event())


def test_a_program_that_reads_no_more_is_an_error(actions: ServiceActions, container: str) -> None:
    with pytest.raises(ServiceError, match="exit code 4: no space"):
        actions.write(
            container, script("head -c 100 >/dev/null; echo no space >&2; exit 4"), {}, pieces(2000), threading.Event()
        )


def test_what_fails_before_the_end_is_no_end_for_the_program(lab: Lab, actions: ServiceActions, container: str) -> None:
    def broken() -> Iterator[bytes]:
        yield from pieces(20)
        raise ConnectionResetError("the target has gone")

    with pytest.raises(ConnectionResetError, match="the target has gone"):
        actions.write(container, script("cat >/dev/null; echo whole >/tmp/ended"), {}, broken(), threading.Event())
    wait_for(lambda: not runs(lab, container, "cat >/dev/null"))
    assert lab.engine.exec(container, ("/bin/sh", "-c", "[ -e /tmp/ended ]"), 30)[0] == 1


def test_writing_ends_when_the_client_has_gone(lab: Lab, actions: ServiceActions, container: str) -> None:
    gone = threading.Event()
    threading.Timer(0.3, gone.set).start()
    with pytest.raises(WaitInterrupted):
        actions.write(container, script("sleep 4324"), {}, pieces(10_000), gone)
    wait_for(lambda: not runs(lab, container, "sleep 4324"))


def test_a_program_whose_child_keeps_its_input_ends_all_the_same(actions: ServiceActions, container: str) -> None:
    action = script("exec 3<&0; sleep 4325 <&3 >/dev/null 2>&1 & echo refused >&2; exit 5")
    with pytest.raises(ServiceError, match="exit code 5: refused"):
        actions.write(container, action, {}, pieces(1000), threading.Event())
