"""A deploy as JSON: what hooks get on standard input and webhooks in the body. The keys stay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gitship.model import Deploy, Release
from gitship.store import Store

MOST_CHARS = 2000  # of a reason or hint: a hint may hold a whole Dockerfile


def deploy_document(store: Store, deploy: Deploy, url: str, *, state: str, seconds: float) -> dict[str, Any]:
    """``state`` and ``seconds`` (since it was asked for) are those of the moment that is told of."""
    release = store.release(deploy.release_id) if deploy.release_id else None
    return {
        "id": deploy.id,
        "kind": deploy.kind.value,
        "state": state,
        "release": release.number if release else None,
        "commit": (release.commit if release else None) or deploy.commit,
        "cause": deploy.cause,
        "by": deploy.created_by,
        "stage": deploy.failed_stage.value if deploy.failed_stage else None,
        "reason": deploy.reason[:MOST_CHARS],
        "hint": deploy.hint[:MOST_CHARS],
        "seconds": round(seconds, 3),
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
