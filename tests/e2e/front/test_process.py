"""varnishd: started, taken over, lost and found."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front import boot_order, varnishd, varnishd_parameters
from gitship.front.front import Front
from gitship.front.varnish_cli import COMMAND_TIMEOUT_S, VarnishCli
from tests.e2e.front.asking import app, ask
from tests.e2e.front.conftest import LOOPBACK, MEMORY_BYTES, switch
from tests.e2e.front.origin import Origin
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

HOST = "shop.localhost"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def _manager(base: Path) -> int:
    return int((base / "varnish/varnishd.pid").read_text())


def _worker(base: Path) -> int:
    """0 while there is none."""
    children = Path(f"/proc/{_manager(base)}/task/{_manager(base)}/children").read_text().split()
    return next((int(c) for c in children if Path(f"/proc/{c}/comm").read_text() == "cache-main\n"), 0)


def _answers(front: Front) -> bool:
    try:
        return ask(front.address, HOST).status == 200
    except OSError:
        return False


def _again(front: Front, base: Path) -> Front:
    """What a gitship that was started anew has."""
    front.close()
    return Front(LOOPBACK, base / "varnish", MEMORY_BYTES)


def test_it_is_no_child_of_gitship_and_has_a_session_of_its_own(front: Front, base: Path) -> None:
    status = Path(f"/proc/{_manager(base)}/stat").read_text().rpartition(")")[2].split()
    assert int(status[1]) != os.getpid()
    assert os.getsid(_manager(base)) == _manager(base)


def test_a_second_gitship_takes_over_the_one_that_runs(front: Front, base: Path) -> None:
    before = _manager(base)
    other = _again(front, base)
    other.ensure_running()
    assert _manager(base) == before
    assert (other.address, other.alive()) == (front.address, True)


def test_the_secret_is_for_its_owner_only(front: Front, base: Path) -> None:
    assert stat.S_IMODE((base / "varnish/secret").stat().st_mode) == 0o600


def test_the_control_port_is_closed_to_who_does_not_know_the_secret(front: Front, base: Path) -> None:
    (base / "wrong").write_text("wrong\n")
    with pytest.raises(FrontError, match="rejects gitship's secret"):
        VarnishCli(front._server._admin, base / "wrong").command("status")


def test_it_may_open_many_files_whatever_the_shell_allows(base: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    front = Front(LOOPBACK, base / "varnish", MEMORY_BYTES)
    try:
        front.ensure_running()
        for pid in (_manager(base), _worker(base)):
            limits = Path(f"/proc/{pid}/limits").read_text()
            found = re.search(r"^Max open files +(\d+)", limits, re.MULTILINE)
            assert found
            assert int(found[1]) == min(hard, varnishd_parameters.OPEN_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        front.stop()


def test_a_killed_worker_comes_back_with_all_apps(front: Front, base: Path) -> None:
    with Origin("v1") as origin:
        front.set_hosts({HOST: "shop"})
        name = switch(front, app("shop", origin))
        before = _worker(base)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: _answers(front))
        assert _worker(base) != before
        assert front.labelled("shop") == name


def test_a_worker_that_dies_does_not_fail_what_is_asked_meanwhile(front: Front, base: Path) -> None:
    with Origin("v1") as origin:
        front.set_hosts({HOST: "shop"})
        for n in range(3):
            before = _worker(base)
            os.kill(before, signal.SIGKILL)
            name = switch(front, app("shop", origin, release=f"v{n}"))
            while _worker(base) == before:
                assert front.apps() == {"shop": name}
            assert front.apps() == {"shop": name}
        wait_until(lambda: _answers(front))


def test_a_killed_varnishd_is_started_again_from_its_files_with_the_same_port(front: Front, base: Path) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        front.set_hosts({HOST: "shop", "new.localhost": "new"})
        switch(front, app("shop", one))
        name = switch(front, app("shop", two, release="v2"))
        address = front.address
        os.kill(_manager(base), signal.SIGKILL)
        wait_until(lambda: not front.alive())
        other = _again(front, base)
        other.ensure_running()
        assert other.address == address
        assert ask(address, HOST).text == "v2 0"
        assert ask(address, "new.localhost").status == 503
        assert other.labelled("shop") == name
        # and goes on from there
        switch(other, app("shop", one, release="v3"))
        assert ask(address, HOST).text == "v1 0"


def test_with_many_apps_the_busiest_is_served_while_the_others_have_their_page(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_order, "AT_ONCE", 1)
    hosts = {f"{slug}.localhost": slug for slug in ("a", "b", "z")}
    front = Front(LOOPBACK, base / "varnish", MEMORY_BYTES, lambda: ["gone", "z", "b"])
    seen = []
    command = VarnishCli.command

    def watched(control: VarnishCli, *words: str) -> str:
        if words[0] == "vcl.label":
            answers = {slug: ask(front.address, host) for host, slug in hosts.items()}
            seen.append(
                {slug: answer.text if answer.status == 200 else answer.status for slug, answer in answers.items()}
            )
            assert all(answer.headers.get("retry-after") == "5" for answer in answers.values() if answer.status != 200)
        return command(control, *words)

    with Origin("a") as a, Origin("b") as b, Origin("z") as z:
        try:
            front.ensure_running()
            front.reload([app("a", a), app("b", b), app("z", z)], hosts)
            before = front.apps()
            os.kill(_manager(base), signal.SIGKILL)
            wait_until(lambda: not front.alive())
            with monkeypatch.context() as patch:
                patch.setattr(VarnishCli, "command", watched)
                front.ensure_running()
            assert seen == [{"a": 503, "b": 503, "z": "z 0"}, {"a": 503, "b": "b 0", "z": "z 0"}]
            assert {slug: ask(front.address, host).text for host, slug in hosts.items()} == {s: f"{s} 0" for s in "abz"}
            assert front.apps() == before
        finally:
            front.stop()


def test_what_was_compiled_once_is_not_compiled_again_after_a_kill(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base.chmod(0o777)  # the compiler runs as another user
    counted = tuple((tools, f"echo %s >> {base}/runs; {command}") for tools, command in varnishd_parameters.COMPILERS)
    monkeypatch.setattr(varnishd, "COMPILERS", counted)
    front = Front(LOOPBACK, base / "varnish", MEMORY_BYTES)
    with Origin("v1") as one, Origin("v2") as two:
        try:
            front.ensure_running()
            front.set_hosts({HOST: "shop"})
            switch(front, app("shop", one))
            front.set_hosts({HOST: "shop", "later.localhost": "later"})  # an app more is a label more for all others
            os.kill(_manager(base), signal.SIGKILL)
            wait_until(lambda: not front.alive())
            (base / "runs").unlink()
            front.ensure_running()
            assert ask(front.address, HOST).text == "v1 0"
            assert len((base / "runs").read_text().splitlines()) == 1  # only to see that the compiler works
            # and a deploy afterwards is compiled, of course
            switch(front, app("shop", two, release="v2"))
            assert ask(front.address, HOST).text == "v2 0"
        finally:
            front.stop()


def test_two_vcls_with_one_text_are_two_programs(front: Front, base: Path) -> None:
    """The table of hosts returns to what it was when an app comes and goes, while the old one is still in use."""
    for name in ("one", "two"):
        front._control.inline(name, "vcl 4.1;\nbackend default none;\n")
    files = [
        path.stat().st_ino for name in ("one", "two") for path in base.glob(f"varnish/workdir/vcl_{name}.*/vgc.so")
    ]
    assert len(set(files)) == 2


def test_compiled_vcls_of_past_releases_do_not_pile_up(
    front: Front, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitship.front.loaded_vcls.PRUNE_EVERY", 3)

    def kept() -> int:
        return sum(1 for _ in base.glob("varnish/compiled-*/*"))

    with Origin("v1") as origin:
        front.set_hosts({HOST: "shop"})
        before = kept()
        for n in range(6):
            old = front.label("shop", front.load(app("shop", origin, release=f"v{n}")))
            if old is not None:
                front.discard(old)
        assert before <= kept() < before + 3
        assert ask(front.address, HOST).text == "v1 0"


def test_stop_ends_manager_and_worker_and_the_next_start_has_everything(front: Front, base: Path) -> None:
    with Origin("v1") as origin:
        front.set_hosts({HOST: "shop"})
        switch(front, app("shop", origin))
        pids = (_manager(base), _worker(base))
        address = front.address
        front.stop()
        front.stop()
        assert not front.alive()
        for pid in pids:
            assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
        with pytest.raises(FrontError):
            front.apps()
        front.ensure_running()
        assert front.address == address
        assert ask(address, HOST).text == "v1 0"


def test_stop_does_not_end_another_process_that_has_the_pid_by_now(front: Front, base: Path) -> None:
    front.stop()
    with subprocess.Popen(["sleep", "60"]) as other:
        (base / "varnish/varnishd.pid").write_text(str(other.pid))
        front.stop()
        assert other.poll() is None
        assert not front.alive()
        other.kill()


def test_a_worker_that_was_stopped_by_hand_is_started(front: Front) -> None:
    front._control.command("stop")
    assert not front.alive()
    front.ensure_running()
    assert front.alive()


def test_other_settings_need_a_new_varnishd_and_the_apps_come_along(front: Front, base: Path) -> None:
    with Origin("v1") as origin:
        front.set_hosts({HOST: "shop"})
        switch(front, app("shop", origin))
        before = _manager(base)
        front.close()
        larger = Front(LOOPBACK, base / "varnish", 2 * MEMORY_BYTES)
        larger.ensure_running()
        assert _manager(base) != before
        assert ask(larger.address, HOST).text == "v1 0"


def test_a_port_that_is_taken_is_reported_with_who_has_it(base: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        front = Front(Address("127.0.0.1", port), base / "varnish", MEMORY_BYTES)
        name = Path("/proc/self/comm").read_text().strip()
        with pytest.raises(FrontError) as error:
            front.ensure_running()
        assert error.value.message == f"port {port} is in use by {name} (pid {os.getpid()})"
        assert "[http] listen" in error.value.hint
        assert not front.alive()
    try:
        front.ensure_running()  # a second attempt needs nothing else
        assert front.address.port == port
    finally:
        front.stop()


def test_an_address_that_is_not_of_this_machine_is_reported(base: Path) -> None:
    with pytest.raises(FrontError, match=r"cannot listen on 192\.0\.2\.1:8099"):
        Front(Address("192.0.2.1", 8099), base / "varnish", MEMORY_BYTES).ensure_running()


@as_root
def test_a_directory_that_varnishd_cannot_reach_is_named_with_the_fix(base: Path) -> None:
    base.chmod(0o700)
    with pytest.raises(FrontError) as error:
        Front(LOOPBACK, base / "varnish", MEMORY_BYTES).ensure_running()
    assert error.value.hint == f"chmod o+x {base}"


NOBODY = 65534
NET_BIND_SERVICE = 10  # capabilities(7)
# Becomes another user, with no capability but that for ports below 1024 when "port" is asked for, as systemd's
# AmbientCapabilities= and CapabilityBoundingSet= do it.
_AS_NOBODY = f"""
import ctypes, os, sys
import encodings.idna  # loaded late, and a Python in a home directory is closed to the new user
from pathlib import Path
from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front.front import Front

def must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "capability")

libc = ctypes.CDLL(None, use_errno=True)
with_port = "port" in sys.argv
for number in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
    if number != {NET_BIND_SERVICE}:
        must(libc.prctl(24, number, 0, 0, 0))  # PR_CAPBSET_DROP
must(libc.prctl(8, int(with_port), 0, 0, 0))  # PR_SET_KEEPCAPS
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
if with_port:
    bit = 1 << {NET_BIND_SERVICE}
    must(libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)))
    must(libc.prctl(47, 2, {NET_BIND_SERVICE}, 0, 0))  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE
front = Front(Address("127.0.0.1", int(sys.argv[2])), Path(sys.argv[1]), 64 << 20)
try:
    front.ensure_running()
    front.set_hosts({{"a.localhost": "a"}})
    print(front.alive(), front.apps().keys() == {{"a"}})
except FrontError as error:
    print(error.message)
"""


def _run_as_nobody(base: Path, port: int, *more: str) -> str:
    """What gitship's front says when a user who is not root starts it."""
    package, directory = base / "package", base / "nobody"
    if not package.exists():  # the checkout may lie in a directory that is closed to that user
        package.mkdir(mode=0o755)
        for part in ("gitship", "varnish"):
            shutil.copytree(
                Path(__file__).parents[3] / part, package / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        for path in package.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        directory.mkdir()
        os.chown(directory, NOBODY, NOBODY)
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(directory), str(port), *more],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _low_port() -> int:
    """A free one that is for root, or whoever has the capability."""
    for port in range(1023, 0, -1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port below 1024")


@as_root
def test_it_runs_without_root_on_a_high_port_and_says_why_not_on_a_low_one(base: Path) -> None:
    port = _low_port()
    try:
        assert _run_as_nobody(base, 0) == "True True"
        Front(LOOPBACK, base / "nobody", MEMORY_BYTES).stop()
        assert _run_as_nobody(base, port) == f"only root may listen on port {port}"
    finally:
        Front(LOOPBACK, base / "nobody", MEMORY_BYTES).stop()


@as_root
def test_with_the_port_capability_alone_it_runs_on_a_low_port(base: Path) -> None:
    port = _low_port()
    front = Front(Address("127.0.0.1", port), base / "nobody", MEMORY_BYTES)
    try:
        assert _run_as_nobody(base, port, "port") == "True True"
        assert ask(front.address, "a.localhost").status == 503
        pids = front._server._varnishd._daemon.processes()
        assert len(pids) == 2
        for pid in pids:
            status = Path(f"/proc/{pid}/status").read_text()
            assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.MULTILINE)
            assert re.search(r"^CapBnd:\t0000000000000400$", status, re.MULTILINE)
            assert b"\0-j\0none\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
        # and a killed one comes back on it
        os.kill(int((base / "nobody/varnishd.pid").read_text()), signal.SIGKILL)
        assert _run_as_nobody(base, port, "port") == "True True"
        assert ask(front.address, "a.localhost").status == 503
    finally:
        front.stop()


@pytest.mark.parametrize("tools", [("tcc", "ld"), ("gcc",)])
def test_each_compiler_works(base: Path, monkeypatch: pytest.MonkeyPatch, tools: tuple[str, ...]) -> None:
    monkeypatch.setattr(varnishd, "COMPILERS", [c for c in varnishd_parameters.COMPILERS if c[0] == tools])
    front = Front(LOOPBACK, base / "varnish", MEMORY_BYTES)
    try:
        front.ensure_running()
        with Origin("v1") as origin:
            front.set_hosts({HOST: "shop"})
            switch(front, app("shop", origin, probe="/"))
            assert ask(front.address, HOST).text == "v1 0"
    finally:
        front.stop()


def test_a_compiler_that_does_not_work_here_is_passed_over(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (("ld",), "echo nothing > %o")  # "compiles", but cannot be loaded: as tcc alone with glibc 2.41
    monkeypatch.setattr(varnishd, "COMPILERS", (broken, *varnishd_parameters.COMPILERS))
    front = Front(LOOPBACK, base / "varnish", MEMORY_BYTES)
    try:
        front.ensure_running()
        assert front.alive()
    finally:
        front.stop()
    monkeypatch.setattr(varnishd, "COMPILERS", (broken,))
    with pytest.raises(FrontError, match=r"no working compiler for .* \(ld: .*\)"):
        front.ensure_running()


def test_one_damaged_file_costs_one_app_until_it_is_loaded_again(front: Front, base: Path) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        table = {HOST: "shop", "other.localhost": "other"}
        front.set_hosts(table)
        name = switch(front, app("shop", one))
        switch(front, app("other", two))
        front.stop()
        (base / f"varnish/apps/{name}.vcl").write_text("damaged")
        front.ensure_running()
        assert ask(front.address, "other.localhost").text == "v2 0"
        page = ask(front.address, HOST)
        assert (page.status, page.headers["retry-after"]) == (503, "5")
        assert front.labelled("shop") is None
        front.reload([app("shop", one), app("other", two)], table)
        assert ask(front.address, HOST).text == "v1 0"


@pytest.mark.parametrize("damage", ["table", "boot", "launch"])
def test_with_any_other_file_damaged_it_starts_and_takes_the_apps_again(front: Front, base: Path, damage: str) -> None:
    with Origin("v1") as origin:
        front.set_hosts({HOST: "shop"})
        switch(front, app("shop", origin))
        front.stop()
        files = {
            "table": next((base / "varnish/apps").glob("top_*.vcl")),
            "boot": base / "varnish/boot.cli",
            "launch": base / "varnish/varnishd.json",
        }
        files[damage].write_text("damaged")
        front.ensure_running()
        front.reload([app("shop", origin)], {HOST: "shop"})
        assert ask(front.address, HOST).text == "v1 0"


# -- the control connection


def test_a_lost_connection_is_opened_again(front: Front) -> None:
    front.apps()
    assert front._control._socket is not None
    front._control._socket.shutdown(socket.SHUT_RDWR)
    assert front.apps() == {}


def test_without_varnish_every_question_is_answered_with_an_error(front: Front) -> None:
    front.stop()
    with Origin("v1") as origin:
        for question in (front.apps, lambda: front.load(app("shop", origin)), lambda: front.set_hosts({HOST: "shop"})):
            with pytest.raises(FrontError, match="cannot reach Varnish's control port") as error:
                question()
            assert error.value.hint


def test_a_silent_varnish_does_not_hold_gitship_up_for_ever(front: Front, base: Path) -> None:
    os.kill(_manager(base), signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(FrontError, match=r"did not answer within 0\.3 s"):
            front._control.ask("status", timeout_s=0.3)
        assert time.monotonic() - began < COMMAND_TIMEOUT_S  # which it would be without one of its own
    finally:
        os.kill(_manager(base), signal.SIGCONT)
    assert "active" in front._control.ask("vcl.list").text  # not the late answer to the question before


def test_a_list_that_was_cut_off_is_asked_for_again(front: Front) -> None:
    table = {f"{n}.localhost": f"a-{n}" for n in range(8)}
    front.set_hosts(table)
    front._control.command("param.set", "cli_limit", "512b")
    assert front._control.ask("vcl.list -j").status == 201
    assert set(front.apps()) == set(table.values())
