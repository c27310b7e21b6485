"""Commands on a server with 100 apps: the whole `ssh` call against `ssh host true` on OpenSSH, in the same run.

Both sides are asked in turn by the same client with the same key, and no connection is kept for the next call.
`python -m tests.bench.commands [--runs N]`; the figure to hold is a median of pairs of at most 1.5.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gitship.store import Store
from tests.bench.receive import openssh, sshd_program
from tests.bench.table import paired_ratio, show, spread
from tests.e2e import apps, dockerd
from tests.e2e.apps import clean_env
from tests.e2e.harness import Server, running

APPS = 100
VARIABLES = 20
TARGET = "1.5"
COMMANDS = (("apps:list",), ("config:show", "app-050"), ("ps:list", "live"), ("help",))


def timed(command: Sequence[str]) -> float:
    """Seconds of one call, which must end well."""
    began = time.monotonic()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=clean_env(), check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")
    return time.monotonic() - began


def register(server: Server) -> None:
    """Apps with config and domains straight into the store: what is measured is asking, not making them."""
    store = Store(server.data_dir / "gitship.db")
    for number in range(APPS):
        app = store.create_app(f"app-{number:03}")
        store.replace_config(app.id, {f"NAME_{n}": f"value {n}" for n in range(VARIABLES)})
        store.add_domain(app.id, f"www{number}.example.com")
    store.close()


def compare(runs: int) -> None:
    """Prints the table; each pair of runs is taken in turn."""
    sshd_program()
    with tempfile.TemporaryDirectory(prefix="gs-commands-") as name, dockerd.engine() as host:
        directory = Path(name)
        directory.chmod(0o711)  # started by root, varnishd goes on as a user of its own
        _compare(directory, host, runs)


def _compare(directory: Path, host: str, runs: int) -> None:
    with running(directory / "server", host, lambda: False) as server:
        assert server.stop() == 0
        register(server)
        server.start()
        server.push_ok(apps.tiny(directory / "live", apps.build_tiny(directory / "tiny")), "live")
        assert server.ssh("ps:scale", "live", "web=4").returncode == 0
        rows = []
        with openssh(directory, server.key) as port:
            ours_client = [*server.ssh_command(), "-o", "KexAlgorithms=curve25519-sha256"]
            theirs = [word if word != str(server.ssh_port) else str(port) for word in ours_client]
            for words in COMMANDS:
                ours_s, theirs_s = [], []
                for run in range(runs + 1):
                    their_time = timed([*theirs, "root@127.0.0.1", "true"])
                    our_time = timed([*ours_client, "deploy@127.0.0.1", *words])
                    if run:  # the first warms caches on both sides
                        theirs_s.append(their_time * 1000)
                        ours_s.append(our_time * 1000)
                ratio = f"{paired_ratio(ours_s, theirs_s):.2f}"
                rows.append([" ".join(words), spread(ours_s), spread(theirs_s), ratio, TARGET, str(runs)])
        header = ["command", "gitship ms", "sshd true ms", "ratio", "target", "runs"]
        show(f"Commands with {APPS} apps: median (least..most) milliseconds and paired ratio", header, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    compare(parser.parse_args().runs)
