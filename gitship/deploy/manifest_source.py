"""Loads a release's manifest: from its commit in the repository, or from files kept with the release.

It keeps them when the repository does not have the commit: promoted from another app, or an image from elsewhere (no
files at all then). So config, ports, checks and limits can be changed there as anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gitship.appfiles import manifest as manifests
from gitship.appfiles.manifest import Manifest
from gitship.appsettings import BUILT_CONTEXT
from gitship.errors import NotFound
from gitship.git.repository import Repositories
from gitship.model import App, Release
from gitship.store import Store

IMAGE = "image"
_CAUSE = "image "  # how the cause of a release begins that was taken from a registry
Kept = Mapping[str, Any]  # "context" as in manifest.read, "files" by path, IMAGE where an image from elsewhere is had
NO_FILES: Kept = {"context": None, "files": {}}


def manifest_of(store: Store, repositories: Repositories, app: App, release: Release) -> Manifest | None:
    """What the release was made from says, when it is still known."""
    kept = store.release_manifest(release.id)
    if kept is not None:
        files = {path: text.encode("utf-8", "surrogateescape") for path, text in kept["files"].items()}
        return manifests.read(files.get, kept["context"])
    read = _reader(repositories, app, release)
    try:
        return read and manifests.read(read, store.setting(app.id, BUILT_CONTEXT))
    except NotFound:
        return None


def keep(store: Store, repositories: Repositories, app: App, release: Release) -> Kept | None:
    """The files that the manifest of the app's release consists of, for a release of another app."""
    kept = store.release_manifest(release.id)
    read = _reader(repositories, app, release)
    if kept is not None or read is None:
        return kept
    found: dict[str, str] = {}

    def note(path: str) -> bytes | None:
        content = read(path)
        if content is not None:
            found[path] = content.decode("utf-8", "surrogateescape")
        return content

    context = store.setting(app.id, BUILT_CONTEXT)
    try:
        manifests.read(note, context)
    except NotFound:
        return None
    return {"context": context, "files": found}


def image_of(store: Store, release: Release) -> str | None:
    """The name by which the image of a release from elsewhere can be had again; None when it was built here."""
    kept = store.release_manifest(release.id) or {}
    if release.commit is not None or IMAGE in kept:
        return kept.get(IMAGE)
    causes = [r.cause for r in store.releases(release.app_id) if r.image_id == release.image_id]
    named = (cause.removeprefix(_CAUSE) for cause in causes if cause.startswith(_CAUSE))  # from before it was kept
    return next(named, None)


def _reader(repositories: Repositories, app: App, release: Release) -> Callable[[str], bytes | None] | None:
    if release.commit is None:
        return None
    commit, repository = release.commit, repositories.open(app.name)
    return lambda path: repository.blob(commit, path)
