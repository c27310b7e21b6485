"""JSON documents of the API about one app. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gitship.appfiles.cache_rules import CacheRuleInUse
from gitship.https.app_https import HostStatus
from gitship.model import Container, ContainerEvent, UptimeDay
from gitship.model.services import ServiceLink
from gitship.model.traffic import COUNTS, Traffic
from gitship.model.uptime import DAY_S, share
from gitship.operations.ps import ProcessStatus
from gitship.web.commits import Known
from gitship.web.service_view import ServiceView
from gitship.web.traffic_chart import ChartStep, Reach


def host(row: HostStatus) -> dict[str, Any]:
    """A host, with its certificate."""
    found = row.certificate
    return {
        "host": row.host,
        "https": row.state,
        "source": found.source if found else None,
        "issuer": found.issuer if found else None,
        "not_after": found.not_after if found else None,
        "renew_at": row.renew_at,
        "problem": row.problem,
    }


def instance(container: Container, word: str, process: ProcessStatus | None) -> dict[str, Any]:
    """A container, with what it uses; null for what is not known."""
    return {
        "name": container.name,
        "process": container.process,
        "state": word,
        "health": process.health if process else None,
        "cpu_percent": process.figures.cpu_percent if process else None,
        "memory_bytes": process.figures.memory_bytes if process else None,
        "memory_limit_bytes": process.figures.limit_bytes if process else None,
        "restarts": process.restarts if process else None,
        "out_of_memory": process.ooms if process else None,
        "started_at": process.started_at if process else None,
    }


def link(view: ServiceView, found: ServiceLink) -> dict[str, Any]:
    """A service that the app is linked to."""
    return {
        "service": view.service.name,
        "engine": view.service.engine,
        "version": view.service.version,
        "state": view.state or None,
        "alias": found.alias,
        "read_only": found.read_only,
    }


def event(found: ContainerEvent) -> dict[str, Any]:
    """Something that happened to a container."""
    return {"at": found.at, "container": found.container, "kind": found.kind, "text": found.text}


def uptime(days: list[UptimeDay]) -> dict[str, Any]:
    """90 days; a day begins at ``at``."""
    told = [
        {"at": d.day * DAY_S, "up_s": round(d.up_s), "down_s": round(d.down_s), "off_s": round(d.off_s)} for d in days
    ]
    return {"share": share(days), "days": told}


def rules(found: Iterable[CacheRuleInUse], files_until: float | None) -> dict[str, Any]:
    """The cache's rules, by the names that `cache:set` takes."""
    in_use = {use.rule.option: {"value": use.value, "source": use.source} for use in found}
    return {"rules": in_use, "files_until": files_until}


def traffic(reach: Reach, found: list[ChartStep], live: Iterable[tuple[float, str, int]]) -> dict[str, Any]:
    """What the plots draw."""
    since = found[0].start
    marks = [{"at": at, "release": name, "deploy": number} for at, name, number in sorted(live) if at >= since]
    return {"span": reach.name, "steps": [_step(step) for step in found], "live": marks}


def _step(step: ChartStep) -> dict[str, Any]:
    counts: Traffic = step.traffic
    return {
        "at": step.start,
        "seconds": step.seconds,
        "requests": counts.requests,
        **{name: getattr(counts, name) for name in COUNTS},
        "hit_ratio": counts.hit_ratio,
        "p50_s": counts.percentile(0.5),
        "p95_s": counts.percentile(0.95),
        "p99_s": counts.percentile(0.99),
    }


def said_of(commit: str | None, commits: Known) -> dict[str, Any]:
    """What a commit says of itself."""
    found = commits.get(commit or "")
    return {
        "subject": found.subject if found else None,
        "author": found.author.partition(" <")[0] if found else None,
    }
