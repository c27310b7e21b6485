"""Engine API JSON of containers: creating and inspecting them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gitship.engine import hardening
from gitship.engine.errors import runtime_cause
from gitship.engine.types import ContainerSpec, ContainerState
from gitship.model import Mount

LOG_FILE_SIZE = "10m"
LOG_FILES = "3"
HEALTH_OUTPUT_CHARS = 2000
LEAST_INTERVAL_NS = 1_000_000_000


def arguments(spec: ContainerSpec) -> dict[str, Any]:
    """The body of ``POST /containers/create``."""
    endpoint: dict[str, Any] = {}
    if spec.address:
        endpoint["IPAMConfig"] = {"IPv4Address": spec.address}
    body: dict[str, Any] = {
        "Image": spec.image_id,
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": dict(spec.labels),
        "StopTimeout": math.ceil(spec.stop_timeout_s),
        "HostConfig": _host(spec),
        "NetworkingConfig": {"EndpointsConfig": {spec.network: endpoint}},
    }
    if spec.command and not spec.entrypoint:
        body |= {"Entrypoint": list(spec.command[:1]), "Cmd": list(spec.command[1:])}
    elif spec.command is not None:
        body["Cmd"] = list(spec.command)
    if spec.hostname:
        body["Hostname"] = spec.hostname
    if spec.stop_signal:
        body["StopSignal"] = spec.stop_signal
    if spec.stdin:
        body |= {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
        body["HostConfig"]["LogConfig"] = {"Type": "none"}  # its client has the output: a dump is not written twice
    if spec.terminal:
        body["Tty"] = True
        columns, rows = spec.terminal
        body["HostConfig"]["ConsoleSize"] = [rows, columns]  # from Docker 23 on; older ones are told after the start
    return body


def healthcheck(image: Mapping[str, Any]) -> dict[str, Any]:
    """What that body has to say of the HEALTHCHECK of an image, by its config: Docker runs none more often than this.

    With an interval of 1 ms, which an image may have, one container keeps Docker and the machine busy.
    """
    given = image.get("Healthcheck") or {}
    often = {
        name: LEAST_INTERVAL_NS for name in ("Interval", "StartInterval") if 0 < given.get(name, 0) < LEAST_INTERVAL_NS
    }
    return {"Healthcheck": often} if often else {}


def _host(spec: ContainerSpec) -> dict[str, Any]:
    host: dict[str, Any] = {
        "NetworkMode": spec.network,
        # docker-init passes SIGTERM on and reaps zombies: an app that ignores it as pid 1 stops in 0.1 s, not 1.2 s
        "Init": True,
        "LogConfig": {"Type": "local", "Config": {"max-size": LOG_FILE_SIZE, "max-file": LOG_FILES}},
        "RestartPolicy": {"Name": "unless-stopped" if spec.restart else "no"},
        **hardening.arguments(spec),
    }
    if spec.memory_bytes:
        # equal values mean no swap: an app over its limit is killed instead of slowing the whole server down
        host |= {"Memory": spec.memory_bytes, "MemorySwap": spec.memory_bytes}
    if spec.mounts:
        host["Mounts"] = [_mount(mount) for mount in spec.mounts]
    if spec.shm_bytes:
        host["ShmSize"] = spec.shm_bytes
    if not spec.forwards:
        host["Sysctls"] = {"net.ipv4.ip_forward": "0"}  # Docker's default is 1: it would be a way between two apps
    if spec.cpus:
        host["NanoCpus"] = round(spec.cpus * 1_000_000_000)
    return host


def _mount(mount: Mount) -> dict[str, Any]:
    return {
        "Type": "bind" if mount.host else "volume",
        "Source": mount.source if mount.host else mount.volume,
        "Target": mount.path,
        "ReadOnly": mount.read_only,
    }


def state(inspected: Mapping[str, Any]) -> ContainerState:
    """From ``GET /containers/<id>/json``."""
    now = inspected["State"]
    health = now.get("Health") or {}
    log = health.get("Log") or []
    status = health.get("Status", "")
    return ContainerState(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        labels=inspected["Config"].get("Labels") or {},
        status=now["Status"],
        exit_code=now.get("ExitCode", 0),
        oom_killed=bool(now.get("OOMKilled")),
        restarts=inspected.get("RestartCount", 0),
        address=_address(inspected),
        health="" if status == "none" else status,
        health_output=str(log[-1].get("Output", "")).strip()[:HEALTH_OUTPUT_CHARS] if log else "",
        error=runtime_cause(now.get("Error", "")),
        started_at=epoch(now.get("StartedAt", "")),
        finished_at=epoch(now.get("FinishedAt", "")),
        pid=now.get("Pid", 0),
        networks=_addresses(inspected),
    )


def summary(row: Mapping[str, Any]) -> ContainerState:
    """From a row of ``GET /containers/json``."""
    names = row.get("Names") or [""]
    return ContainerState(
        id=row["Id"],
        name=next((name for name in names if name.count("/") == 1), names[0]).lstrip("/"),  # others are links to it
        labels=row.get("Labels") or {},
        status=row["State"],
        address=_address(row),
        networks=_addresses(row),
        health=next((h for h in ("unhealthy", "healthy") if f"({h})" in row.get("Status", "")), ""),
    )


def _address(row: Mapping[str, Any]) -> str:
    return next((address for address in _addresses(row).values() if address), "")


def _addresses(row: Mapping[str, Any]) -> dict[str, str]:
    networks = (row.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: str((network or {}).get("IPAddress") or "") for name, network in networks.items()}


def epoch(stamp: str) -> float | None:
    """Seconds since 1970 from an RFC 3339 time; None for Docker's "never", the year 1."""
    if not stamp or stamp.startswith("0001-"):
        return None
    return datetime.fromisoformat(stamp).timestamp()
