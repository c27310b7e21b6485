"""Resource limits of builds: per build with the classic builder, for all together with BuildKit.

Measured on 20.10: BuildKit ignores ``memory=``, and a limit on the cgroup below which it runs its steps kills the step
(exit code 137). With the systemd cgroup driver each step is below nothing that could be limited: see
``build_limits_daemon``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from gitship.config import DockerSettings
from gitship.engine import build_cgroup
from gitship.engine.docker_host import is_here
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep

log = logging.getLogger("gitship.docker")
CGROUPFS, SYSTEMD = "cgroupfs", "systemd"  # Docker's cgroup drivers
UNIT = "gitship-builds.service"
KEEPER = f"system.slice/{UNIT}"  # its cgroup


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
        build_cgroup.limit_processes(self.cgroup_parent, self.pids)
        build_cgroup.yield_to_apps(self.cgroup_parent, self.share)
        build_cgroup.apply(self.cgroup_parent, self.memory_bytes, self.cpus)

    def hold(self, cgroup_driver: str) -> bool:
        """True when the cgroup of builds keeps them."""
        path = KEEPER if cgroup_driver == SYSTEMD else build_cgroup.below(self.cgroup_parent)
        return build_cgroup.holds(path, self.memory_bytes, self.cpus, self.pids, self.share)

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


class BuildLimiter:
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
        reason = self._set(cgroup_driver)
        if not limits.any:
            return ""  # whether or not an older limit could be lifted: nobody asks for one
        if reason:
            on_event(BuildOutput(0, f"builds are not limited: {reason}"))
            if reason != self._logged:
                log.warning("build_memory and build_cpus are not kept: %s", reason)
        self._logged = reason
        return "" if reason or not limits.memory_bytes else f"all builds together ({limits.memory_bytes >> 20}m)"

    def _set(self, cgroup_driver: Callable[[], str]) -> str:
        """Why builds cannot be limited; "" when they are."""
        limits = self._limits
        if limits.words:
            driver = cgroup_driver() if is_here(self._host) else ""
            if reason := impossible(self._host, driver):
                return reason
            if driver == SYSTEMD:
                return "" if limits.hold(driver) else f"the unit {UNIT} does not keep them"
        try:
            build_cgroup.limit_processes(limits.cgroup_parent, limits.pids)
            build_cgroup.yield_to_apps(limits.cgroup_parent, limits.share)
        except OSError as error:
            log.debug("a build can start processes without end, or take all processors: %s", error)
        try:
            build_cgroup.apply(limits.cgroup_parent, limits.memory_bytes, limits.cpus)
        except OSError as error:
            return f"the cgroup of builds cannot be set: {error.strerror} ({error.filename})"
        return ""


def impossible(host: str, cgroup_driver: str) -> str:
    """Why BuildKit's builds cannot be limited; "" when they can."""
    if not is_here(host):
        return "Docker is on another machine"
    if cgroup_driver in (CGROUPFS, SYSTEMD):
        return ""
    return f"Docker's cgroup driver is {cgroup_driver or 'not known'}"
