"""Checks the names of pushed refs."""

from __future__ import annotations

from dulwich.refs import Ref, check_ref_format

HIDDEN_PREFIX = "refs/gitship/"
HEADS, TAGS = "refs/heads/", "refs/tags/"
PUSHABLE_PREFIXES = (HEADS, TAGS)
MAIN_BRANCHES = ("main", "master")  # the deploy branch of an app that was never deployed is whichever comes first
MAX_COMPONENT_BYTES = 240  # a file name holds 255, and the lock's ".lock" must fit


def refusal(ref: str) -> str | None:
    """Why ``ref`` cannot be pushed to, in one line, or None when it can.

    Stricter than git-check-ref-format(1): git and Dulwich both let ``refs/heads/HEAD`` and ``refs/heads/-x`` in, which
    turn ``git checkout HEAD`` into a riddle and a branch name into an option.
    """
    if ref.startswith(HIDDEN_PREFIX):
        return "refs/gitship/ belongs to the server"
    prefix = next((p for p in PUSHABLE_PREFIXES if ref.startswith(p)), None)
    if prefix is None:
        return "only branches and tags can be pushed (refs/heads/... or refs/tags/...)"
    name = ref[len(prefix) :]
    try:
        raw = ref.encode("utf-8")
    except UnicodeEncodeError:
        return "the ref's name is not UTF-8"
    if not check_ref_format(Ref(raw)) or not name:
        return "not a valid ref name"
    if name == "HEAD":
        return "a branch or tag named HEAD would be confused with HEAD"
    if name.startswith("-"):
        return "a name that begins with '-' would be read as an option"
    if any(len(part) > MAX_COMPONENT_BYTES for part in raw.split(b"/")):
        return "the ref's name is too long"
    return None


def hidden(ref: str) -> bool:
    """True for refs that no client gets to see."""
    return ref.startswith(HIDDEN_PREFIX)
