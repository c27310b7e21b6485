"""Docker tags that keep an app's images: ``gitship/<app>:<server>-<deploy>-<word>``, one per deploy.

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
    return f"{PREFIX}{app.name}:{store.server_id()}-{deploy_id}-{_word(store, deploy_id)}"


def _word(store: Store, deploy_id: int) -> str:
    return hmac.new(store.secret(), f"image of deploy {deploy_id}".encode(), "sha256").hexdigest()[:WORD_CHARS]


def cache_of(store: Store, app: App) -> str:
    """The namespace of the cache mounts of an app's builds: as BuildKit has it, one of the same id is everybody's."""
    return hmac.new(store.secret(), f"cache of app {app.id}".encode(), "sha256").hexdigest()[:WORD_CHARS]


def layers_of(store: Store, app: App, secrets: Mapping[str, str]) -> str:
    """What keeps an app's layers to itself, see ``build_cache``; another one as soon as one of the secrets changes."""
    what = json.dumps(["layers of app", app.id, sorted(secrets.items())])
    return hmac.new(store.secret(), what.encode(), "sha256").hexdigest()[:WORD_CHARS]


def deploy_of(store: Store) -> Callable[[str], int | None]:
    """Tells of a tag which deploy of this server made it, None of any other; one of an earlier gitship has no word."""
    pattern = re.compile(rf"{PREFIX}.+:{re.escape(store.server_id())}-([0-9]{{1,18}})(?:-([0-9a-f]{{{WORD_CHARS}}}))?")

    def found(tag: str) -> int | None:
        match = pattern.fullmatch(tag)
        if match is None:
            return None
        number, word = int(match[1]), match[2]
        return number if word is None or hmac.compare_digest(word, _word(store, number)) else None

    return found


def held_by(store: Store, app: App) -> Callable[[str], bool]:
    """Tells the tags of the app's deploys, and those of apps that are gone."""
    deploy_of_tag = deploy_of(store)

    def mine(tag: str) -> bool:
        number = deploy_of_tag(tag)
        if number is None:
            return False
        try:
            return store.deploy(number).app_id == app.id
        except NotFound:
            return True

    return mine


def only_of(store: Store, app: App, image_id: str) -> bool:
    """No release of another app has the image: without any tag it is this app's to remove, whatever its labels say."""
    return store.apps_of_image(image_id) <= {app.id}


def let_go_by(store: Store, app: App) -> Callable[[str], bool]:
    """As ``held_by``, without the deploys that have not ended yet: they are taking their image at this moment.

    To be made before the releases that keep their image are looked up: what ends in between is among those.
    """
    unfinished = {deploy.id for deploy in store.unfinished_deploys()}
    newest = max((deploy.id for deploy in store.deploys(app.id, limit=1)), default=0)
    mine, deploy_of_tag = held_by(store, app), deploy_of(store)

    def ended(tag: str) -> bool:
        number = deploy_of_tag(tag) or 0
        return number <= newest and number not in unfinished

    return lambda tag: mine(tag) and ended(tag)


def let_go_by_all(store: Store) -> Callable[[str], bool]:
    """Tells the tags of every deploy of this server that has ended. To be made before the releases are looked up."""
    unfinished = {deploy.id for deploy in store.unfinished_deploys()}
    newest = store.last_deploy_id()
    deploy_of_tag = deploy_of(store)

    def ended(tag: str) -> bool:
        number = deploy_of_tag(tag)
        return number is not None and number <= newest and number not in unfinished

    return ended
