"""Programs run by service units for gitship, through `gitship attend`.

So varnishd and haproxy live in units of their own, each in its sandbox, and the unit alone may listen below 1024. When
such a program ends by itself, the unit starts it again from the order that is still there, also at boot and while
gitship is down. Without units gitship starts the programs itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from gitship.errors import FrontError
from gitship.front import daemon_process
from gitship.front.atomic_file import write_atomically

UNITS = "GITSHIP_UNITS"  # set in gitship.service: the programs have units, gitship must not start them itself
UNIT_S = 30.0  # at boot the unit may come a moment later
AGAIN_S = 1.0
ORDERS_S = 0.5  # how often is looked for another order while the program runs
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class StartOrder:
    """What to start, and what when that has ended by itself; times in seconds."""

    id: str
    arguments: list[str]
    again: list[str]
    timeout_s: float
    umask: int


class Supervised:
    """The program ``name`` with its order, its answer and the unit's lock in ``directory``."""

    def __init__(self, name: str, directory: Path) -> None:
        self._name = name
        self._order = directory / "unit-order.json"
        self._answer = directory / "unit-answer.json"
        self._lock = directory / "unit.lock"

    # -- gitship's side

    def start(
        self, arguments: list[str], timeout_s: float, umask: int, hint: str, *, again: list[str] | None = None
    ) -> tuple[int, str]:
        """As ``daemon_process.run``, by the unit where there is one; that starts it ``again`` so. Raises FrontError."""
        if not os.environ.get(UNITS):
            return daemon_process.run(self._name, arguments, timeout_s, umask, hint)
        order = StartOrder(secrets.token_hex(8), arguments, again or arguments, timeout_s, umask)
        self._until(self._attended, UNIT_S, "no unit waits to start it")
        write_atomically(self._order, json.dumps(asdict(order)) + "\n")
        self._until(lambda: self._answered(order) is not None, timeout_s + UNIT_S, "its unit does not answer")
        return self._answered(order) or (1, "")

    def withdraw(self) -> None:
        """Nothing is started any more; for whoever ends the program, before it does."""
        self._order.unlink(missing_ok=True)

    def _attended(self) -> bool:
        """True when a unit's process holds the lock."""
        try:
            with self._locked(fcntl.LOCK_SH | fcntl.LOCK_NB):
                return False
        except BlockingIOError:
            return True

    def _answered(self, order: StartOrder) -> tuple[int, str] | None:
        try:
            answer = json.loads(self._answer.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return (int(answer["code"]), str(answer["said"])) if answer["id"] == order.id else None

    def _until(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() >= deadline:
                raise FrontError(f"{self._name} did not start: {what}", "see: systemctl status 'gitship-*'")
            time.sleep(_POLL_S)

    # -- the unit's side

    def attend(self, pid: Callable[[], int | None]) -> int:
        """Carries out orders until a program that was started so has ended by itself: 1, for the unit to begin anew.

        A second unit's process waits here until the first has ended.
        """
        with self._locked(fcntl.LOCK_EX):
            while True:
                order = self._read()
                if order is None:
                    time.sleep(_POLL_S)
                elif self._carry_out(order):
                    self._wait_for_end(pid(), order)
                    if self._read() == order:  # nobody wanted it to end
                        return 1

    def _carry_out(self, order: StartOrder) -> bool:
        before = self._answered(order) is not None
        try:
            arguments = order.again if before else order.arguments
            code, said = daemon_process.run(self._name, arguments, order.timeout_s, order.umask, "")
        except FrontError as error:
            code, said = 1, error.message
        if code and before:  # its port may not be free yet
            print(f"{self._name} does not restart: {said}", flush=True)
            time.sleep(AGAIN_S)
            return False
        if code and self._read() == order:
            self.withdraw()  # gitship hears why, and orders again
        write_atomically(self._answer, json.dumps({"id": order.id, "code": code, "said": said}) + "\n")
        return code == 0

    def _wait_for_end(self, pid: int | None, order: StartOrder) -> None:
        """Of the program, or of the order: another one may be to start what takes over from it."""
        try:
            process = os.pidfd_open(pid) if pid is not None else None
        except ProcessLookupError:
            return
        if process is not None:
            with closing(os.fdopen(process)):
                while not select.select([process], [], [], ORDERS_S)[0] and self._read() == order:
                    pass

    def _read(self) -> StartOrder | None:
        try:
            return StartOrder(**json.loads(self._order.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @contextmanager
    def _locked(self, operation: int) -> Iterator[None]:
        """Raises BlockingIOError when it is another's and ``operation`` does not wait."""
        file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, operation)
            yield
        finally:
            os.close(file)
