"""Resolves a branch, tag or abbreviated id to a commit."""

from __future__ import annotations

import itertools
import re

from dulwich.objects import Commit, ObjectID, Tag

from gitship.errors import GitError, NotFound, nearest
from gitship.git import ref_names
from gitship.git.object_headers import COMMIT, open_store, peek
from gitship.git.repository import Repository
from gitship.git.snapshot import MAX_TAGS

LEAST_DIGITS = 7
MOST_MATCHES = 1000
_ID = re.compile(rf"[0-9a-f]{{{LEAST_DIGITS},40}}")


def resolve(repository: Repository, word: str) -> str:
    """The commit (hex). A branch comes before a tag, both before an id. Raises NotFound or GitError."""
    refs = {ref: sha for ref, sha in repository.refs().items() if not ref_names.hidden(ref)}
    for name in (word, *(prefix + word for prefix in ref_names.PUSHABLE_PREFIXES)):
        if name in refs:
            return _peeled(repository, refs[name])
    if _ID.fullmatch(word):
        return _by_id(repository, word)
    names = [ref.split("/", 2)[2] for ref in refs if ref.startswith(ref_names.PUSHABLE_PREFIXES)]
    near = nearest(word, names)
    raise NotFound(
        f"the repository has no branch, tag or commit '{word[:80]}'",
        f"did you mean '{near}'?" if near else "push it with: git push -o no-deploy deploy BRANCH",
    )


def _peeled(repository: Repository, sha: str) -> str:
    with open_store(repository.objects) as store:
        found = store[ObjectID(sha.encode())]
        for _ in range(MAX_TAGS):
            if not isinstance(found, Tag):
                break
            found = store[found.object[1]]
        if not isinstance(found, Commit):
            raise GitError(f"{sha[:12]} is not a commit", "give a branch, or a tag of a commit")
        return bytes(found.id).decode()


def _by_id(repository: Repository, digits: str) -> str:
    with open_store(repository.objects) as store:
        found = {bytes(sha).decode() for sha in itertools.islice(store.iter_prefix(digits.encode()), MOST_MATCHES)}
        commits = [sha for sha in found if peek(store, sha).type == COMMIT]
    if len(commits) > 1:
        raise GitError(f"more than one commit begins with {digits}", "give more digits")
    if not commits:
        raise NotFound(f"the repository has no commit {digits}", "push it with: git push -o no-deploy deploy BRANCH")
    return commits[0]
