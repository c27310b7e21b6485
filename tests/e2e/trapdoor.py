"""`gitship serve` with trapdoors: at a point of its own code it kills whom the test has named, itself for instance.

Each function of TARGETS looks, before and after it does its work, whether the file named by GITSHIP_TEST_TRAP is there
and wants somebody killed just here. So the moment is exact, whatever the machine's speed, and gitship itself has no
code for it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

FILE = "GITSHIP_TEST_TRAP"
GONE_S = 10.0
# What is done for no deploy in particular: a trap that is set for a deploy must not catch these.
KEEPERS = frozenset({"MainThread", "reconcile"})

# In the order in which a push meets them.
TARGETS = (
    "gitship.git.repository:Repositories.create",
    "gitship.git.quarantine:Quarantine.__enter__",
    "gitship.git.receive_pack:_Push._take_in",
    "gitship.git.quarantine:Quarantine.keep",
    "gitship.store.deploys:DeployRecords.create_deploy",
    "gitship.deploy.queue:DeployQueue._ensure_thread",
    "gitship.deploy.pipeline:Pipeline._begin",
    "gitship.deploy.build:Builder.build",
    "gitship.deploy.build:BuildProgress.__call__",
    "gitship.store.releases:ReleaseRecords.create_release",
    "gitship.deploy.rename:AppRename.begin",
    "gitship.deploy.release_command:ReleaseCommands._run",
    "gitship.engine.addresses:Addresses.take",
    "gitship.engine.docker:DockerEngine.create",
    "gitship.engine.docker:DockerEngine.start",
    "gitship.containers.health_check:HealthChecker.wait_ready",
    "gitship.front.canary_routes:CanaryRoutes.share",
    "gitship.front.front:Front.load",
    "gitship.front.state_files:BootFiles.lead",
    "gitship.front.state_files:BootFiles._put",
    "gitship.front.front:Front.label",
    "gitship.routing.switch:Switch.verify",
    "gitship.routing.switch:Switch._ask",
    "gitship.routing.switch:Switch.back",
    "gitship.git.repository:Repository.compare_and_set",
    "gitship.store.live_releases:LiveReleases.set_live",
    "gitship.git.repository:Repositories.rename",
    "gitship.deploy.go_live:GoLive.make",
    "gitship.deploy.rename:AppRename.end",
    "gitship.deploy.pipeline:Pipeline._answer",
    "gitship.routing.drain:Drainer.start",
    "gitship.front.front:Front.busy",
    "gitship.front.front:Front.discard",
    "gitship.containers.container_starter:ContainerStarter.remove",
    "gitship.engine.docker:DockerEngine.stop",
    "gitship.logs.archive:LogArchive.keep",
    "gitship.engine.docker:DockerEngine.remove",
    "gitship.store.live_releases:LiveReleases.release_address",
    "gitship.deploy.journal:DeployJournal.finish",
    "gitship.engine.docker_images:DockerImages.remove",
    # and what is done to services
    "gitship.services.tasks:ServiceTasks._run",
    "gitship.services.fetch_image:ServiceImages.fetch",
    "gitship.services.fetch_image:ServiceImages.hold",
    "gitship.services.service_volumes:ServiceVolumes.make",
    "gitship.services.service_volumes:ServiceVolumes.copy",
    "gitship.services.service_volumes:ServiceVolumes.take",
    "gitship.services.service_volumes:ServiceVolumes.discard",
    "gitship.services.service_container:ServiceContainers.make",
    "gitship.services.service_container:ServiceContainers.start",
    "gitship.services.service_container:ServiceContainers.join",
    "gitship.services.service_container:ServiceContainers.leave_all",
    "gitship.services.service_container:ServiceContainers.join_all",
    "gitship.services.service_container:ServiceContainers.end_others",
    "gitship.services.superuser:SuperuserPasswords._tell",
    "gitship.services.links:ServiceLinks._new_login",
    "gitship.services.links:ServiceLinks.renew",
    "gitship.store.services:ServiceRecords.create_link",
    "gitship.store.services:ServiceRecords.change_link",
    "gitship.engine.docker:DockerEngine.remove_network",
    "gitship.services.wal_shipping:WalShipping._ship_file",
    "gitship.backup.directory_target:DirectoryTarget.put",
    "gitship.store.wal_archives:WalArchives.change_wal_archive",
)


@dataclass(frozen=True, slots=True)
class Point:
    """The ``nth`` time that ``target`` (one of TARGETS, or its end if that is unique) is about to run, or has run."""

    where: str  # "before" or "after"
    target: str
    nth: int = 1

    def __post_init__(self) -> None:
        found = [target for target in TARGETS if target.endswith(self.target)]
        assert len(found) == 1, f"{self.target} is {len(found)} of TARGETS"
        assert self.where in ("before", "after"), self.where
        object.__setattr__(self, "target", found[0])

    def __str__(self) -> str:
        name = self.target.partition(":")[2]
        return f"{self.where}-{name}" + (f"-{self.nth}" if self.nth > 1 else "")


def set_trap(file: Path, point: Point, pids: Sequence[int], *, keepers: bool = False) -> None:
    """From now on whoever reaches the point kills ``pids``, once; ``file`` is gone when they are.

    ``keepers``: only the threads that are not at work for a deploy, at the start for instance, and no others.
    """
    words = {"place": f"{point.where} {point.target}", "nth": point.nth, "pids": list(pids), "keepers": keepers}
    unfinished = file.with_suffix(".new")
    unfinished.write_text(json.dumps(words))
    unfinished.rename(file)


class Trap:
    """What the file says, looked up at each call; counts the calls until it is the one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reached = 0

    def reach(self, place: str) -> None:
        keeper = threading.current_thread().name in KEEPERS
        file = Path(os.environ[FILE])
        with self._lock:
            try:
                wanted = json.loads(file.read_text())
            except FileNotFoundError:
                return
            if wanted["place"] != place or wanted["keepers"] != keeper:
                return
            self._reached += 1
            if self._reached < wanted["nth"]:
                return
            self._reached = 0
            others = [pid for pid in wanted["pids"] if pid != os.getpid()]
            if not others:
                file.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            for pid in others:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in others:
                _await_end(pid)
            file.unlink()  # only now: who waits for it asks at once whether the killed are back


def _await_end(pid: int) -> None:
    deadline = time.monotonic() + GONE_S
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, f"{pid} does not end"
            time.sleep(0.005)


def install() -> None:
    """Every function of TARGETS looks at the trap from now on."""
    trap = Trap()
    for target in TARGETS:
        module, _, name = target.partition(":")
        owner_name, _, attribute = name.partition(".")
        owner = getattr(importlib.import_module(module), owner_name)
        setattr(owner, attribute, _with_trap(owner.__dict__[attribute], target, trap))


def _with_trap(function: Callable[..., Any], target: str, trap: Trap) -> Callable[..., Any]:
    @wraps(function)
    def around(*args: Any, **more: Any) -> Any:
        trap.reach(f"before {target}")
        result = function(*args, **more)
        trap.reach(f"after {target}")
        return result

    return around
