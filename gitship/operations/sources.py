"""Where releases come from beside a push: another app, an image, an archive, a commit that is there already.

``ServerOperations.sources``. All of them go through the queue and the pipeline as a push does.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from gitship.config import Settings
from gitship.engine import image_references
from gitship.errors import Conflict, UsageError
from gitship.git import ref_names, revisions
from gitship.git.archive import commit_archive
from gitship.git.ref_names import HEADS, MAIN_BRANCHES
from gitship.git.repository import Repositories
from gitship.git.streams import ByteSource
from gitship.model import App, Deploy, DeployKind, Identity
from gitship.store import Store
from gitship.store.app_lock import ensure_unlocked
from gitship.store.rights import ensure_live


class Deploying(Protocol):
    """Queues a deploy. Raises Conflict when the app is locked."""

    def __call__(
        self, app: App, kind: DeployKind, by: Identity, *, cause: str, commit: str | None = None,
        ref: str | None = None, old: str | None = None, release_id: int | None = None, source: App | None = None,
        image: str = "", pull: bool = False,
    ) -> Deploy: ...  # fmt: skip


class Admitted(Protocol):
    """Held while objects are moved into the app's repository, which has its name.

    Raises NotFound, NoPermission or Conflict when app, right or name is another by now.
    """

    def __call__(self, app: App, by: Identity) -> AbstractContextManager[object]: ...


@dataclass(frozen=True, slots=True)
class Report:
    """An app's repository: ``bytes`` on disk, ``refs`` with their objects, ``commit`` what the deploy branch names."""

    deploy_branch: str | None
    commit: str | None
    refs: dict[str, str]
    bytes: int


class Sources:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(
        self, settings: Settings, store: Store, repositories: Repositories, admitted: Admitted, deploy: Deploying
    ) -> None:
        self._admitted = admitted
        self._settings = settings
        self._store = store
        self._repositories = repositories
        self._deploy = deploy

    def promote(self, app: App, to: App, number: int | None, by: Identity) -> Deploy:
        """The image and processes of a release of ``app`` (the live one) as the next release of ``to``."""
        source, target = self._store.confirm(app, by), self._store.confirm(to, by)
        if source.id == target.id:
            raise Conflict(
                f"{source.name} is the same app", f"to go back to an earlier release: releases:rollback {source.name}"
            )
        if number is None:
            source = ensure_live(source)
            release = self._store.release(source.live_release or 0)
        else:
            release = self._store.release_number(source.id, number)
        cause = f"{source.name} {release.label}"
        return self._deploy(
            target, DeployKind.PROMOTE, by, cause=cause, commit=release.commit, release_id=release.id, source=source
        )

    def image(self, app: App, reference: str, by: Identity, *, pull: bool = False) -> Deploy:
        """An image of the engine or a registry as the next release; ``pull``: the registry is asked in any case."""
        found = self._store.confirm(app, by)
        parsed = image_references.parse(reference)
        return self._deploy(found, DeployKind.IMAGE, by, cause=f"image {parsed}", image=str(parsed), pull=pull)

    def archive(self, app: App, stream: ByteSource, by: Identity, *, strip: int = 0, title: str = "") -> Deploy:
        """A tar as a commit on the deploy branch, which moves when the commit is live."""
        found = self._store.confirm(app, by)
        ensure_unlocked(self._store, found)  # before everything has been sent
        repository, ref = self._repositories.open(found.name), self._ref(found)
        parent = repository.ref(ref)
        archived = commit_archive(
            repository,
            stream,
            parent=parent,
            author=by.key_name,
            strip=strip,
            title=title,
            limit_bytes=self._settings.ssh.max_pack,
            admitted=lambda: self._admitted(found, by),
        )
        cause = f"archive {archived.sha256[:12]}"
        return self._deploy(found, DeployKind.PUSH, by, cause=cause, commit=archived.commit, ref=ref, old=parent)

    def deploy(self, app: App, revision: str, by: Identity, *, force: bool = False) -> Deploy:
        """A commit of the repository; the deploy branch moves to it when it is live, with ``force`` also sideways."""
        found = self._store.confirm(app, by)
        repository, ref = self._repositories.open(found.name), self._ref(found)
        commit, now = revisions.resolve(repository, revision), repository.ref(ref)
        if now is not None and not force and not repository.is_ancestor(now, commit):
            branch = ref.removeprefix(HEADS)
            raise Conflict(
                f"{commit[:7]} does not contain '{branch}' ({now[:7]})",
                f"merge '{branch}' into it first, or add --force to drop those commits",
            )
        cause = f"deploy {revision[:100]}" + (f", {commit[:7]}" if not commit.startswith(revision) else "")
        return self._deploy(found, DeployKind.PUSH, by, cause=cause, commit=commit, ref=ref, old=now)

    def set_branch(self, app: App, branch: str, by: Identity) -> str:
        """The branch that deploys, from the next push on, by its short name: ``main`` for ``refs/heads/main``."""
        # a branch refs/heads/refs/heads/main beside main: git push could not tell them apart
        branch = branch.removeprefix(HEADS)
        ref = HEADS + branch
        refusal = ref_names.refusal(ref)
        if refusal:
            raise UsageError(f"'{branch[:80]}' is not a valid branch: {refusal}", "for instance main")
        with self._store.acting(app, by) as found:
            ensure_unlocked(self._store, found)
            repository = self._repositories.open(found.name)
            self._store.set_deploy_branch(found.id, branch)
        if repository.ref(ref) is not None:  # else a clone checks it out once it is there
            repository.point_head(ref)
        return branch

    def report(self, app: App) -> Report:
        repository = self._repositories.open(app.name)
        refs = {ref: sha for ref, sha in repository.refs().items() if not ref_names.hidden(ref)}
        return Report(app.deploy_branch, refs.get(self._ref(app)), refs, repository.size())

    def _ref(self, app: App) -> str:
        return HEADS + (app.deploy_branch or MAIN_BRANCHES[0])
