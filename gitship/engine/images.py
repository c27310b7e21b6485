"""Interface for images: inspects them, and removes only gitship's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from docker import APIClient
from docker import errors as docker_errors

from gitship.engine.types import HeldImage, Image

UNTAGGED = "<none>:<none>"
BEING_REMOVED = "unrecognized image ID"  # Docker's own store answers 500 where another call removes it at this moment


def describe(inspected: Mapping[str, Any], size_bytes: int | None = None) -> Image:
    """From ``GET /images/<id>/json``; ``size_bytes`` in place of what that says."""
    config = inspected.get("Config") or {}
    healthcheck = (config.get("Healthcheck") or {}).get("Test") or []
    return Image(
        id=inspected["Id"],
        size_bytes=inspected["Size"] if size_bytes is None else size_bytes,
        tcp_ports=tuple(sorted(set(_tcp_ports(config.get("ExposedPorts") or {})))),
        has_healthcheck=bool(healthcheck) and healthcheck[0] != "NONE",
        healthcheck=_runnable(healthcheck),
        has_command=bool(config.get("Cmd") or config.get("Entrypoint")),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        user=config.get("User") or "",
        volumes=tuple(config.get("Volumes") or ()),
        names=(*(inspected.get("RepoTags") or ()), *(inspected.get("RepoDigests") or ())),
    )


def _tcp_ports(exposed: Iterable[str]) -> Iterator[int]:
    """``80/tcp`` as 80. An image from elsewhere may have anything here, such as ranges, which a build takes apart."""
    for port in exposed:
        number, _, kind = port.partition("/")
        if kind in ("tcp", "") and re.fullmatch("[0-9]{1,5}", number) and 0 < int(number) < 1 << 16:
            yield int(number)


def unpacked_bytes(docker: APIClient, inspected: Mapping[str, Any]) -> int:
    """What the image's files take in containerd's store, where its own size is that of its compressed layers.

    Its history has the layers' sizes, but is the image's own word for how many layers there are: where it leaves some
    out, what the list says of it counts. That is the sum of both.
    """
    packed = int(inspected["Size"])
    layers = len((inspected.get("RootFS") or {}).get("Layers") or ())
    try:
        history = docker.history(inspected["Id"]) or ()  # type: ignore[no-untyped-call]
    except docker_errors.NotFound:
        raise
    except docker_errors.APIError:  # it names more layers than there are
        history = ()
    sizes = [int(row["Size"]) for row in history if row.get("Size")]
    if layers and len(sizes) >= layers:
        return sum(sizes)
    listed = next((int(row["Size"]) for row in docker.images(all=True) if row["Id"] == inspected["Id"]), 0)
    return max(packed, sum(sizes), listed - packed)


def _runnable(test: Sequence[str]) -> tuple[str, ...]:
    """``["CMD", "a", "b"]`` or ``["CMD-SHELL", "a b"]`` as arguments; empty for ``NONE`` or nothing."""
    if len(test) > 1 and test[0] == "CMD-SHELL":
        return ("/bin/sh", "-c", test[1])
    return tuple(test[1:]) if test[:1] == ["CMD"] else ()


def held(docker: APIClient, label: str, value: str, reference: str) -> list[HeldImage]:
    """Those that carry the label or a tag like ``reference``, each once."""
    rows: dict[str, Mapping[str, Any]] = {}
    for filters in ({"label": [f"{label}={value}"]}, {"reference": [reference]}):
        rows |= {row["Id"]: row for row in docker.images(filters=filters)}
    used = {row["ImageID"] for row in docker.containers(all=True)}
    return [
        HeldImage(
            id=row["Id"],
            tags=tuple(tag for tag in row.get("RepoTags") or () if tag != UNTAGGED),
            labels=row.get("Labels") or {},
            size_bytes=int(row["Size"]),
            in_use=row["Id"] in used,
        )
        for row in rows.values()
    ]


def remove(docker: APIClient, inspected: Mapping[str, Any], mine: Callable[[str], bool], *, untagged: bool) -> bool:
    """Takes away the tags that are ``mine``; True when the image went with the last one, or is gone without any.

    Tags are what Docker keeps an image for, so one that is somebody else's, too, stays whole.
    """
    image_id, tags = inspected["Id"], inspected.get("RepoTags") or ()
    ours = [tag for tag in tags if mine(tag)]
    if len(ours) < len(tags):
        for tag in ours:
            _remove(docker, tag)
        return False
    if not ours and not untagged:
        return False
    users = docker.containers(all=True, filters={"ancestor": image_id})
    if any(row["ImageID"] == image_id for row in users):
        return False
    return all(_remove(docker, reference) for reference in (*ours, image_id))


def _remove(docker: APIClient, reference: str) -> bool:
    """False when another image is built on it, or a container was made meanwhile."""
    try:
        docker.remove_image(reference)
    except docker_errors.NotFound:
        pass  # the last tag takes the image with it
    except docker_errors.APIError as error:
        if error.status_code == 409:
            return False
        if BEING_REMOVED not in str(error.explanation):
            raise
    return True
