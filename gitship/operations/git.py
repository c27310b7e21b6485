"""The repository of an app, and deploys of a push, an image, an archive or a commit.

All of them go through the queue and the pipeline.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gitship.appfiles.canary_rules import CanaryPlan
from gitship.appsettings import DESTROYING
from gitship.deploy.job import Request
from gitship.engine import image_references
from gitship.errors import Conflict, GitshipError, NotFound, UsageError
from gitship.git import ref_names, revisions
from gitship.git.archive import commit_archive
from gitship.git.ref_names import HEADS, MAIN_BRANCHES
from gitship.git.repository import Repositories
from gitship.git.streams import ByteSource
from gitship.model import App, Deploy, DeployKind, Identity
from gitship.operations.app_lock import ensure_not_destroyed, ensure_unlocked
from gitship.operations.shared import Shared

log = logging.getLogger("gitship.deploy")


@dataclass(frozen=True, slots=True)
class Report:
    """An app's repository: ``bytes`` on disk, ``refs`` with their objects, ``commit`` what the deploy branch names."""

    deploy_branch: str | None
    commit: str | None
    refs: dict[str, str]
    bytes: int


class Git:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._settings = shared.settings
        self._store = shared.store
        self._repositories = shared.repositories

    # -- pushes

    @contextmanager
    def pushing(self, app: App, by: Identity) -> Iterator[None]:
        """While a push changes the app's repository, which has the app's name: nobody takes app, name or right away.

        Raises NotFound, NoPermission, or Conflict when it is being destroyed or was renamed.
        """
        with self._store.acting(app, by):
            self.ensure_named(app, by)
            yield

    def ensure_named(self, app: App, by: Identity) -> None:
        """Its repository is still found by its name. Raises NotFound, NoPermission or Conflict when it isn't."""
        now = self._store.confirm(app, by)
        ensure_not_destroyed(self._store, now)
        if now.name != app.name:
            raise Conflict(f"{app.name} was renamed to {now.name}", "use it under its new name")

    def mend(self, app: App) -> None:
        """One that somebody took off the disk is there again, empty: whoever pushes has all that it needs."""
        if self._repositories.has(app.name):  # as at nearly every push, which need not wait for who writes
            return
        with self._store.transaction():  # no rename meanwhile
            now = self._store.app_by_id(app.id)
            if self._store.setting(app.id, DESTROYING) is None and not self._repositories.has(now.name):
                log.warning("%s: its repository was gone; the push makes it anew", now.name)
                self._repositories.create(now.name)

    def push(
        self,
        app: App,
        ref: str,
        old: str | None,
        new: str,
        by: Identity,
        *,
        no_cache: bool = False,
        canary: CanaryPlan | None = None,
        skip_canary: bool = False,
        moved: bool = False,
    ) -> Deploy:
        """Queues the deploy of a pushed commit; ``moved``: git itself has moved the ref already."""
        request = Request(
            DeployKind.PUSH, f"push {new[:7]}", new, ref, old,
            ref_moved=moved, no_cache=no_cache, canary=canary, skip_canary=skip_canary,
        )  # fmt: skip
        return self._shared.jobs.submit(app, request, by)

    def deploy_pushed(self, app: App, ref: str, old: str, new: str, by: Identity) -> Deploy | None:
        """Deploys what a push by another road (a file path) has put on the deploy branch; None for another branch."""
        found = self._store.confirm(app, by)
        branch = found.deploy_branch or ref.removeprefix("refs/heads/")
        zero = "0" * 40
        if ref != f"refs/heads/{branch}" or new == zero:
            return None
        before = None if old == zero else old
        try:
            return self.push(found, ref, before, new, by, moved=True)
        except Conflict:  # locked: git has moved the ref already
            self._repositories.open(found.name).compare_and_set(ref, new, before)
            raise

    # -- what no push brings

    def image(self, app: App, reference: str, by: Identity, *, pull: bool = False) -> Deploy:
        """An image of the engine or a registry as the next release; ``pull``: the registry is asked in any case."""
        found = self._store.confirm(app, by)
        parsed = image_references.parse(reference)
        return self._shared.jobs.submit(
            found, Request(DeployKind.IMAGE, f"image {parsed}", image=str(parsed), pull=pull), by
        )

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
            admitted=lambda: self.pushing(found, by),
        )
        cause = f"archive {archived.sha256[:12]}"
        return self._shared.jobs.submit(found, Request(DeployKind.PUSH, cause, archived.commit, ref, parent), by)

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
        return self._shared.jobs.submit(found, Request(DeployKind.PUSH, cause, commit, ref, now), by)

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


def ensure_commit(repositories: Repositories, app: App, commit: str) -> None:
    """Raises GitshipError when the app's repository does not have it any more."""
    try:
        repositories.open(app.name).commit(commit)
    except NotFound:
        raise GitshipError(
            f"the repository of {app.name} does not have commit {commit[:7]} any more",
            f"push it again: git push deploy {commit[:12]}:{app.deploy_branch or 'main'}",
        ) from None
