"""Finds the directories in which Docker or containerd keeps images and other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitship.engine import containerd
from gitship.engine.docker_host import is_here

SNAPSHOTTER = "io.containerd.snapshotter.v1"


@dataclass(frozen=True, slots=True)
class DataDirectories:
    """``store`` names the way images are kept, for people: images of one way are not there in another."""

    data: Path
    images: Path
    by_containerd: bool
    store: str


def of(info: Mapping[str, Any], host: str) -> DataDirectories:
    """From ``GET /info``."""
    data = Path(info["DockerRootDir"])
    status = {str(pair[0]): str(pair[1]) for pair in info.get("DriverStatus") or () if len(pair) == 2}
    by_containerd = status.get("driver-type") == SNAPSHOTTER
    driver = str(info.get("Driver", ""))
    if not by_containerd:
        return DataDirectories(data, data, False, f"its own store ({driver})")
    address = str((info.get("Containerd") or {}).get("Address", ""))
    images = containerd.root(address) if is_here(host) else None
    return DataDirectories(data, images or data, True, f"containerd's store ({driver})")
