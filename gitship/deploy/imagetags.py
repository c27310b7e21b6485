"""The tags by which apps hold images: ``gitship/<app>:<server>-<deploy>-<word>``, one for each deploy that took it.

An image built for one app may be another's, too (`releases:promote`), and Docker keeps an image until its last tag is
gone. So every app holds what it needs by tags of its own, and takes only those away: no list of users can be out of
date, and a deploy that takes an image at this moment either gets its tag or is told that the image is gone.

A Dockerfile may name any image of the engine (FROM, COPY --from), and an app's name and the numbers of deploys can be
guessed: the word cannot, so nobody builds on another app's image.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping

from gitship.errors import NotFound
from gitship.model import App
from gitship.store import Store

PREFIX = "gitship/"
WORD_CHARS = 32


def tag_of(store: Store, app: App, deploy_id: int) -> str:
    """The tag by which a deploy holds its image; whose it is, the deploy tells, since an app's name may change."""
    word = hmac.new(store.secret(), f"image of deploy {deploy_id}".encode(), "sha256").hexdigest()[:WORD_CHARS]
    return f"{PREFIX}{app.name}:{store.server_id()}-{deploy_id}-{word}"


def cache_of(store: Store, app: App) -> str:
    """The namespace of the cache mounts of an app's builds: as BuildKit has it, one of the same id is everybody's."""
    return hmac.new(store.secret(), f"cache of app {app.id}".encode(), "sha256").hexdigest()[:WORD_CHARS]


def layers_of(store: Store, app: App, secrets: Mapping[str, str]) -> str:
    """What keeps an app's layers to itself, see ``buildcache``; another one as soon as one of the secrets changes."""
    what = json.dumps(["layers of app", app.id, sorted(secrets.items())])
    return hmac.new(store.secret(), what.encode(), "sha256").hexdigest()[:WORD_CHARS]


def _pattern(store: Store) -> re.Pattern[str]:
    """A tag of this server, with its deploy's number; one of an earlier gitship has no word."""
    return re.compile(rf"{PREFIX}.+:{re.escape(store.server_id())}-([0-9]{{1,18}})(?:-[0-9a-f]{{{WORD_CHARS}}})?")


def held_by(store: Store, app: App) -> Callable[[str], bool]:
    """Tells the tags of the app's deploys, and those of apps that are gone."""
    pattern = _pattern(store)

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
    mine, pattern = held_by(store, app), _pattern(store)

    def ended(tag: str) -> bool:
        match = pattern.fullmatch(tag)
        deploy_id = int(match[1]) if match else 0
        return deploy_id <= newest and deploy_id not in unfinished

    return lambda tag: mine(tag) and ended(tag)


def let_go_by_all(store: Store) -> Callable[[str], bool]:
    """Tells the tags of every deploy of this server that has ended. To be made before the releases are looked up."""
    unfinished = {deploy.id for deploy in store.unfinished_deploys()}
    newest = store.last_deploy_id()
    pattern = _pattern(store)

    def ended(tag: str) -> bool:
        match = pattern.fullmatch(tag)
        return match is not None and int(match[1]) <= newest and int(match[1]) not in unfinished

    return ended
