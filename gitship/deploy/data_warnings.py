"""Warns during a deploy of data lost with its container, and of volumes that the image's user cannot write to.

Two signs only of the former, so that what a program merely leaves behind (caches, pid files) is not taken for data: a
directory that the image calls a VOLUME, and a file that a container has changed and whose name is that of a database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from gitship.deploy.rollout import Rollout
from gitship.engine.interface import Engine
from gitship.engine.types import Image
from gitship.errors import GitshipError
from gitship.model import Mount

MOST_LINES = 3
TEST_S = 5.0
_DATABASE = re.compile(r".*\.(?:db|db3|sqlite|sqlite3)", re.DOTALL)


def tell(engine: Engine, rollout: Rollout) -> None:
    """A line in the deploy's output for each; none when Docker does not say."""
    if not rollout.new:
        return
    with suppress(GitshipError):
        image = engine.images.inspect(rollout.release.image_id)
        for line in [*_lines(engine, rollout, image), *_closed(engine, rollout, image)]:
            rollout.job.journal.detail(line)


def tell_closed(engine: Engine, rollout: Rollout) -> None:
    """Of a release that fails its checks: a volume that it cannot write to may be why."""
    with suppress(GitshipError):
        for line in _closed(engine, rollout, engine.images.inspect(rollout.release.image_id)):
            rollout.job.journal.detail(line)


def _lines(engine: Engine, rollout: Rollout, image: Image) -> list[str]:
    name, said = rollout.app.name, dict[str, str]()  # by the path
    mounts = [mount for process in rollout.release.processes for mount in process.mounts]
    for path in _beside(image.volumes, mounts)[:MOST_LINES]:
        anew = "is a VOLUME of the image and begins anew with each deploy"
        said[path] = f"{path} {anew}: storage:mount {name} data:{path}"
    for container in [*rollout.new[:1], *rollout.formation.end[:1]]:
        changed = engine.changed(container.id)
        for path in _beside(filter(_DATABASE.fullmatch, changed), mounts)[:MOST_LINES]:
            what = f"{container.process} writes {path} inside its container, which each deploy replaces"
            if container not in rollout.new:  # what is live may be mended already
                label = container.name.rpartition(".")[2]
                what = f"{container.process} of {label} wrote {path} inside its container, which this deploy replaces"
            above = str(PurePosixPath(path).parent)
            # a volume over a directory of the image would hide the files that a later image has there
            fix = f"data:{above}" if changed.get(above) else "data:DIRECTORY, and have it write there"
            said.setdefault(path, f"{what}: storage:mount {name} {fix}")
    return list(said.values())


def _closed(engine: Engine, rollout: Rollout, image: Image) -> Iterator[str]:
    """The volumes that the image's user may not write to; where the image has no `test`, nobody knows."""
    user, container = image.user.partition(":")[0], rollout.new[0]
    process = rollout.release.process(container.process)
    if process is None or user in ("", "0", "root"):
        return
    for path in (mount.path for mount in process.mounts if not mount.read_only and not mount.host):
        if engine.exec(container.id, ("test", "-w", path), TEST_S)[0] == 1:
            yield (
                f"{process.type} runs as {user}, which may not write to {path}: `RUN mkdir -p {path} && chown {user}"
                f" {path}` before USER in the Dockerfile gives an empty volume its owner; or storage:import one that"
                " has it: `help volumes`"
            )


def _beside(paths: Iterable[str], mounts: Sequence[Mount]) -> list[str]:
    """Those that no mount has."""
    kept = [PurePosixPath(mount.path) for mount in mounts]
    return sorted(path for path in paths if not any(PurePosixPath(path).is_relative_to(place) for place in kept))
