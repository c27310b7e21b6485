"""Programs that echo: what the commands hand over comes back on the streams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from gitship.containers.attach_client import AttachedClient, ClientLeft
from gitship.errors import NotFound
from gitship.model import App, CronEntry, CronOutcome, CronRun, Identity
from gitship.oneoff.programs import OneOff, ProgramCommand
from gitship.store import Store


class EchoPrograms:
    """``code`` is every program's exit code; ``leaves`` makes the client go away before the end."""

    def __init__(self) -> None:
        self.code = 0
        self.leaves = False
        self.ran: list[tuple[str, ProgramCommand]] = []
        self.entered: list[tuple[str, str | None, int | None, ProgramCommand]] = []
        self.there: list[OneOff] = []
        self.printed: dict[str, list[str]] = {}

    def run(self, app: App, command: ProgramCommand, client: AttachedClient, by: Identity) -> int:
        self.ran.append((app.name, command))
        return self._talk(client)

    def run_detached(self, app: App, command: ProgramCommand, by: Identity) -> str:
        self.ran.append((app.name, command))
        return f"{app.name}.run.1.v1"

    def one_offs(self, app: App) -> list[OneOff]:
        return self.there

    def stop(self, app: App, name: str, by: Identity) -> str:
        if name not in [one.name for one in self.there]:
            raise NotFound(f"{app.name} has no one-off container '{name}'", f"see `run:list {app.name}`")
        return name

    def output(self, app: App, name: str) -> Iterator[str]:
        return iter(self.printed[name])

    def enter(
        self,
        app: App,
        process: str | None,
        number: int | None,
        command: ProgramCommand,
        client: AttachedClient,
        by: Identity,
    ) -> int:
        self.entered.append((app.name, process, number, command))
        return self._talk(client)

    def _talk(self, client: AttachedClient) -> int:
        if self.leaves:
            raise ClientLeft
        while data := client.stdin.read(4):
            client.stdout.write(data)
        client.stderr.write(b"done\n")
        return self.code


class EchoRuns:
    """Cron runs that print their command and end at once with ``code``, or in the way of ``outcome``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.code = 0
        self.outcome: CronOutcome | None = None
        self.printed: dict[int, list[str]] = {}

    def begin_now(self, app: App, entry: CronEntry, by: Identity) -> CronRun:
        run = self._store.add_cron_run(app.id, entry.name, CronOutcome.RUNNING, by=by.key_name)
        assert run is not None
        self.printed[run.id] = [" ".join(entry.command), "\x1b[2Jcleared"]
        begun = self._store.begin_cron_run(run, f"{app.name}.run.cron-{run.number}.v1")
        assert begun is not None
        return begun

    def follow(self, run: CronRun, write: Callable[[str], None], gone: threading.Event) -> CronRun:
        for line in self.printed[run.id]:
            write(line)
        outcome = self.outcome or (CronOutcome.FAILED if self.code else CronOutcome.OK)
        if outcome.ended:
            code = None if outcome is CronOutcome.REPLACED else self.code
            reason = f"exit code {self.code}" if self.code else str(outcome)
            self._store.end_cron_run(run, outcome, exit_code=code, reason=reason)
        return self._store.cron_run(run.id)

    def output(self, run: CronRun) -> Iterator[str]:
        return iter(self.printed[run.id])
