"""Journal of a running deploy: state and stage times in the store, lines in its log and on the bus.

The log file is the truth: whoever follows a deploy reads the file, and the bus only says when to look again.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from gitship import log_context
from gitship.deploy import output
from gitship.events import Bus, Event
from gitship.logs import directories
from gitship.model import App, Deploy, DeployState, StageTime
from gitship.store import Store

log = logging.getLogger("gitship.deploy")
HEADLINE_AFTER_S = 1.0  # a stage shorter than this prints one line, with its time
SHORTEST_LOOK_S = 0.02
SILENCE_S = 10.0  # after which a stage says what it is at


def log_file(logs: Path, app_id: int, deploy_id: int) -> Path:
    """Where a deploy's output is kept."""
    return directories.directory(logs, app_id) / f"{deploy_id}.log"


class DeployJournal:
    """Written by the thread that runs the deploy (headlines also by a timer); read by anyone through file and bus."""

    def __init__(self, deploy: Deploy, app: App, store: Store, bus: Bus, logs: Path) -> None:
        self.deploy = deploy
        self.began = time.monotonic()
        self._app = app
        self._store = store
        self._bus = bus
        self.told_at = time.monotonic()  # the last line that a push client sees
        self.path = log_file(logs, app.id, deploy.id)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._lossy = False
        self._record = threading.RLock()
        self.answered = threading.Event()  # visitors have the new release, or the deploy ended otherwise
        self.ended = threading.Event()

    def line(self, text: str) -> None:
        """One line of output, in the file before anybody is told of it. What an app says cannot make it two."""
        text = text.rstrip("\n").replace("\n", " ")
        if not output.is_raw(text):
            self.told_at = time.monotonic()
        with self._lock:
            if not self._file.closed:
                try:
                    self._file.write(text + "\n")
                    self._file.flush()
                except OSError as error:  # a full disk costs the line, not the deploy
                    if not self._lossy:
                        log.warning("%s: lines are lost: %s", self.path, error.strerror)
                    self._lossy = True
            else:  # what becomes known after its end belongs to it, too
                with suppress(OSError), self.path.open("a", encoding="utf-8") as file:
                    file.write(text + "\n")
        self._bus.publish(Event("deploy.line", self._app.name, self.deploy.id, text))

    def detail(self, text: str, seconds: float | None = None) -> None:
        self.line(output.detail(text, seconds))

    def raw(self, text: str) -> None:
        self.line(output.raw(text))

    def remark(self, text: str, hint: str) -> None:
        """About a deploy that is live: what has become of it since. Safe beside its drain."""
        self.update(reason=text, hint=hint)
        self.line(f" !     {text}")
        self.line(f" !     {hint}")
        self._bus.publish(Event("deploy.state", self._app.name, self.deploy.id, str(self.deploy.state)))

    def update(self, **changes: object) -> None:
        """Changes the record, in the store first."""
        with self._record:
            self.deploy = dataclasses.replace(self.deploy, **changes)  # type: ignore[arg-type]
            self._store.update_deploy(self.deploy)
        if "state" in changes:
            self._log()
            self._bus.publish(Event("deploy.state", self._app.name, self.deploy.id, str(self.deploy.state)))

    def traced(self) -> AbstractContextManager[None]:
        """The thread works for this deploy."""
        return log_context.traced(app=self._app.name, deploy=self.deploy.id, request=self.deploy.request)

    def _log(self) -> None:
        deploy = self.deploy
        with self.traced():
            if deploy.state is DeployState.FAILED:
                log.warning("%s failed in %s: %s", deploy.kind, deploy.failed_stage or "no stage", deploy.reason)
            else:
                log.info("%s %s%s", deploy.kind, deploy.state, f": {deploy.reason}" if deploy.reason else "")

    @contextmanager
    def stage(self, state: DeployState, text: str = "", began: float | None = None) -> Iterator[StageHeading]:
        """A stage of the pipeline: recorded with its time; its line is printed when it ends, or after a second.

        ``began`` (monotonic seconds) is for a stage whose first steps were taken already.
        """
        self.update(state=state)
        stage = StageHeading(self, text, began)
        try:
            yield stage
        except BaseException:
            stage.close(None)
            raise
        finally:
            seconds = time.monotonic() - stage.began
            times = StageTime(state, time.time() - seconds, seconds)
            with self._record:
                self.deploy = dataclasses.replace(self.deploy, stages=(*self.deploy.stages, times))
        stage.close(seconds)

    def answer(self) -> None:
        """The push can be told: nothing that comes later changes the result."""
        self.answered.set()
        self._bus.publish(Event("deploy.state", self._app.name, self.deploy.id, str(self.deploy.state)))

    def finish(self, state: DeployState, stage: DeployState, started_at: float, seconds: float) -> None:
        """The deploy's last state, with the time of the stage that ran after the answer."""
        times = StageTime(stage, started_at, seconds)
        self.update(state=state, finished_at=time.time(), stages=(*self.deploy.stages, times))
        self.close()

    def close(self) -> None:
        with self._lock, suppress(OSError):
            self._file.close()
        self.answered.set()
        self.ended.set()
        self._bus.publish(Event("deploy.state", self._app.name, self.deploy.id, str(self.deploy.state)))


class StageHeading:
    """The headline of a running stage: printed once, with its time when that is known early enough.

    After each SILENCE_S without a line it says ``now()``, which must be safe from any thread.
    """

    def __init__(self, journal: DeployJournal, text: str, began: float | None) -> None:
        self.text = text
        self.began = time.monotonic() if began is None else began
        self._journal = journal
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._printed = not text
        self._shown = ""
        self._closed = False
        self.now: Callable[[], str] = lambda: ""
        if text:
            self._look_in(HEADLINE_AFTER_S)

    def _look_in(self, seconds: float) -> None:
        with self._lock:
            if self._closed:
                return
            self._timer = threading.Timer(seconds, self.look)
            self._timer.name = "headline"
            self._timer.daemon = True
            self._timer.start()

    def look(self) -> None:
        """Says what has to be said by now, and looks again."""
        self.show()
        silent_s = time.monotonic() - self._journal.told_at
        if silent_s >= SILENCE_S:
            try:
                text = self.now()
            except Exception:
                log.exception("what a stage is at")
                text = ""
            self._say(text or "still at it")
            silent_s = 0.0
        self._look_in(max(SILENCE_S - silent_s, SHORTEST_LOOK_S))

    def _say(self, text: str) -> None:
        with self._lock:
            if not self._closed:
                self._journal.detail(text, time.monotonic() - self.began)

    def show(self) -> None:
        """Prints the headline now, without a time, because something within the stage wants to be seen."""
        with self._lock:
            if not self._printed:
                self._printed = True
                self._shown = self.text
                self._journal.line(output.headline(self.text))

    def detail(self, text: str, seconds: float | None = None) -> None:
        self.show()
        self._journal.detail(text, seconds)

    def close(self, seconds: float | None) -> None:
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            early, self._printed = self._printed, True
        if not self.text:
            return
        if not early:
            self._journal.line(output.headline(self.text, seconds))
        elif seconds is not None:
            self._journal.detail("done" if self.text == self._shown else self.text, seconds)


def follow(
    path: Path,
    bus: Bus,
    deploy_id: int,
    is_over: Callable[[], bool],
    write: Callable[[str], None],
    gone: threading.Event,
) -> None:
    """Hands over every line of the log file until ``is_over`` and all is read, or ``gone``."""
    with bus.subscribe(lambda event: event.deploy_id == deploy_id) as news:
        position = 0
        while not gone.is_set():
            over = is_over()  # before reading: what was written until then is read below
            position = hand_over(path, position, write)
            if over:
                return
            news.get(timeout_s=0.5)  # a bus that lost an event costs half a second, not the line


def hand_over(path: Path, position: int, write: Callable[[str], None]) -> int:
    """Hands over the whole lines from ``position`` (bytes) on; the position after them."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            data = file.read()
    except FileNotFoundError:
        return position
    whole = data[: data.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", "replace").split("\n")[:-1]:  # not at what else Unicode has: apps print that
        write(line)
    return position + len(whole)
