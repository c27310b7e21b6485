"""Bare repositories, one per app: ``Repositories`` makes, opens, renames and removes them, ``Repository`` reads one."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dulwich.errors import NotTreeError
from dulwich.object_store import BaseObjectStore, tree_lookup_path
from dulwich.objects import ObjectID, RawObjectID, sha_to_hex
from dulwich.repo import Repo

from gitship.errors import Conflict, GitError, NotFound
from gitship.git.history import BadObject, History, RawCommit, read_commit
from gitship.git.object_headers import BLOB, open_store, peek
from gitship.git.refs import Refs, RefUpdate
from gitship.model import APP_NAME

MAX_BLOB_BYTES = 1 << 20
MAX_SUBJECT_CHARS = 200
LEFT_OVER_OBJECTS = ("incoming-*", "tmp_pack_*", "pack/tmp_*", "??/tmp_obj_*")


@dataclass(frozen=True, slots=True)
class Commit:
    """``author`` is ``Name <mail>``; ``at`` is when it was committed, epoch seconds."""

    sha: str
    subject: str
    author: str
    at: float


class Repository:
    """One bare repository. Opens files for each call: it sees what other threads and processes wrote just now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._refs = Refs(path)

    @property
    def objects(self) -> Path:
        """The directory of the object store."""
        return self.path / "objects"

    def ref(self, name: str) -> str | None:
        """The commit (hex) that a ref names, or None when there is no such ref."""
        return self._refs.get(name)

    def refs(self) -> dict[str, str]:
        """Every ref with its object (hex), hidden ones too, sorted by name."""
        return self._refs.all()

    def compare_and_set(self, ref: str, old: str | None, new: str | None) -> bool:
        """Moves ``ref`` from ``old`` to ``new`` (None: absent); True only when it did. Raises GitError when locked."""
        return self._refs.compare_and_set(ref, old, new)

    def compare_and_set_all(self, updates: Iterable[RefUpdate]) -> Mapping[str, str]:
        """Moves all refs or none; the reason per ref that stood in the way."""
        return self._refs.compare_and_set_all(updates)

    def head(self) -> str:
        """The branch that a clone checks out, whether it exists or not."""
        return self._refs.head()

    def point_head(self, ref: str) -> None:
        """Makes ``ref`` the branch that a clone checks out."""
        self._refs.point_head(ref)

    def size(self) -> int:
        """Bytes on the disk; what vanishes meanwhile is not counted."""
        total = 0
        for directory, _, files in os.walk(self.path):
            for name in files:
                with suppress(OSError):
                    total += Path(directory, name).stat().st_size
        return total

    def commit(self, sha: str) -> Commit:
        """Raises NotFound when there is no commit of that name."""
        with open_store(self.objects) as store:
            return _described(sha, _commit(store, sha))

    def commits_between(self, old: str | None, new: str, limit: int) -> list[Commit]:
        """What ``new`` has in its history and ``old`` has not, newest first, at most ``limit``. Raises NotFound."""
        with open_store(self.objects) as store:
            for sha in filter(None, (old, new)):
                _commit(store, sha)
            known = History(store, [old]) if old else None
            found = itertools.islice(History(store, [new]).without(known), limit)
            return [_described(sha.hex(), commit) for sha, commit in found]

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """True when ``descendant`` has ``ancestor`` in its history, or is it. False when either is unknown."""
        with open_store(self.objects) as store:
            return History(store, [descendant]).has(bytes.fromhex(ancestor))

    def blob(self, commit: str, path: str) -> bytes | None:
        """A small file of a commit, such as its Procfile; None when it has no such file.

        Raises NotFound for an unknown commit, GitError for a file above 1 MiB.
        """
        with open_store(self.objects) as store:
            root = _hex(_commit(store, commit).tree)
            try:
                _, sha = tree_lookup_path(store.__getitem__, root, path.encode())
                info = peek(store, sha.decode())
            except (KeyError, NotTreeError, ValueError):
                return None
            if info.type != BLOB:
                return None
            if info.size > MAX_BLOB_BYTES:
                raise GitError(f"{path} has {info.size} bytes", f"make it smaller than {MAX_BLOB_BYTES} bytes")
            return store.get_raw(sha)[1]

    def is_link(self, commit: str, path: str) -> bool:
        """True when the path is a symbolic link in the commit. Raises NotFound for an unknown commit."""
        with open_store(self.objects) as store:
            try:
                mode, _ = tree_lookup_path(store.__getitem__, _hex(_commit(store, commit).tree), path.encode())
            except (KeyError, NotTreeError, ValueError):
                return False
            return stat.S_ISLNK(mode)


class Repositories:
    """The directory of all repositories, ``<root>/<app>.git``; ``hook`` is the post-receive file that each one gets."""

    def __init__(self, root: Path, hook: Path | None) -> None:
        self.root = root
        self.hook = hook
        self.unpacked = threading.Lock()  # held by whoever packs objects anew, and by whoever needs them to stay

    def _path(self, name: str) -> Path:
        if not APP_NAME.fullmatch(name):
            raise NotFound(f"no app named '{name[:80]}'")
        return self.root / f"{name}.git"

    def create(self, name: str) -> Repository:
        """The app's repository, made when it is not there. HEAD is refs/heads/main. Raises GitError."""
        path = self._path(name)
        try:
            if not path.is_dir():
                self._create(path)
            self._install_hook(path)
        except OSError as error:
            raise GitError(f"cannot create the repository of {name}: {error.strerror}", "check the disk") from error
        return Repository(path)

    def _create(self, path: Path) -> None:
        # Made aside and renamed: whoever finds the directory finds a whole repository.
        aside = self.aside()
        try:
            with suppress(FileExistsError):
                aside.rename(path)
        except OSError:
            if not path.is_dir():  # two pushes created it at once: the other one did
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def aside(self) -> Path:
        """An empty repository without a name, for the caller to fill and to ``adopt`` or remove. Raises OSError."""
        self.root.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        Repo.init_bare(str(path), default_branch=b"main").close()
        return path

    def adopt(self, aside: Path, name: str) -> None:
        """What was made aside is the app's repository from now on; one that a killed server left there goes.

        Raises OSError.
        """
        self._install_hook(aside)
        self.remove(name)
        aside.rename(self._path(name))

    def _install_hook(self, path: Path) -> None:
        if self.hook is None:
            return
        text = self.hook.read_bytes()
        target = path / "hooks" / "post-receive"
        with suppress(FileNotFoundError):
            if target.read_bytes() == text:
                return
        target.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(text)
        Path(file.name).chmod(0o700)
        Path(file.name).replace(target)

    def open(self, name: str) -> Repository:
        """Raises NotFound when the app has no repository."""
        if not self.has(name):
            raise NotFound(f"the repository of '{name}' is missing", f"push {name} once: a push recreates it")
        return Repository(self._path(name))

    def has(self, name: str) -> bool:
        return self._path(name).is_dir()

    def remove(self, name: str) -> None:
        """Removes the repository; nothing happens when there is none."""
        path = self._path(name)
        if not path.is_dir():
            return
        aside = Path(tempfile.mkdtemp(prefix=".old-", dir=self.root))
        try:
            with suppress(FileNotFoundError):
                path.rename(aside)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def rename(self, old: str, new: str) -> None:
        """Raises NotFound when there is no ``old``, Conflict when there is a ``new``."""
        source, target = self.open(old).path, self._path(new)
        if target.exists():
            raise Conflict(f"a repository named '{new}' already exists", "choose another name")
        source.rename(target)

    def sweep(self, apps: Collection[str]) -> None:
        """Removes what a killed server left: quarantines, half packs, locks, and what was to be none of ``apps`` yet.

        Only for the start of the one server.
        """
        for left_over in (*self.root.glob(".new-*"), *self.root.glob(".old-*")):
            shutil.rmtree(left_over, ignore_errors=True)
        for path in self.root.glob("*.git"):
            found = [file for pattern in LEFT_OVER_OBJECTS for file in (path / "objects").glob(pattern)]
            found += [*path.glob("*.lock"), *(path / "refs").rglob("*.lock")]
            for left_over in found:
                if left_over.is_dir():
                    shutil.rmtree(left_over, ignore_errors=True)
                else:
                    left_over.unlink(missing_ok=True)
            objects = path / "objects"
            if path.stem not in apps and objects.is_dir() and not any(f.is_file() for f in objects.rglob("*")):
                shutil.rmtree(path, ignore_errors=True)


def _described(sha: str, found: RawCommit) -> Commit:
    lines = found.message.strip().splitlines()
    return Commit(sha, lines[0][:MAX_SUBJECT_CHARS] if lines else "", found.author, float(found.at))


def _commit(store: BaseObjectStore, sha: str) -> RawCommit:
    try:
        return read_commit(store, bytes.fromhex(sha))
    except (KeyError, AssertionError):  # Dulwich asserts when a name is not as long as a name is
        raise NotFound(f"no commit {sha[:40]}") from None
    except (BadObject, ValueError):
        raise NotFound(f"{sha[:40]} is not a commit") from None


def _hex(sha: bytes) -> ObjectID:
    return sha_to_hex(RawObjectID(sha))
