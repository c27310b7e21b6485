"""Scale, restart, stop, start and rebuild the processes of an app, and list its containers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gitship.containers import crash_loops
from gitship.deploy.job import Request
from gitship.engine.types import ContainerState
from gitship.errors import Conflict, NotFound
from gitship.model import App, Container, ContainerEventKind, Deploy, DeployKind, Identity
from gitship.observe.container_usage import UNKNOWN, ContainerUsage, UsageSampler
from gitship.operations.app_lock import ensure_unlocked
from gitship.operations.git import ensure_commit
from gitship.operations.shared import Shared

PARALLEL_LOOKS = 4  # an inspect takes 2 ms; more at once only queue in Docker
CRASH_LOOP = "crash loop"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A running (or not) container of an app's live release; ``started_at`` is epoch seconds.

    ``figures`` is what it uses now, ``ooms`` how often a process in it was killed because memory ran out.
    """

    container: str
    process: str
    release: int
    status: str
    health: str
    address: str
    port: int | None
    restarts: int
    started_at: float | None
    ooms: int = 0
    figures: ContainerUsage = UNKNOWN


class Ps:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared, sampler: UsageSampler) -> None:
        self._shared = shared
        self._store = shared.store
        self._jobs = shared.jobs
        self._sampler = sampler

    # -- changing

    def scale(self, app: App, quantities: Mapping[str, int], by: Identity) -> Deploy | None:
        """None when nothing runs: the next deploy starts as many."""
        found = self._store.confirm(app, by)
        ensure_unlocked(self._store, found)
        with self._store.acting(app, by) as found:
            if self._shared.nothing_runs(found):
                self._store.set_scale(found.id, quantities)
                return None
        known = {p.type for p in self._store.release(found.live_release).processes} if found.live_release else None
        for type_ in quantities:
            if known is not None and type_ not in known:
                raise NotFound(f"{found.name} has no process '{type_}'", f"it has: {', '.join(sorted(known))}")
        cause = "scale " + " ".join(f"{t}={n}" for t, n in quantities.items())
        return self._jobs.submit(found, Request(DeployKind.SCALE, cause, scale=dict(quantities)), by)

    def restart(self, app: App, by: Identity) -> Deploy:
        """New containers of the live release, by the same pipeline, with no failed request."""
        found = self._store.confirm_live(app, by)
        return self._jobs.submit(found, Request(DeployKind.RESTART, "restart"), by)

    def stop(self, app: App, by: Identity) -> Deploy:
        """Visitors get a page that says so, then the containers end."""
        found = self._store.confirm_live(app, by)
        if self.stopped(found):
            raise Conflict(f"{found.name} is stopped already", f"start it: ps:start {found.name}")
        return self._jobs.submit(found, Request(DeployKind.STOP, "stop"), by)

    def start(self, app: App, by: Identity) -> Deploy:
        """New containers of the live release, with config as it is set now."""
        found = self._store.confirm_live(app, by)
        if not self.stopped(found):
            raise Conflict(f"{found.name} is not stopped", f"for new containers: ps:restart {found.name}")
        return self._jobs.submit(found, Request(DeployKind.START, "start"), by)

    def rebuild(self, app: App, by: Identity, *, no_cache: bool = False) -> Deploy:
        """The live commit, built again, as a new release; ``no_cache``: this once without that of earlier builds."""
        found = self._store.confirm_live(app, by)
        live = self._store.release(found.live_release or 0)
        if live.commit is None:
            raise Conflict(
                f"{live.label} of {found.name} was not built from a commit",
                "push to it: git push deploy main; an image's newest is fetched by `git:from-image --pull`",
            )
        ensure_commit(self._shared.repositories, found, live.commit)
        request = Request(DeployKind.PUSH, f"rebuild {live.commit[:7]}", live.commit, no_cache=no_cache)
        return self._jobs.submit(found, request, by)

    # -- looking

    def stopped(self, app: App) -> bool:
        return self._shared.stopped(app)

    def processes(self, app: App) -> list[ProcessStatus]:
        """The containers that shall be live, with what they use now."""
        containers = self._store.containers(app.id)
        if len(containers) <= 1:
            return [self._process(container) for container in containers]
        with ThreadPoolExecutor(PARALLEL_LOOKS, thread_name_prefix="look") as pool:
            return list(pool.map(self._process, containers))

    def _process(self, container: Container) -> ProcessStatus:
        try:
            state = self._shared.engine.inspect(container.id)
        except NotFound:
            state = ContainerState(container.id, container.name, {}, "missing")
        running = state.status == "running"
        events = self._store.events_of_container(container.id)
        looping = crash_loops.is_looping(events, time.time())
        return ProcessStatus(
            container=container.name,
            process=container.process,
            release=self._store.release(container.release_id).number,
            status=CRASH_LOOP if looping else self._status(container, state),
            health=state.health,
            address=container.address,
            port=container.port,
            restarts=max([state.restarts, *(event.deaths for event in events)]),
            started_at=state.started_at if running else None,
            ooms=sum(event.kind is ContainerEventKind.OOM for event in events),
            figures=self._sampler.figures(container.id) if running else UNKNOWN,
        )

    def _status(self, container: Container, state: ContainerState) -> str:
        """One that gitship starts again is to its owner what one is that Docker does."""
        process = self._store.release(container.release_id).process(container.process)
        waits = state.status == "exited" and process is not None and process.host_mounts
        return "restarting" if waits else state.status
