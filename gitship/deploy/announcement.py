"""Message at the end of a deploy: what is running, and its URL if it serves. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gitship.appfiles.formation import quantity
from gitship.deploy import output
from gitship.deploy.rollout import Rollout
from gitship.model import WEB


def switched(rollout: Rollout) -> str:
    """The headline of the switch."""
    release, previous = rollout.release, rollout.previous
    if rollout.stopped:
        return f"Switched, visitors see that {rollout.app.name} is stopped"
    was = f" (was {previous.label})" if previous and previous.id != release.id else ""
    if not rollout.wanted:
        return f"Switched, {release.label} has no containers{was}"
    return f"Switched, {release.label} is live{was}"


def result(rollout: Rollout, url: str, seconds: float) -> str:
    """The last line of a deploy that went well."""
    release, previous = rollout.release, rollout.previous
    if rollout.stopped:
        return output.stopped(url, release.label, seconds)
    running = Counter(container.process for container in rollout.wanted)
    where = url
    if not running:
        first = WEB if release.process(WEB) else release.processes[0].type
        where = f"{rollout.app.name} has no containers: ps:scale {rollout.app.name} {first}=1"
    elif WEB not in running:
        listed = ", ".join(f"{process} x{count}" for process, count in sorted(running.items()))
        where = f"{rollout.app.name} runs {listed}, no web"
    growth = release.image_bytes - previous.image_bytes if previous else None
    return output.result(where, release.label, seconds, release.image_bytes, growth, rollout.job.deploy.id)


def idle(rollout: Rollout, scale: Mapping[str, int]) -> list[str]:
    """A line for each process type that has no container though nobody said so: neither `ps:scale` nor app.json."""
    chosen = {*scale, *(rollout.manifest.formation if rollout.manifest else ())}
    types = [p.type for p in rollout.release.processes if p.type not in chosen and not quantity(p, scale)]
    return [f"{type_} x0: ps:scale {rollout.app.name} {type_}=1" for type_ in types]
