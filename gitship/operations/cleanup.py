"""Shows and frees disk space that gitship uses and does not need.

Only what is its own by what the store says: images that a deploy has tagged, or that a release was made of, and that no
release needs which can be gone back to; old logs; repositories that are packed anew. A label of an image only finds it.
Containers that nothing leads to go by the reconciler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.config import Settings
from gitship.deploy.image_tags import PREFIX, deploy_of, let_go_by_all
from gitship.deploy.retire_images import images_to_keep
from gitship.engine import types
from gitship.engine.interface import Engine
from gitship.engine.types import HeldImage
from gitship.errors import GitshipError, NotFound
from gitship.git import repack
from gitship.git.repository import Repositories
from gitship.logs import retention
from gitship.model import App
from gitship.store import Store

log = logging.getLogger("gitship.cleanup")


@dataclass(frozen=True, slots=True)
class Item:
    """``kind`` is image, logs, repository or build cache; ``bytes`` what it takes, shared layers included."""

    kind: str
    name: str
    app: str | None
    bytes: int | None
    why: str


class Cleanup:
    """Safe from any thread, also while apps deploy."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, repositories: Repositories) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._repositories = repositories
        self._server_id = store.server_id()

    def look(self, *, build_cache: bool = False) -> list[Item]:
        """What ``free`` would take, without taking it. Raises EngineError when Docker does not answer."""
        items = [item for item, _ in self._images()]
        items += self._logs(lambda log: None)
        items += [item for item, _ in self._scattered()]
        if build_cache:
            items.append(
                Item("build cache", "all", None, self._engine.images.cache_bytes(), "of everyone who builds here")
            )
        return items

    def free(self, *, build_cache: bool = False) -> list[Item]:
        """Takes it; what went, an item each. What cannot go now is logged, and found the next time."""
        items = self.prune_logs()  # first: this makes room even on a full disk
        items += self._remove_images()
        items += self.pack()
        if build_cache:
            freed = self._engine.images.prune_cache(0)
            items.append(Item("build cache", "all", None, freed, "of everyone who builds here"))
        return items

    def prune_logs(self) -> list[Item]:
        gone = self._logs(lambda log: log.path.unlink(missing_ok=True))
        retention.tidy(self._settings.logs, self._store)
        return gone

    # -- images

    def _remove_images(self) -> list[Item]:
        mine = let_go_by_all(self._store)
        gone = []
        for item, image in self._images():
            try:
                if self._engine.images.remove(image.id, mine, untagged=bool(self._store.apps_of_image(image.id))):
                    gone.append(item)
            except GitshipError as error:
                log.warning("image %s stays: %s", item.name, error.message)
        return gone

    def _images(self) -> Iterator[tuple[Item, HeldImage]]:
        """Images that a deploy has tagged or a release has had, and that nothing needs."""
        mine = let_go_by_all(self._store)  # before the releases: what ends in between is among those
        found = self._engine.images.held(types.LABEL_SERVER, self._server_id, f"{PREFIX}*")
        apps = {app.id: app for app in self._store.apps()}
        days = self._settings.disk.image_days
        building = bool(self._store.unfinished_deploys())
        wanted: set[str] = set()
        for app in apps.values():
            wanted |= images_to_keep(self._store, app, self._settings.deploy.keep_releases, days)
        for image in found:
            if image.id in wanted or image.in_use or not all(map(mine, image.tags)):
                continue
            released = self._store.apps_of_image(image.id)
            if not image.tags and (building or not released):
                continue  # without a tag it may be one that is being built at this moment, or somebody else's
            owner = next(
                (apps[app_id] for app_id in (*self._taggers(image), *sorted(released)) if app_id in apps), None
            )
            why = "of an old release" if released else "left behind by a build"
            if owner is None:
                why = "of a deleted app"
            name = image.tags[0] if image.tags else image.id.removeprefix("sha256:")[:12]
            yield Item("image", name, owner.name if owner else None, image.size_bytes, why), image

    def _taggers(self, image: HeldImage) -> Iterator[int]:
        """Ids of the apps whose deploys have tagged it."""
        for number in filter(None, map(deploy_of(self._store), image.tags)):
            with suppress(NotFound):  # its app is gone
                yield self._store.deploy(number).app_id

    # -- logs

    def _logs(self, take: Callable[[retention.OldLog], None]) -> list[Item]:
        """One item per app."""
        totals: dict[tuple[Path, str | None], list[int]] = {}
        days = self._settings.disk.log_days
        for old in retention.found(self._settings.logs, self._store, days):
            total = totals.setdefault((old.place, old.app), [0, 0])
            total[0] += 1
            total[1] += old.bytes
            take(old)
        return [
            Item(
                "logs", "1 file" if count == 1 else f"{count} files", app, size,
                "of a deleted app" if app is None else f"older than {days} days",
            )
            for (_, app), (count, size) in totals.items()
        ]  # fmt: skip

    # -- repositories

    def _scattered(self) -> Iterator[tuple[Item, App]]:
        for app in self._store.apps():
            try:
                found = repack.scattered(self._repositories.open(app.name))
            except (GitshipError, OSError):  # destroyed or renamed just now
                continue
            if found.worth_it:
                why = f"{found.loose} loose objects and {found.packs} packs become one pack"
                yield Item("repository", f"{app.name}.git", app.name, found.bytes, why), app

    def pack(self) -> list[Item]:
        """Packs the repositories that are worth it, one after the other; what each became smaller by."""
        done: list[Item] = []
        for item, app in list(self._scattered()):
            if not self._repositories.unpacked.acquire(blocking=False):
                return done  # a backup reads them
            try:
                repository = self._repositories.open(app.name)
                before = repository.size()
                repack.pack(repository)
                freed = max(0, before - repository.size())
                done.append(Item(item.kind, item.name, item.app, freed, item.why))
            except (GitshipError, OSError) as error:
                log.warning("%s: %s", app.name, error)
            finally:
                self._repositories.unpacked.release()
        return done
