"""The varnishd process: a daemon that outlives gitship, started, found again, stopped."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import signal
import tempfile
from pathlib import Path

from gitship import varnish_memory
from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front import compiled_vcls, daemon_process
from gitship.front.daemon_process import Daemonized
from gitship.front.supervised import Supervised
from gitship.front.varnishd_parameters import COMPILERS, PARAMETERS

START_TIMEOUT_S = 300.0  # the table of hosts and some apps are compiled first: 1 s with tcc, 6 s with gcc
COMPILER_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
ORPHAN_TIMEOUT_S = 5.0
HTTPS = "https"  # the listener's name; VCL reads it as local.socket
PROXY_USER = "haproxy"  # of Debian's package; the group of the same name
INSTALL = "apt-get install varnish"
# Its own users are in a group of its own; the others of the machine have no business with visitors' requests.
UMASK = 0o027
BOOT = "boot.cli"  # all that is live at any moment
_CHECK_VCL = "vcl 4.1;\nbackend default none;\n"


class AdminPortTaken(FrontError):
    """Somebody took the control port between choosing it and using it."""


class BootRefused(FrontError):
    """varnishd does not accept what its start file says."""


class Varnishd:
    """varnishd with its files in ``directory``: ``workdir/``, ``varnishd.pid``, ``secret``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.workdir = directory / "workdir"
        self.pid_file = directory / "varnishd.pid"
        self.secret = directory / "secret"
        self._daemon = Daemonized("varnishd", self.pid_file, [b"-n", os.fsencode(self.workdir)])
        self.unit = Supervised("varnishd", directory)

    def pid(self) -> int | None:
        """The manager's pid, or None when it does not run (a pid that another process has by now does not count)."""
        return self._daemon.pid()

    def start(self, http: Address, admin: Address, memory_bytes: int, tls: str, boot: Path) -> None:
        """Starts varnishd and waits until it serves what the commands in ``boot`` say. It must not be running.

        Raises FrontError (no varnishd, no compiler, port taken and by whom, ...), AdminPortTaken, BootRefused.
        """
        program = _program()
        check_reachable(self.directory)
        self.stop()  # a killed manager's worker ends by itself, within milliseconds; until then it holds the port
        if self.workdir.exists():
            shutil.rmtree(self.workdir)  # compiled VCLs of the varnishd before; it never looks at them again
        arguments = [program, "-n", str(self.workdir), "-a", f"http={_listen(http)}", "-T", _listen(admin)]
        arguments += ["-a", f"{HTTPS}={tls}"] if tls else []
        arguments += ["-S", str(self.secret), "-P", str(self.pid_file), "-f", "", "-I", str(boot)]
        arguments += ["-s", f"default,{memory_bytes}"]
        if os.geteuid() != 0:
            arguments += ["-j", "none"]
        compiler = compiled_vcls.keeping(self._compiler(program), self.directory)
        sized = varnish_memory.front_parameters(varnish_memory.memory_bytes())
        for name, value in {**PARAMETERS, **sized, "cc_command": compiler}.items():
            arguments += ["-p", f"{name}={value}"]
        try:
            command = daemon_process.with_open_files(arguments)
            again = [str(self.directory / BOOT) if word == str(boot) else word for word in command]  # what is live then
            code, said = self.unit.start(command, START_TIMEOUT_S, UMASK, INSTALL, again=again)
        except FrontError:
            self.stop()
            raise
        if code != 0:
            raise _start_error(said, http)

    def stop(self) -> None:
        """Ends varnishd and waits for it, first by SIGTERM, then by SIGKILL. Nothing happens when it does not run."""
        self.unit.withdraw()
        pid = self.pid()
        if pid is not None:
            self._daemon.kill(pid, signal.SIGTERM)
        if not self._daemon.gone(STOP_TIMEOUT_S if pid else ORPHAN_TIMEOUT_S):
            for left in self._daemon.processes():  # the worker has its manager's command line
                self._daemon.kill(left, signal.SIGKILL)
            self._daemon.gone(STOP_TIMEOUT_S)
        self.pid_file.unlink(missing_ok=True)

    def compiler(self) -> str:
        """The first of COMPILERS with which this varnishd, on this system, can compile and load a VCL.

        Raises FrontError when there is none, or no varnishd.
        """
        return self._compiler(_program())

    def _compiler(self, program: str) -> str:
        failures = []
        beside = self.directory if self.directory.is_dir() else None  # `doctor` before `init`
        with tempfile.TemporaryDirectory(prefix="compiler-", dir=beside) as place:
            Path(place).chmod(0o755)  # the compiler runs as user varnish
            vcl = Path(place, "check.vcl")
            vcl.write_text(_CHECK_VCL)
            vcl.chmod(0o644)
            for tools, command in COMPILERS:
                if any(shutil.which(t) is None for t in tools):
                    continue
                check = [program, "-C", "-n", f"{place}/workdir", "-f", str(vcl), "-p", f"cc_command={command}"]
                code, said = _run(check, COMPILER_TIMEOUT_S)
                if code == 0:
                    return command
                failures.append(f"{tools[0]}: {_last_line(said)}")
        raise FrontError(
            f"no working compiler for Varnish's configuration ({'; '.join(failures) or 'none found'})",
            "apt-get install tcc binutils gcc libc6-dev",
        )


def _program() -> str:
    return daemon_process.find("varnishd", INSTALL)


def version() -> tuple[int, int]:
    """Raises FrontError when it is not installed, or doesn't say."""
    _, said = _run([_program(), "-V"], COMPILER_TIMEOUT_S)
    found = re.search(r"\(varnish-(\d+)\.(\d+)", said)
    if found is None:
        raise FrontError("varnishd does not report its version", "run `varnishd -V`")
    return int(found[1]), int(found[2])


def check_reachable(directory: Path) -> None:
    """As root, varnishd reads its files as user varnish. Raises FrontError naming the directory that keeps it out."""
    if os.geteuid() != 0:
        return
    for place in (directory, *directory.parents):
        if not place.stat().st_mode & 0o001:
            raise FrontError(f"varnishd cannot access its files: {place} is not accessible", f"chmod o+x {place}")


def reader_group() -> int | None:
    """The group in which a varnishd started by root reads its files; None when it keeps the user it has."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("varnish").pw_gid
    except KeyError:
        return None


def tls_socket(directory: Path) -> Path:
    """Where the proxy that speaks TLS hands decrypted connections over, with who the visitor is in front."""
    return directory / "https.sock"


def tls_listener(directory: Path) -> str:
    """The listener as varnishd's -a wants it. Only the proxy may connect: who does can claim any address."""
    allowed = "mode=600"
    if os.geteuid() == 0 and PROXY_USER in {group.gr_name for group in grp.getgrall()}:
        allowed = f"group={PROXY_USER},mode=660"
    return f"{tls_socket(directory)},PROXY,{allowed}"


def _run(arguments: list[str], timeout_s: float) -> tuple[int, str]:
    return daemon_process.run("varnishd", arguments, timeout_s, UMASK, INSTALL)


def _start_error(said: str, http: Address) -> FrontError:
    if "-T " in said and "could not be listened on" in said:
        return AdminPortTaken("Varnish's control port was taken by another program", "start again")
    if "Could not get socket" in said:
        if "Permission denied" in said:
            return daemon_process.not_allowed(http.port, "http")
        if "in use" in said:
            return daemon_process.in_use(http.port, "http")
        return FrontError(f"varnishd cannot listen on {http}: {_error_line(said)}", "choose another [http] listen")
    if "-I file" in said:
        return BootRefused(f"varnishd refused its start file: {_error_line(said)}", "see the server's log")
    return FrontError(f"varnishd did not start: {_error_line(said)}", "see the server's log")


def _error_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith("Error:")]
    return lines[-1].removeprefix("Error:").strip() if lines else _last_line(said)


def _last_line(said: str) -> str:
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "no output")


def _listen(address: Address) -> str:
    return f"[{address.host}]:{address.port}" if ":" in address.host else str(address)
