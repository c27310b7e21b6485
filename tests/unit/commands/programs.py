"""Programs that echo: what the commands hand over comes back on the streams."""

from __future__ import annotations

from collections.abc import Iterator

from gitship.deploy.attending import Client, ClientLeft
from gitship.deploy.programs import Command, OneOff
from gitship.errors import NotFound
from gitship.model import Identity


class EchoPrograms:
    """``code`` is every program's exit code; ``leaves`` makes the client go away before the end."""

    def __init__(self) -> None:
        self.code = 0
        self.leaves = False
        self.ran: list[tuple[str, Command]] = []
        self.entered: list[tuple[str, str | None, int | None, Command]] = []
        self.there: list[OneOff] = []
        self.printed: dict[str, list[str]] = {}

    def run(self, app: str, command: Command, client: Client, by: Identity) -> int:
        self.ran.append((app, command))
        return self._talk(client)

    def run_detached(self, app: str, command: Command, by: Identity) -> str:
        self.ran.append((app, command))
        return f"{app}.run.1.v1"

    def one_offs(self, app: str) -> list[OneOff]:
        return self.there

    def stop(self, app: str, name: str) -> str:
        if name not in [one.name for one in self.there]:
            raise NotFound(f"{app} has no one-off container '{name}'", f"see `run:list {app}`")
        return name

    def output(self, app: str, name: str) -> Iterator[str]:
        return iter(self.printed[name])

    def enter(self, app: str, process: str | None, number: int | None, command: Command, client: Client) -> int:
        self.entered.append((app, process, number, command))
        return self._talk(client)

    def _talk(self, client: Client) -> int:
        if self.leaves:
            raise ClientLeft
        while data := client.stdin.read(4):
            client.stdout.write(data)
        client.stderr.write(b"done\n")
        return self.code
