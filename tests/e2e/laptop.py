"""A reader's machine: README's commands as they stand there, port 2222 and 80 of localhost being one test server's.

The stock ssh, git, ssh-keyscan and curl; sudo is nobody else, systemctl starts and stops the test server. ssh is led to
the server's port by a ProxyCommand, so that host keys are known under the names in README; curl by its own
configuration.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.apps import clean_env
from tests.e2e.harness import Server

PROXY = """import array, socket, sys
server = socket.create_connection(("127.0.0.1", {port}))
fd = array.array("i", [server.fileno()])
socket.socket(fileno=1).sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fd)])
"""
CONFIG = """Host *
  ProxyCommand {python} {proxy}
  ProxyUseFdpass yes
  UserKnownHostsFile {home}/.ssh/known_hosts
  StrictHostKeyChecking accept-new
  IdentityAgent none
  BatchMode yes
"""
SSH = """#!/bin/bash
[ "$1" = -i ] || set -- -o IdentityFile={key} "$@"
exec {ssh} -F {config} "$@"
"""
KEYSCAN = """#!/bin/bash
[ "$*" = "-p 2222 localhost" ] || exit 9
{keyscan} -p {port} 127.0.0.1 | sed 's/^\\[127.0.0.1\\]:{port}/[localhost]:2222/'
"""
SYSTEMCTL = """#!/bin/bash
[ "$2" = gitship ] || exit 9
echo "$1" > {asked}
read -r code < {answered}
exit "$code"
"""


def make(home: Path, server: Server) -> dict[str, str]:
    """The environment of a shell in that home, whose key is the server's admin."""
    programs = home / ".programs"
    (home / ".ssh").mkdir(parents=True)
    programs.mkdir()
    proxy, config = programs / "proxy.py", home / ".ssh/config"
    proxy.write_text(PROXY.format(port=server.ssh_port))
    config.write_text(CONFIG.format(python=sys.executable, proxy=proxy, home=home))
    _program(programs / "ssh", SSH.format(ssh=shutil.which("ssh"), config=config, key=server.key))
    _program(programs / "ssh-keyscan", KEYSCAN.format(keyscan=shutil.which("ssh-keyscan"), port=server.ssh_port))
    gitship = f'#!/bin/bash\nexec {sys.executable} -m gitship.cli "$@"\n'
    _program(programs / "gitship", gitship)
    for pipe in (programs / "asked", programs / "answered"):
        os.mkfifo(pipe)
    _program(programs / "systemctl", SYSTEMCTL.format(asked=programs / "asked", answered=programs / "answered"))
    _program(programs / "sudo", '#!/bin/bash\nexec "$@"\n')
    (home / ".curlrc").write_text(f'connect-to = "::127.0.0.1:{server.http_port}"\nfail\n')
    root = str(Path(__file__).parents[2])
    return {
        **clean_env(GIT_SSH_VARIANT="ssh", HOME=str(home), PYTHONPATH=root, GITSHIP_CONFIG=str(server.config)),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }


@contextmanager
def unit(home: Path, server: Server) -> Iterator[None]:
    """Does what `systemctl start|stop gitship` asks for in that home, for as long as this lasts."""
    pipes = [os.open(home / ".programs" / name, os.O_RDWR) for name in ("asked", "answered")]  # both ends: never blocks

    def serve() -> None:
        with open(pipes[0], closefd=False) as asked:
            while (verb := asked.readline().strip()) in ("start", "stop"):
                try:
                    code = 0
                    if verb == "stop":
                        code = server.stop()
                    else:
                        server.start()
                except AssertionError:
                    code = 1
                os.write(pipes[1], f"{code}\n".encode())

    thread = threading.Thread(target=serve, name="systemctl")
    thread.start()
    try:
        yield
    finally:
        os.write(pipes[0], b"end\n")
        thread.join()
        for pipe in pipes:
            os.close(pipe)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
