"""Checks backing services: engine files that cannot be used, servers that do not run, images that Docker has lost."""

from __future__ import annotations

from collections.abc import Iterator

from gitship.config import Settings
from gitship.disk.image_store import listed, missing
from gitship.doctor.report import Finding, Look, fail, ok, warn
from gitship.engine.docker import DockerEngine
from gitship.errors import NotFound
from gitship.model.services import ServiceState, TaskState, VolumeUse
from gitship.services.engine_catalog import EngineCatalog
from gitship.store import integrity

# Those that should serve, and whether something is done to them now.
_SERVICES = """
SELECT name, engine, version, container, image_id,
    EXISTS (SELECT 1 FROM tasks t WHERE t.subject = 'service' AND t.owner = s.id AND t.state = ?)
FROM services s WHERE state = ? ORDER BY name
"""
_KEPT = "SELECT s.name, v.version, v.image_id FROM service_volumes v JOIN services s ON s.id = service_id WHERE use = ?"


def engine_files(settings: Settings) -> Iterator[Finding]:
    catalog = EngineCatalog.load(settings.engines_dir)
    used: dict[str, list[str]] = {}
    for name, engine, *_ in _read(settings, _SERVICES, TaskState.RUNNING, ServiceState.READY):
        used.setdefault(engine, []).append(name)
    for name, problem in catalog.problems.items():
        mend = f"mend {settings.engines_dir / name}.toml: `help service-engines`"
        if name in used:
            yield fail("engines", f"{listed(used[name])} cannot be restarted: {problem.message}", mend)
        else:
            yield warn("engines", problem.message, mend)
    for name in used.keys() - catalog.engines.keys() - catalog.problems.keys():
        back = f"bring back {settings.engines_dir / name}.toml"
        yield fail("engines", f"{listed(used[name])} cannot be restarted: the file of {name} is gone", back)


def services(settings: Settings) -> Iterator[Finding]:
    found = _read(settings, _SERVICES, TaskState.RUNNING, ServiceState.READY)
    if not found:
        return
    engine = DockerEngine(settings.docker.host)
    down = []
    for name, _, _, container, _, busy in found:
        try:
            status = engine.inspect(container).status if container else "missing"
        except NotFound:
            status = "missing"
        if status != "running" and not busy:
            down.append(name)
            yield fail(
                "services",
                f"{name} does not run: it is {status}",
                f"see `services:logs {name}` and `services:log {name}`",
            )
    images = {f"{name} ({kind} {version})": image for name, kind, version, _, image, _ in found}
    lost = missing(engine.images, images.items())
    if lost:
        name = lost[0].partition(" ")[0]
        yield fail(
            "services", f"the images of {listed(lost)} no longer exist in Docker: they cannot be made anew",
            f"fetch them again: services:upgrade {name} {next(v for n, _, v, *_ in found if n == name)}",
        )  # fmt: skip
    kept = [(f"{name} {version}", image) for name, version, image in _read(settings, _KEPT, VolumeUse.KEPT)]
    if gone := missing(engine.images, kept):
        yield warn(
            "services", f"the images of {listed(gone)} no longer exist in Docker: services:rollback cannot go back",
            "docker pull the image of that version",
        )  # fmt: skip
    if not down and not lost:
        yield ok("services", f"{len(found)} run{'s' if len(found) == 1 else ''}")


def _read(settings: Settings, question: str, *values: str) -> list[tuple[str, ...]]:
    """Without a lock that the running server would feel."""
    if not settings.database.exists():
        return []
    with integrity.opened(settings.database) as db:
        return list(db.execute(question, values))


LOOKS: tuple[tuple[str, Look], ...] = (("engines", engine_files), ("services", services))
