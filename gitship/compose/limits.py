"""Limits of a service's containers: memory, CPUs, processes, and those of a process (ulimits)."""

from __future__ import annotations

from typing import Any

from gitship.compose import values
from gitship.compose.keys import Findings, by_name, honoured, ignored, read_keys, refused
from gitship.compose.model import ResourceLimits
from gitship.schema import Value

LEAST_MEMORY = 6 << 20  # Docker's own limit
# All of setrlimit(2) but nice, rtprio and rttime: with those a container takes the processor from others.
ULIMITS = ("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nofile", "nproc", "rss", "sigpending",
           "stack", "as")  # fmt: skip

DEPLOY = by_name(
    honoured("replicas", "containers to start", lambda v: values.whole(v, 0, 100)),
    honoured("resources", "`limits`: memory, cpus and pids"),
    refused("mode", "a service runs on, in as many containers as `replicas` says",
        "a job: let others wait with `service_completed_successfully`; or write it into [cron] of gitship.toml",
        "replicated", "global"),
    *ignored("a release is switched, watched and rolled back as a whole: `help rollbacks`", "update_config",
        "rollback_config"),
    *ignored("gitship restarts what ends", "restart_policy"),
    *ignored("gitship places containers itself", "placement", "endpoint_mode", "labels"),
)  # fmt: skip
RESOURCES = by_name(
    honoured("limits", "what each container may use"),
    honoured("reservations", "nothing is reserved, and devices are refused"),
)
LIMITS = by_name(
    honoured("memory", "memory limit of a container", values.size),
    honoured("cpus", "CPU limit of a container", lambda v: values.number(v, 0, 1024)),
    honoured("pids", "limit of processes and threads", lambda v: values.whole(v, -1, 4_000_000)),
)
RESERVATIONS = by_name(
    *ignored("nothing is reserved: write `limits`", "memory", "cpus", "generic_resources"),
    refused("devices", "apps get no devices of the server", "remove it"),
)


def read_ulimits(value: Value) -> dict[str, tuple[int, int]]:
    """By name: soft and hard. Raises ConfigError."""
    found = {}
    for name, one in value.table().items():
        if name not in ULIMITS:
            raise one.error("is not a limit that apps set", f"known: {', '.join(ULIMITS)}")
        if isinstance(one.raw, dict):
            both = values.known(one, ("soft", "hard"))
            if len(both) < 2:
                raise one.error("must have soft and hard", f"for instance {name}: 20000")
            found[name] = (_count(both["soft"]), _count(both["hard"]))
        else:
            found[name] = (_count(one), _count(one))
    return found


def _count(value: Value) -> int:
    return values.whole(value, -1, 1 << 40)


def read_deploy(value: Value, found: Findings, of: str) -> dict[str, Any]:
    """`replicas`, `memory`, `cpus` and `pids`, as far as `deploy` has them. Raises ConfigError."""
    deploy = read_keys(value, DEPLOY, found, of)
    both = read_keys(deploy.pop("resources"), RESOURCES, found, of) if "resources" in deploy else {}
    if "reservations" in both:
        read_keys(both["reservations"], RESERVATIONS, found, of)
    return deploy | (read_keys(both["limits"], LIMITS, found, of) if "limits" in both else {})


def resource_limits(service: Value, read: dict[str, Any], deploy: dict[str, Any]) -> ResourceLimits:
    """Of a service's own keys and those of its `deploy`. Raises ConfigError when they say different things."""

    def either(key: str, other: str) -> Any:
        first, second = read.get(key), deploy.get(other)
        if first is not None and second is not None and first != second:
            raise service.error(f"must say one thing: {key} and deploy.resources.limits.{other} differ", "keep one")
        return first if second is None else second

    memory, pids = either("mem_limit", "memory"), either("pids_limit", "pids")
    if memory and memory < LEAST_MEMORY:
        raise service.error(f"must have a memory limit of {LEAST_MEMORY >> 20}m at least", "Docker takes no lower one")
    return ResourceLimits(
        memory_bytes=memory or None,
        cpus=either("cpus", "cpus") or None,
        pids=pids if pids and pids > 0 else None,
        shm_bytes=read.get("shm_size") or None,
        ulimits=read.get("ulimits", {}),
    )
