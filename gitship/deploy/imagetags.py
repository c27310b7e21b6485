"""The tags by which apps hold images: ``gitship/<app>:<server>-<deploy>``, one for each deploy that took the image.

An image built for one app may be another's, too (`releases:promote`), and Docker keeps an image until its last tag is
gone. So every app holds what it needs by tags of its own, and takes only those away: no list of users can be out of
date, and a deploy that takes an image at this moment either gets its tag or is told that the image is gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gitship.errors import NotFound
from gitship.model import App
from gitship.store import Store

PREFIX = "gitship/"


def tag_of(app: App, server_id: str, deploy_id: int) -> str:
    """The tag by which a deploy holds its image; whose it is, the deploy tells, since an app's name may change."""
    return f"{PREFIX}{app.name}:{server_id}-{deploy_id}"


def held_by(store: Store, app: App) -> Callable[[str], bool]:
    """Tells the tags of the app's deploys, and those of apps that are gone."""
    pattern = re.compile(rf"{PREFIX}.+:{re.escape(store.server_id())}-([0-9]{{1,18}})")

    def mine(tag: str) -> bool:
        match = pattern.fullmatch(tag)
        if match is None:
            return False
        try:
            return store.deploy(int(match[1])).app_id == app.id
        except NotFound:
            return True

    return mine


def let_go_by(store: Store, app: App) -> Callable[[str], bool]:
    """As ``held_by``, without the deploys that have not ended yet: they are taking their image at this moment.

    To be made before the releases that keep their image are looked up: what ends in between is among those.
    """
    unfinished = {deploy.id for deploy in store.unfinished_deploys()}
    newest = max((deploy.id for deploy in store.deploys(app.id, limit=1)), default=0)
    mine = held_by(store, app)

    def ended(tag: str) -> bool:
        deploy_id = int(tag.rpartition("-")[2])
        return deploy_id <= newest and deploy_id not in unfinished

    return lambda tag: mine(tag) and ended(tag)


def let_go_by_all(store: Store) -> Callable[[str], bool]:
    """Tells the tags of every deploy of this server that has ended. To be made before the releases are looked up."""
    unfinished = {deploy.id for deploy in store.unfinished_deploys()}
    newest = store.last_deploy_id()
    pattern = re.compile(rf"{PREFIX}.+:{re.escape(store.server_id())}-([0-9]{{1,18}})")

    def ended(tag: str) -> bool:
        match = pattern.fullmatch(tag)
        return match is not None and int(match[1]) <= newest and int(match[1]) not in unfinished

    return ended
