"""Clients that leave at the worst moment, that say nothing, or that do not listen."""

from __future__ import annotations

import functools
import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import pytest

from gitship.git.ingest import Ingest
from gitship.git.push_limits import ReceiveLimits
from gitship.git.receive_pack import receive_pack
from gitship.git.refs import RefUpdate
from gitship.git.repository import Repository
from tests.unit.git.conftest import assert_nothing_left
from tests.unit.git.gitd import SETTINGS, GitServer, Work
from tests.unit.git.move_refs import MoveRefs
from tests.unit.git.raw import (
    Scripted,
    Sink,
    all_objects,
    blob,
    commit,
    entry,
    name_of,
    pack,
    pack_of,
    packet,
    push,
    small_push,
    tree,
    wishes,
)
from tests.waiting import GUARD_S, wait_until

pytestmark = pytest.mark.clients
MAIN = "refs/heads/main"


class SlowHost(MoveRefs):
    """A deploy that waits for ``go`` before the ref moves."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(repository)
        self.entered, self.go, self.left = threading.Event(), threading.Event(), threading.Event()
        self.saw_client_leave = False
        self.gone = threading.Event()

    def accept(
        self,
        updates: Sequence[RefUpdate],
        options: Sequence[str],
        progress: Callable[[str], None],
        gone: threading.Event,
    ) -> Mapping[str, str]:
        progress("building")
        self.gone = gone
        self.entered.set()
        assert self.go.wait(30)
        self.saw_client_leave = gone.is_set()
        progress("done")
        reasons = super().accept(updates, options, progress, gone)
        self.left.set()
        return reasons


def children() -> set[int]:
    """The processes that this one has started and not yet collected."""
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/children") as file:  # a thread may end
            found.update(map(int, file.read().split()))
    return found


@pytest.mark.parametrize("padding", [0, 150])
def test_client_that_dies_in_mid_pack_leaves_nothing(server: GitServer, padding: int) -> None:
    shop = server.repositories.open("shop")
    tip, objects = small_push()
    data = pack(*objects, *(blob(random.Random(n).randbytes(1000)) for n in range(padding)))
    before = children()
    with socket.create_connection(("127.0.0.1", int(server.url().split(":")[2].split("/")[0]))) as client:
        client.sendall(packet(b"git-receive-pack /shop\0host=x\0") + wishes((None, tip, MAIN)) + data[: len(data) // 2])
        wait_until(lambda: list(shop.objects.glob("incoming-*")))
    assert_nothing_left(shop)
    assert children() <= before
    assert (shop.refs(), all_objects(shop)) == ({}, set())


def test_stock_client_killed_in_mid_pack_leaves_nothing(server: GitServer, work: Work) -> None:
    shop = server.repositories.open("shop")
    work.commit({f"file{n}": random.Random(n).randbytes(1 << 20) for n in range(40)})
    before = children()
    client = subprocess.Popen(
        ["git", *SETTINGS, "push", "-q", server.url(), "main"],
        cwd=work.path,
        env=work.environment,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    wait_until(lambda: list(shop.objects.glob("incoming-*")), every_s=0.002)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    assert_nothing_left(shop)
    assert children() <= before
    assert (shop.refs(), all_objects(shop)) == ({}, set())


def test_client_killed_during_the_deploy_does_not_stop_it(server: GitServer, work: Work) -> None:
    shop = server.repositories.open("shop")
    host = SlowHost(shop)
    server.host = lambda repository: host
    server.limits = ReceiveLimits(keepalive_s=0.05)
    head = work.commit({"a": "1"})
    client = subprocess.Popen(
        ["git", "push", "-q", server.url(), "main"],
        cwd=work.path,
        env=work.environment,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    assert host.entered.wait(20)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    assert host.gone.wait(GUARD_S)  # the first sign of life may still find a buffer
    assert shop.ref(MAIN) is None
    host.go.set()
    assert host.left.wait(10)
    assert host.saw_client_leave
    assert shop.ref(MAIN) == head
    assert_nothing_left(shop)


def test_caller_that_knows_the_client_left_is_believed(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    host, gone = SlowHost(repository), threading.Event()
    stdin, stdout = Scripted(wishes((None, tip, MAIN)) + pack(*objects)), Sink()
    thread = threading.Thread(
        target=receive_pack, args=(stdin, stdout, repository, host), kwargs={"ingest": ingest, "gone": gone}
    )
    thread.start()
    assert host.entered.wait(10)
    gone.set()
    written = len(stdout.data)
    host.go.set()
    thread.join(10)
    assert host.saw_client_leave
    assert len(stdout.data) == written
    assert repository.ref(MAIN) == tip


def test_sign_of_life_in_a_silent_deploy(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    host = SlowHost(repository)
    threading.Timer(0.3, host.go.set).start()
    answer = push(
        repository,
        ingest,
        wishes((None, tip, MAIN)) + pack(*objects),
        host=host,
        limits=ReceiveLimits(keepalive_s=0.05),
    )
    assert answer.keep_alives >= 3
    assert answer.refs == {MAIN: "ok"}
    assert answer.remote == "building\ndone\n"
    assert_nothing_left(repository)


def test_stock_git_takes_the_signs_of_life(server: GitServer, work: Work) -> None:
    host = SlowHost(server.repositories.open("shop"))
    server.host = lambda repository: host
    server.limits = ReceiveLimits(keepalive_s=0.02)
    work.commit({"a": "1"})
    threading.Timer(0.3, host.go.set).start()
    text = work.git("push", server.url(), "main")
    assert "remote: building" in text and "remote: done" in text


def test_client_that_stops_sending_is_given_up(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    half = pack(*objects, *(blob(b"%d" % n) for n in range(150)))[:300]
    answer = push(
        repository,
        ingest,
        wishes((None, tip, MAIN)) + half,
        ends=False,
        limits=ReceiveLimits(stall_s=0.2),
    )
    assert answer.refs == {MAIN: "the pack did not arrive in time"}
    assert all_objects(repository) == set()
    assert_nothing_left(repository)


def test_refused_client_may_finish_sending_and_reads_why(server: GitServer, work: Work) -> None:
    server.limits = ReceiveLimits(max_pack_bytes=1 << 20)
    work.commit({f"file{n}": random.Random(n).randbytes(1 << 20) for n in range(12)})
    text = work.git("push", server.url(), "main", fails=True)
    assert "[remote rejected] main -> main (the pack is larger than 1 MiB" in text
    assert all_objects(server.repositories.open("shop")) == set()


@pytest.mark.parametrize("why", ["its name", "its size"])
def test_what_a_refused_client_still_sends_is_read(repository: Repository, ingest: Ingest, why: str) -> None:
    """A client that cannot get rid of its pack never comes to reading why it was refused."""
    tip, objects = small_push()
    data = pack(*objects, blob(random.Random(1).randbytes(4 << 20)))
    stdin, limits = Scripted(wishes((None, tip, MAIN if why == "its size" else "HEAD")) + data), ReceiveLimits()
    if why == "its size":
        limits = ReceiveLimits(max_pack_bytes=1 << 20)
    receive_pack(stdin, Sink(), repository, MoveRefs(repository), limits=limits, ingest=ingest)
    assert stdin.read(1) == b""
    assert repository.refs() == {}


def test_client_without_sidebands_gets_a_plain_report(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    said = wishes((None, tip, MAIN), capabilities="report-status") + pack(*objects)
    answer = push(repository, ingest, said)
    assert answer.raw.endswith(b"000eunpack ok\n0017ok refs/heads/main\n0000")


def test_client_that_asks_for_no_report_gets_none(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    answer = push(repository, ingest, wishes((None, tip, MAIN), capabilities="side-band-64k") + pack(*objects))
    assert answer.raw.endswith(b"00000000")
    assert repository.ref(MAIN) == tip


def test_pack_in_single_bytes(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    answer = push(repository, ingest, wishes((None, tip, MAIN)) + pack(*objects), chunk=1)
    assert answer.refs == {MAIN: "ok"}


class Broken(MoveRefs):
    def accept(
        self,
        updates: Sequence[RefUpdate],
        options: Sequence[str],
        progress: Callable[[str], None],
        gone: threading.Event,
    ) -> Mapping[str, str]:
        raise ZeroDivisionError


def test_fault_in_the_host_is_no_traceback_for_the_client(
    repository: Repository, ingest: Ingest, caplog: pytest.LogCaptureFixture
) -> None:
    tip, objects = small_push()
    answer = push(repository, ingest, wishes((None, tip, MAIN)) + pack(*objects), host=Broken(repository))
    assert answer.refs == {MAIN: "internal error, the server's log has it"}
    assert "ZeroDivisionError" in caplog.text
    assert_nothing_left(repository)


@functools.cache
def zeros_push() -> tuple[str, bytes]:
    """The commit and the pack: 80 MiB in 350 kB."""
    zeros = blob(bytes(80 << 20))
    root = tree(("100644", b"zeros", zeros))
    tip = commit(root)
    return name_of(tip), pack_of(entry(*zeros, level=1), entry(*root), entry(*tip))


def test_eighty_mebibytes_of_zeros_cost_this_process_no_memory(repository: Repository, ingest: Ingest) -> None:
    tip, data = zeros_push()
    said = wishes((None, tip, MAIN)) + data
    assert len(said) < 1 << 20
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is counted from here
    before = memory("VmRSS")
    answer = push(repository, ingest, said)
    assert answer.refs == {MAIN: "ok"}
    assert memory("VmHWM") - before < 24 << 20
    assert repository.ref(MAIN) == tip


def memory(what: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(what))
