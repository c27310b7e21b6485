"""What an engine leaves on a machine's network when it ends: docker0, its chains, its rules; and taking that away."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

TABLES = ("filter", "nat")
DOCKERS = ("DOCKER", "docker0", "br-")  # in a rule of Docker's there is one of these, or a network of its own


def links() -> frozenset[str]:
    """Names of the interfaces; /sys may show those of another network than this process's."""
    shown = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, timeout=10, check=True).stdout
    return frozenset(line.split(": ")[1].partition("@")[0] for line in shown.splitlines())


@dataclass(frozen=True, slots=True)
class MachineNet:
    """Interfaces, and per table the lines of `iptables -S`: policies, chains, rules."""

    links: frozenset[str]
    tables: dict[str, tuple[str, ...]]

    @classmethod
    def now(cls) -> MachineNet:
        return cls(links(), {table: tuple(_iptables(table, "-S")) for table in TABLES})

    @property
    def has_docker(self) -> bool:
        """An engine is at work on this network: what came since may be that one's."""
        return "docker0" in self.links or any(line.startswith("-N DOCKER") for line in self.tables["filter"])

    def restore(self) -> None:
        """Takes away what is Docker's and was not there: others may have changed the rest meanwhile."""
        after = MachineNet.now()
        for table in TABLES:
            before = self.tables[table]
            made = [line.split() for line in after.tables[table] if line not in before]
            chains = [words[1] for words in made if words[0] == "-N" and words[1].startswith("DOCKER")]
            for words in made:
                if words[0] == "-A" and (_of_docker(words) or set(words) & set(chains)):
                    _iptables(table, "-D", *words[1:])
            for chain in chains:
                _iptables(table, "-F", chain)
            for chain in chains:
                _iptables(table, "-X", chain)
            for words in made:
                if words[0] == "-P" and words[1] == "FORWARD":
                    policy = next((line.split()[2] for line in before if line.startswith("-P FORWARD ")), "ACCEPT")
                    _iptables(table, "-P", "FORWARD", policy)
        for link in after.links - self.links:
            if link == "docker0" or link.startswith("br-"):
                subprocess.run(["ip", "link", "del", link], capture_output=True, timeout=10, check=False)


def _of_docker(words: list[str]) -> bool:
    return any(word.startswith(DOCKERS) for word in words[2:])


def _iptables(table: str, *words: str) -> list[str]:
    """What it prints; nothing where there is no iptables, or no such chain any more."""
    try:
        done = subprocess.run(
            ["iptables", "-w", "10", "-t", table, *words], capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError:
        return []
    return done.stdout.splitlines()
