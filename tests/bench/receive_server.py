"""`python -m tests.bench.receive_server PORT DIRECTORY PUBKEY REPOSITORIES`: gitship's receive-pack without a deploy.

SSH front door, pack ingestion, quarantine, connectivity and ref move are gitship's own; only the host that would deploy
is the one that just moves the refs.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from gitship.config_values import Address
from gitship.console.session import Session
from gitship.git.ingest import choose
from gitship.git.push_limits import ReceiveLimits
from gitship.git.receive_pack import receive_pack
from gitship.git.repository import Repositories
from gitship.model import Identity, Role
from gitship.public_key import parse
from gitship.ssh.server import SshServer
from tests.unit.git.move_refs import MoveRefs


def main() -> None:
    port, directory, key, root = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    fingerprint = parse(key.read_text()).fingerprint
    repositories = Repositories(root, None)

    def identify(offered: str, line: str, address: str) -> Identity | None:
        return Identity("bench", Role.ADMIN, offered, address) if offered == fingerprint else None

    def run(session: Session) -> int:
        repository = repositories.create(session.argv[1].strip("/"))
        limits = ReceiveLimits(max_pack_bytes=1 << 30)
        return receive_pack(
            session.stdin, session.stdout, repository, MoveRefs(repository), limits=limits, ingest=choose()
        )

    server = SshServer(Address("127.0.0.1", port), directory / "gitship_host_ed25519", identify, run)
    server.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    ended.wait()
    server.stop(1.0)


if __name__ == "__main__":
    main()
