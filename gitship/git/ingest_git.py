"""Receives packs with git: index-pack or unpack-objects, then rev-list."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from contextlib import closing, suppress

from dulwich.object_format import SHA1
from dulwich.objects import ObjectID
from dulwich.pack import load_pack_index

from gitship.git import git_process
from gitship.git.ingest import MISSING, UNPACK_LIMIT, IngestError
from gitship.git.pack_feed import PackFeed
from gitship.git.push_limits import ReceiveLimits, size
from gitship.git.quarantine import Quarantine
from gitship.git.repository import Repository

# Old tools wrote these into real histories (flask's own has zero-padded modes); the tree is sound all the same.
HARMLESS = (
    "zeroPaddedFilemode",
    "badTimezone",
    "missingSpaceBeforeDate",
    "badDate",
    "badDateOverflow",
    "missingEmail",
    "badEmail",
    "missingTaggerEntry",
    "missingSpaceBeforeEmail",
)
STRICT = "--strict=" + ",".join(f"{check}=ignore" for check in HARMLESS)
NOT_SELF_CONTAINED = 1
"""index-pack's exit code for a sound pack that refers to objects outside of it."""
_FSCK = re.compile(r"error: object ([0-9a-f]{40}): \w+: (.+)")


class GitIngest:
    """Keeps objects out of this process: a 200 MiB blob in a 200 kB pack is the child's memory, within its limit."""

    def __call__(
        self, feed: PackFeed, quarantine: Quarantine, repository: Repository, tips: Sequence[str], limits: ReceiveLimits
    ) -> Collection[str]:
        if feed.objects < UNPACK_LIMIT:
            arguments = ["unpack-objects", "-q", STRICT]
            result = self._take(feed, quarantine, repository, limits, arguments)
            if result.code != 0:  # 1 as well: an object that does not inflate is no reason for it to die
                raise IngestError(reason(result, limits))
        else:
            arguments = ["index-pack", "--stdin", "--fix-thin", STRICT, "--check-self-contained-and-connected"]
            result = self._take(feed, quarantine, repository, limits, arguments)
            if result.code not in (0, NOT_SELF_CONTAINED):
                raise IngestError(reason(result, limits))
            if result.code == 0:
                # Every object that the pack refers to is in it, so only the tips themselves can be missing:
                # saves the walk of a first push (3.1 s of 22 for 121 MiB).
                tips = [tip for tip in tips if not _in_packs(quarantine, tip)]
        return self._unconnected(quarantine, repository, tips, limits)

    def _take(
        self, feed: PackFeed, quarantine: Quarantine, repository: Repository, limits: ReceiveLimits, args: list[str]
    ) -> git_process.GitResult:
        command = git_process.git_command([*args, f"--max-input-size={limits.max_pack_bytes}"])
        reader = feed.pipe()
        try:
            process = git_process.start(command, repository.path, environment(quarantine), stdin=reader, limits=limits)
        finally:
            os.close(reader)
        try:
            return git_process.finish(process, limits.ingest_s, lambda: feed.stalled(limits.stall_s))
        except TimeoutError:
            raise IngestError("the pack did not arrive in time") from None

    def _unconnected(
        self, quarantine: Quarantine, repository: Repository, tips: Sequence[str], limits: ReceiveLimits
    ) -> Collection[str]:
        """All tips in one walk; only when that fails one by one, to name those at fault."""
        if not tips or self._connected(quarantine, repository, tips, limits):
            return ()
        if len(tips) == 1:
            return tips
        return [tip for tip in tips if not self._connected(quarantine, repository, [tip], limits)]

    def _connected(
        self, quarantine: Quarantine, repository: Repository, tips: Sequence[str], limits: ReceiveLimits
    ) -> bool:
        arguments = ["rev-list", "--objects", "--stdin", "--not", "--all", "--quiet", "--alternate-refs"]
        reader, writer = os.pipe()
        try:
            process = git_process.start(
                git_process.git_command(arguments),
                repository.path,
                environment(quarantine),
                stdin=reader,
                limits=limits,
            )
        finally:
            os.close(reader)
        with suppress(BrokenPipeError), os.fdopen(writer, "wb") as stdin:
            stdin.write("".join(f"{tip}\n" for tip in tips).encode())
        try:
            return git_process.finish(process, limits.ingest_s).code == 0
        except TimeoutError:
            raise IngestError("checking the history took too long") from None


def environment(quarantine: Quarantine) -> dict[str, str]:
    """New objects go to the quarantine, old ones are found in the store; refs cannot move meanwhile."""
    return {
        "GIT_OBJECT_DIRECTORY": str(quarantine.path),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(quarantine.objects),
        "GIT_QUARANTINE_PATH": str(quarantine.path),
    }


def _in_packs(quarantine: Quarantine, sha: str) -> bool:
    for file in (quarantine.path / "pack").glob("*.idx"):
        with closing(load_pack_index(file, SHA1)) as index, suppress(KeyError):
            index.object_offset(ObjectID(sha.encode()))
            return True
    return False


def reason(result: git_process.GitResult, limits: ReceiveLimits) -> str:
    """What the user is told, from what git said on its standard error."""
    text = result.stderr
    if match := _FSCK.search(text):
        return f"unsafe or damaged object {match[1][:10]}: {match[2]}"
    if "maximum allowed size" in text:
        return f"the pack is larger than {size(limits.max_pack_bytes)}, the limit of this server"
    if (
        "expected object" in text
        or "object of unexpected type" in text
        or "delta-pack base" in text
        or "unresolved delta" in text
    ):
        return MISSING
    if "early EOF" in text or "unexpected end" in text:
        return "the pack ended early"
    if "No space left" in text:
        return "the server's disk is full"
    if "out of memory" in text.lower() or "malloc" in text or "mmap failed" in text:
        return f"an object needs more memory than the {size(limits.memory_bytes)} that a push may use"
    if result.code < 0 and -result.code in (9, 24):  # SIGKILL, SIGXCPU
        return f"the pack needs more than {limits.cpu_s} s of CPU time"
    lines = [line.partition(": ")[2] for line in text.splitlines() if line.startswith(("fatal: ", "error: "))]
    return f"the pack is damaged ({lines[-1] if lines else f'exit code {result.code}'})"
