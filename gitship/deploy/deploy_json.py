"""JSON form of a deploy, the same in commands, the API, hooks and webhooks.

The keys stay; times are ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gitship.model import Deploy, Release
from gitship.store import Store

MOST_CHARS = 2000  # of a reason or hint that is sent: a hint may hold a whole Dockerfile


def deploy_document(deploy: Deploy, release: Release | None) -> dict[str, Any]:
    """``release`` is the one that it made or led to. ``seconds`` count from when it was asked for to its end."""
    ended = deploy.finished_at
    return {
        "id": deploy.id,
        "kind": deploy.kind.value,
        "cause": deploy.cause,
        "state": deploy.state.value,
        "release": release.number if release else None,
        "commit": (release.commit if release else None) or deploy.commit,
        "created_at": iso(deploy.created_at),
        "created_by": deploy.created_by,
        "finished_at": None if ended is None else iso(ended),
        "seconds": None if ended is None else round(deploy.lasted_s(ended), 3),
        "stages": [
            {"stage": s.stage.value, "started_at": iso(s.started_at), "seconds": round(s.seconds, 3)}
            for s in deploy.stages
        ],
        "failed_stage": deploy.failed_stage.value if deploy.failed_stage else None,
        "reason": deploy.reason,
        "hint": deploy.hint,
        "request": deploy.request,
    }


def told_document(store: Store, deploy: Deploy, url: str, *, state: str, at: float) -> dict[str, Any]:
    """What is sent of it; ``state`` and ``at`` (epoch seconds) are those of the moment that is told of."""
    release = store.release(deploy.release_id) if deploy.release_id else None
    return deploy_document(deploy, release) | {
        "state": state,
        "seconds": round(max(0.0, at - deploy.created_at), 3),
        "reason": deploy.reason[:MOST_CHARS],
        "hint": deploy.hint[:MOST_CHARS],
        "url": url,
        "image_bytes": release.image_bytes if release else None,
        "growth_bytes": growth_bytes(store, release) if release else None,
    }


def growth_bytes(store: Store, release: Release) -> int | None:
    """By how much the image grew against the release that was live before, None for the first."""
    before = store.release_before(release)
    return release.image_bytes - before.image_bytes if before else None


def iso(at: float) -> str:
    """Epoch seconds as ``2026-01-31T12:00:00Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
