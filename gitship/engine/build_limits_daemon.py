"""`gitship limit-builds`: sets the build limits as root, for a gitship that does not run as root.

With the systemd cgroup driver BuildKit puts each step into a cgroup of its own beside those of containers, which
nothing in Docker can limit (measured on 20.10 and 26.1: `system.slice:docker:<id>`). So each step is moved into the
unit UNIT, whose limits are systemd's. A step's children are born where it is; what it starts before the next look is
moved, too.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gitship.config import DockerSettings
from gitship.engine import build_cgroup
from gitship.engine.build_limits import KEEPER, SYSTEMD, UNIT, BuildLimits, impossible
from gitship.errors import EngineError

LOOK_S = 0.2  # 60 us of a processor each
ROUNDS = 50  # a step that starts processes faster than they are moved has its turn again at the next look
SYSTEMCTL_S = 30.0
_STEP = re.compile(r".*\.slice:docker:.+")


def properties(limits: BuildLimits) -> list[str]:
    """The limits as properties of a unit (systemd.resource-control(5)); what has no limit is set free."""
    memory = str(limits.memory_bytes) if limits.memory_bytes else ""
    return [
        f"MemoryMax={memory or 'infinity'}",
        f"MemorySwapMax={'0' if memory else 'infinity'}",
        f"CPUQuota={f'{limits.cpus * 100:g}%' if limits.cpus else ''}",
        f"TasksMax={limits.pids or 'infinity'}",
        f"CPUWeight={build_cgroup.weight(limits.share) if limits.share < 1 else ''}",
    ]


def prepare(docker: DockerSettings, cgroup_driver: str) -> str:
    """Sets the limits for a gitship that may not; a line about that. Raises EngineError when they cannot be set."""
    limits = BuildLimits.of(docker)
    if docker.builder != "buildkit" or not limits.words:
        return "builds have no limits in common"
    if reason := impossible(docker.host, cgroup_driver):
        raise EngineError(f"builds are not limited: {reason}", "gitship goes on without")
    if cgroup_driver == SYSTEMD:
        _limit_unit(limits)
        return f"all builds together, by the unit {UNIT}: {limits.words}"
    try:
        limits.bring()
    except OSError as error:
        raise EngineError(f"builds are not limited: {error.strerror} ({error.filename})", "run it as root") from error
    return f"all builds together: {limits.words}"


def _limit_unit(limits: BuildLimits) -> None:
    """Until the next start of the machine. Raises EngineError."""
    if not (build_cgroup.ROOT / "cgroup.controllers").exists():
        raise EngineError("builds are not limited: cgroups have version 1 here", "gitship goes on without")
    done = subprocess.run(
        ["systemctl", "set-property", "--runtime", UNIT, *properties(limits)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SYSTEMCTL_S,
        check=False,
    )
    if done.returncode:
        raise EngineError(f"builds are not limited: {done.stderr.strip()}", f"see `systemctl status {UNIT}`")


def keep(stop: threading.Event) -> None:
    """Until ``stop`` is set. Raises EngineError when this is not the unit."""
    if f"0::/{KEEPER}" not in Path("/proc/self/cgroup").read_text().splitlines():
        raise EngineError(f"this is what the unit {UNIT} runs", f"systemctl start {UNIT}")
    while not stop.wait(LOOK_S):
        gather(build_cgroup.ROOT, build_cgroup.ROOT / KEEPER)


def gather(root: Path, unit: Path) -> None:
    """Moves the processes of all steps that are running into the unit. Never raises."""
    for step in _steps(root):
        with suppress(OSError):  # it has just ended
            for _ in range(ROUNDS):
                pids = (step / "cgroup.procs").read_text().split()
                if not pids:
                    break
                for pid in pids:
                    with suppress(ProcessLookupError):
                        (unit / "cgroup.procs").write_text(pid)


def _steps(root: Path) -> Iterator[Path]:
    """The older runc puts them at the top, the newer one beside dockerd's own cgroup."""
    for place in (root, (root / KEEPER).parent):
        with suppress(OSError):
            yield from [child for child in place.iterdir() if _STEP.fullmatch(child.name)]
