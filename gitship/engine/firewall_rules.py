"""iptables rules that block apps and builds from metadata services and private ports. Pure.

Docker itself keeps the bridges of two apps apart. What it leaves open from inside a container: the link-local range,
where clouds hand out the machine's own credentials (169.254.169.254), and each port that listens on an address of the
machine, such as gitship's front door for pushes. Ports that visitors use stay open: an app may call another by its URL.

And what the engine itself fetches for a Dockerfile (`ADD http://...`), from the machine's own network: told from all
else by the engine's control group. Its look-ups of names go on, which some clouds answer in the link-local range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

LINK_LOCAL = "169.254.0.0/16"  # RFC 3927; IPv6 has no route in a network that gitship makes
INPUT, OUTPUT, FORWARD, DOCKER_USER = "INPUT", "OUTPUT", "FORWARD", "DOCKER-USER"
NAMES = 53  # DNS


@dataclass(frozen=True, slots=True)
class FirewallRules:
    """Of the server ``server_id``: containers in ``pool`` and behind ``bridge`` do not reach ``ports`` of the machine.

    ``bridge`` is where RUN steps of builds are, with whatever else runs in Docker's default network; "" for none.
    ``engine`` is the control group of the engine itself, "" for none.
    """

    server_id: str
    pool: IPv4Network
    bridge: str
    ports: Sequence[int]
    engine: str = ""

    @property
    def to_machine(self) -> str:
        """The chain for what goes to the machine itself; iptables takes 28 characters."""
        return f"GITSHIP-{self.server_id[:12]}-IN"

    @property
    def through(self) -> str:
        """The chain for what is passed on."""
        return f"GITSHIP-{self.server_id[:12]}-FWD"

    def text(self) -> str:
        """For ``iptables-restore --noflush``, which makes both chains anew in one step."""
        block = f"-d {LINK_LOCAL} -j REJECT"
        lines = ["*filter", f":{self.to_machine} - [0:0]", f":{self.through} - [0:0]"]
        lines += [f"-A {self.to_machine} {block}", f"-A {self.through} {block}"]
        # only what begins a connection: answers to gitship's own checks, from any port, come in as well
        lines += [
            f"-A {self.to_machine} -p tcp --syn --dport {port} -j REJECT --reject-with tcp-reset"
            for port in sorted(set(self.ports))
        ]
        return "\n".join([*lines, "COMMIT", ""])

    @property
    def outgoing(self) -> str:
        """The chain for what the machine itself sends."""
        return f"GITSHIP-{self.server_id[:12]}-OUT"

    def engine_text(self) -> str:
        """As ``text``; apart from it, since a kernel may not know control groups. Made anew it finds a new group."""
        of_engine = f"-A {self.outgoing} -m cgroup --path {self.engine} -p tcp"
        lines = ["*filter", f":{self.outgoing} - [0:0]"]
        lines += [f"{of_engine} -d {LINK_LOCAL} ! --dport {NAMES} -j REJECT --reject-with tcp-reset"]
        lines += [
            f"{of_engine} -o lo --syn --dport {port} -j REJECT --reject-with tcp-reset"
            for port in sorted(set(self.ports))
        ]
        return "\n".join([*lines, "COMMIT", ""])

    def engine_jumps(self) -> list[tuple[str, ...]]:
        """No packet of a connection that is there is asked for its group."""
        ways = (("-d", LINK_LOCAL, "-p", "tcp", "--syn"), ("-o", "lo", "-p", "tcp", "--syn"))
        return [(OUTPUT, *way, "-j", self.outgoing) for way in ways]

    def jumps(self, passing: str) -> list[tuple[str, ...]]:
        """What leads into the chains: each a chain and a rule; ``passing`` is DOCKER_USER or FORWARD."""
        sources = [("-s", str(self.pool))] + ([("-i", self.bridge)] if self.bridge else [])
        ways = ((INPUT, self.to_machine), (passing, self.through))
        return [(chain, *source, "-j", target) for chain, target in ways for source in sources]
