"""Removes images of old releases; the last N that were live keep theirs."""

from __future__ import annotations

import logging
import time

from gitship.deploy.image_tags import let_go_by, only_of
from gitship.engine.interface import Engine
from gitship.errors import GitshipError
from gitship.model import App
from gitship.store import Store

log = logging.getLogger("gitship.retire")
DAY_S = 86_400.0
ALWAYS = 2  # the live release and the one before it
LOOK_BACK = 20  # older ones were looked at by the deploys before; each look costs a call


def images_to_keep(store: Store, app: App, keep: int, days: int = 0) -> set[str]:
    """Images of the last ``keep`` releases that were live, and of the one that is.

    With ``days`` without those that are older, but for the newest ``ALWAYS``: one can always go back.
    """
    since = time.time() - days * DAY_S if days else 0.0
    good = store.good_releases(app.id)[:keep]
    wanted = {r.image_id for position, r in enumerate(good) if position < ALWAYS or r.created_at >= since}
    live = store.app_by_id(app.id).live_release
    return wanted | {store.release(live).image_id} if live else wanted


def retire_images(engine: Engine, store: Store, app: App, keep: int, days: int = 0) -> int:
    """Removes the app's images beyond that; those that other apps hold, too, stay. How many went."""
    mine = let_go_by(store, app)
    wanted = images_to_keep(store, app, keep, days)
    gone = 0
    recent = store.releases(app.id)[: keep + LOOK_BACK]
    for image_id in {r.image_id for r in recent} - wanted:
        try:
            gone += engine.images.remove(image_id, mine, untagged=only_of(store, app, image_id))
        except GitshipError as error:
            log.warning("%s: image %s stays: %s", app.name, image_id[:19], error.message)
    return gone
