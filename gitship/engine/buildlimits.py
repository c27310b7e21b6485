"""What builds may use. The classic builder takes limits of each build; BuildKit takes none, but one for all together.

Measured on 20.10: BuildKit ignores ``memory=``, and a limit on the cgroup below which it runs its steps kills the step
(exit code 137). With the systemd cgroup driver Docker puts each step at the top of the tree: nothing can be limited so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from gitship.config import DockerSettings
from gitship.engine import buildcgroup
from gitship.engine.values import BuildOptions, BuildOutput, BuildStep
from gitship.errors import EngineError

log = logging.getLogger("gitship.docker")


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """Of all builds together with BuildKit, of each with the classic builder; 0 is no limit."""

    memory_bytes: int = 0
    cpus: float = 0.0
    cgroup_parent: str = "/docker"
    pids: int = 0  # BuildKit's only
    share: float = 1.0  # of processor time, against a container's 1 when both want it; BuildKit's only

    @classmethod
    def of(cls, docker: DockerSettings) -> BuildLimits:
        return cls(docker.build_memory, docker.build_cpus, docker.cgroup_parent, docker.build_pids, docker.build_share)

    def bring(self) -> None:
        """Has the cgroup of builds keep them from now on. Raises OSError."""
        buildcgroup.limit_processes(self.cgroup_parent, self.pids)
        buildcgroup.yield_to_apps(self.cgroup_parent, self.share)
        buildcgroup.apply(self.cgroup_parent, self.memory_bytes, self.cpus)

    @property
    def hold(self) -> bool:
        """True when the cgroup of builds keeps them."""
        return buildcgroup.holds(self.cgroup_parent, self.memory_bytes, self.cpus, self.pids, self.share)

    @property
    def words(self) -> str:
        """What all builds together may use; "" without any limit."""
        parts = [f"{self.memory_bytes >> 20} MB"] if self.memory_bytes else []
        parts += [f"{self.cpus:g} processors"] if self.cpus else []
        parts += [f"{self.pids} processes"] if self.pids else []
        parts += [f"{self.share:g} of a container's processor time"] if self.share < 1 else []
        return ", ".join(parts)

    @property
    def any(self) -> bool:
        """True when somebody has asked for one; that of processes is there by default."""
        return bool(self.memory_bytes or self.cpus)


def of_one(options: BuildOptions, limits: BuildLimits) -> tuple[BuildOptions, str]:
    """The smaller of an app's own limit and the server's, for the classic builder, and its memory in words."""
    memory = min(filter(None, (options.memory_bytes, limits.memory_bytes)), default=None)
    cpus = min(filter(None, (options.cpus, limits.cpus)), default=None)
    return replace(options, memory_bytes=memory, cpus=cpus), f"this build ({memory >> 20}m)" if memory else ""


class Limiter:
    """Keeps BuildKit's builds on this machine within the limits. Safe from any thread."""

    def __init__(self, limits: BuildLimits, host: str) -> None:
        self._limits = limits
        self._host = host
        self._logged = ""

    def limit(self, cgroup_driver: Callable[[], str], on_event: Callable[[BuildStep | BuildOutput], None]) -> str:
        """What all builds together may use from now on, in words; "" for no limit.

        Where the limit cannot be set, the server's log and the build's say so, and the build goes on.
        """
        limits = self._limits
        reason = impossible(self._host, cgroup_driver) if limits.any or limits.pids or limits.share < 1 else ""
        if not reason:
            try:
                buildcgroup.limit_processes(limits.cgroup_parent, limits.pids)
                buildcgroup.yield_to_apps(limits.cgroup_parent, limits.share)
            except OSError as error:
                log.debug("a build can start processes without end, or take all processors: %s", error)
        if not reason:
            try:
                buildcgroup.apply(limits.cgroup_parent, limits.memory_bytes, limits.cpus)
            except OSError as error:
                reason = f"the cgroup of builds cannot be set: {error.strerror} ({error.filename})"
        if not limits.any:
            return ""  # whether or not an older limit could be lifted: nobody asks for one
        if reason:
            on_event(BuildOutput(0, f"builds are not limited: {reason}"))
            if reason != self._logged:
                log.warning("build_memory and build_cpus are not kept: %s", reason)
        self._logged = reason
        return "" if reason or not limits.memory_bytes else f"all builds together ({limits.memory_bytes >> 20}m)"


def impossible(host: str, cgroup_driver: Callable[[], str]) -> str:
    """Why BuildKit's builds cannot be limited; "" when they can."""
    if not host.startswith("unix://"):
        return "Docker is on another machine"
    driver = cgroup_driver()
    if driver == "cgroupfs":
        return ""
    return f'Docker\'s cgroup driver is {driver}; it takes cgroupfs, or builder = "classic" in [docker]'


def prepare(docker: DockerSettings, cgroup_driver: Callable[[], str]) -> str:
    """Sets the limits for a gitship that may not; a line about that. Raises EngineError when they cannot be set."""
    limits = BuildLimits.of(docker)
    if docker.builder != "buildkit" or not limits.words:
        return "builds have no limits in common"
    if reason := impossible(docker.host, cgroup_driver):
        raise EngineError(f"builds are not limited: {reason}", "gitship goes on without")
    try:
        limits.bring()
    except OSError as error:
        raise EngineError(f"builds are not limited: {error.strerror} ({error.filename})", "run it as root") from error
    return f"all builds together: {limits.words}"
