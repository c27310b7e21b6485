"""Pushes that no honest client makes: every one is refused with its reason, and nothing of it stays."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence

import pytest

from gitship.git.ingest import Ingest
from gitship.git.object_headers import BLOB, COMMIT, OFS_DELTA, REF_DELTA, TAG, TREE
from gitship.git.push_limits import ReceiveLimits
from gitship.git.refs import RefUpdate
from gitship.git.repository import Repository
from tests.unit.git.conftest import assert_nothing_left
from tests.unit.git.move_refs import MoveRefs
from tests.unit.git.raw import (
    Answer,
    Object,
    all_objects,
    blob,
    commit,
    entry,
    name_of,
    pack,
    pack_of,
    packet,
    push,
    small_push,
    tree,
    wishes,
)

pytestmark = pytest.mark.clients
MAIN = "refs/heads/main"


def refused(repository: Repository, answer: Answer, reason: str, ref: str = MAIN) -> None:
    assert reason in answer.refs[ref]
    assert repository.refs() == {}
    assert all_objects(repository) == set()
    assert_nothing_left(repository)


def push_new(repository: Repository, ingest: Ingest, tip: str, data: bytes, ref: str = MAIN) -> Answer:
    return push(repository, ingest, wishes((None, tip, ref)) + data, ends=False)


def test_sound_push_of_the_same_kind_is_taken(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    answer = push_new(repository, ingest, tip, pack(*objects))
    assert (answer.unpack, answer.refs, answer.code) == ("ok", {MAIN: "ok"}, 0)
    assert repository.ref(MAIN) == tip
    assert repository.blob(tip, "file") == b"Change"


EVIL_NAMES = [
    b".git",
    b".GIT",
    b".Git",
    b"git~1",
    b"GIT~1",
    b".git ",
    b".git...",
    b".git::$INDEX_ALLOCATION",
    ".g\u200cit".encode(),
    "\ufeff.git".encode(),
    ".gi\u206bT".encode(),
    b"a\\.git",
    b"..",
    b".",
    b"a/b",
    b"",
]


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_tree_entry_that_would_leave_its_directory_is_refused(
    repository: Repository, ingest: Ingest, name: bytes
) -> None:
    content = blob(b"#!/bin/sh\n")
    root = tree(("100644", name, content))
    tip = commit(root)
    answer = push_new(repository, ingest, name_of(tip), pack(content, root, tip))
    refused(repository, answer, "unsafe or damaged object")


def test_evil_name_deep_down_or_in_a_large_pack_is_refused(repository: Repository, ingest: Ingest) -> None:
    content = blob(b"x")
    evil = tree(("100644", b".git", content))
    root = tree(("40000", b"dir", evil))
    tip = commit(root)
    many = [blob(b"%d" % n) for n in range(150)]
    answer = push_new(repository, ingest, name_of(tip), pack(content, evil, root, tip, *many))
    refused(repository, answer, "contains '.git'")


@pytest.mark.parametrize(
    "name", [b".gitignore", b".gitattributes", b".github", b"git", "ü.git".encode(), b"...", b".g"]
)
def test_names_that_only_look_like_it_are_taken(repository: Repository, ingest: Ingest, name: bytes) -> None:
    content = blob(b"x")
    root = tree(("100644", name, content))
    tip = commit(root)
    answer = push_new(repository, ingest, name_of(tip), pack(content, root, tip))
    assert answer.refs == {MAIN: "ok"}


MALFORMED: dict[str, Object] = {
    "unsorted tree": tree(("100644", b"b", blob(b"x")), ("100644", b"a", blob(b"x"))),
    "double entry": tree(("100644", b"a", blob(b"x")), ("100644", b"a", blob(b"x"))),
    "file and directory": tree(
        ("100644", b"a", blob(b"x")), ("100644", b"a.b", blob(b"x")), ("40000", b"a", (TREE, b""))
    ),
    "null object": tree(("100644", b"a", "0" * 40)),
    "cut off": (TREE, b"100644 a\0short"),
    "no mode": (TREE, b"x a\0" + b"1" * 20),
    ".gitmodules as a directory": tree(("40000", b".gitmodules", (TREE, b""))),
    "linked .gitmodules": tree(("120000", b".gitmodules", blob(b"x"))),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_tree_is_refused(repository: Repository, ingest: Ingest, what: str) -> None:
    root = MALFORMED[what]
    tip = commit(root)
    answer = push_new(repository, ingest, name_of(tip), pack(blob(b"x"), (TREE, b""), root, tip))
    assert answer.refs[MAIN] != "ok"
    assert (repository.refs(), all_objects(repository)) == ({}, set())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"tree short\n",
        b"parent " + b"1" * 40 + b"\n",
        commit((TREE, b""))[1].replace(b"author", b"auther"),
        commit((TREE, b""))[1] + b"\0",
    ],
)
def test_malformed_commit_is_refused(repository: Repository, ingest: Ingest, content: bytes) -> None:
    tip: Object = (COMMIT, content)
    answer = push_new(repository, ingest, name_of(tip), pack((TREE, b""), tip))
    assert answer.refs[MAIN] != "ok"
    assert (repository.refs(), all_objects(repository)) == ({}, set())


def test_old_tools_zero_padded_modes_are_taken(repository: Repository, ingest: Ingest) -> None:
    content = blob(b"x")
    below = tree(("100644", b"file", content))
    root = tree(("040000", b"dir", below))
    tip = commit(root)
    answer = push_new(repository, ingest, name_of(tip), pack(content, below, root, tip))
    assert answer.refs == {MAIN: "ok"}


@pytest.mark.parametrize("padding", [0, 150])
def test_ref_to_an_object_that_nobody_has_is_refused(repository: Repository, ingest: Ingest, padding: int) -> None:
    data = pack(*(blob(b"%d" % n) for n in range(padding)))
    refused(repository, push_new(repository, ingest, "12" * 20, data), "missing necessary objects")


@pytest.mark.parametrize("padding", [0, 150])
@pytest.mark.parametrize("what", ["a file as the commit's tree", "a file as a directory", "a directory as a file"])
def test_object_of_another_type_than_expected_is_refused(
    repository: Repository, ingest: Ingest, what: str, padding: int
) -> None:
    content = blob(b"x")
    inner = tree(("100644", b"file", content))
    root = {
        "a file as the commit's tree": content,
        "a file as a directory": tree(("40000", b"dir", content)),
        "a directory as a file": tree(("100644", b"file", inner)),
    }[what]
    tip = commit(root)
    made = {name_of(item): item for item in (content, inner, root, tip, *(blob(b"%d" % n) for n in range(padding)))}
    answer = push_new(repository, ingest, name_of(tip), pack(*made.values()))
    refused(repository, answer, "")
    assert answer.unpack != "ok"


@pytest.mark.parametrize("left_out", ["tree", "blob", "parent"])
@pytest.mark.parametrize("padding", [0, 150])
def test_commit_with_something_missing_is_refused(
    repository: Repository, ingest: Ingest, left_out: str, padding: int
) -> None:
    content = blob(b"x")
    root = tree(("100644", b"file", content))
    tip = commit(root, *(["34" * 20] if left_out == "parent" else []))
    objects = [item for item, kind in ((content, "blob"), (root, "tree"), (tip, "tip")) if kind != left_out]
    objects += [blob(b"%d" % n) for n in range(padding)]
    refused(repository, push_new(repository, ingest, name_of(tip), pack(*objects)), "missing necessary objects")


def test_history_that_is_there_but_broken_is_no_base(repository: Repository, ingest: Ingest) -> None:
    """What a failed deploy left and somebody's prune took apart: an object that exists proves nothing."""
    old_tip, objects = small_push("old")
    for kind, content in objects[1:]:  # all but the file's content, and no ref
        name = name_of((kind, content))
        path = repository.objects / name[:2] / name[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress({TREE: b"tree", COMMIT: b"commit"}[kind] + b" %d\0" % len(content) + content))
    before = all_objects(repository)
    tip, more = small_push("new", [old_tip])
    answer = push_new(repository, ingest, tip, pack(*more))
    assert "missing necessary objects" in answer.refs[MAIN]
    assert (repository.refs(), all_objects(repository)) == ({}, before)


def test_only_the_ref_whose_objects_are_missing_is_refused(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    said = wishes((None, tip, MAIN), (None, "12" * 20, "refs/heads/other")) + pack(*objects)
    answer = push(repository, ingest, said, ends=False)
    assert answer.refs == {MAIN: "ok", "refs/heads/other": "missing necessary objects"}
    assert repository.refs() == {MAIN: tip}


@pytest.mark.parametrize("kind", [BLOB, TREE, TAG])
def test_branch_must_point_to_a_commit(repository: Repository, ingest: Ingest, kind: int) -> None:
    tip, objects = small_push()
    tag: Object = (TAG, f"object {tip}\ntype commit\ntag v1\ntagger A <a@b.c> 1 +0000\n\nx\n".encode())
    target = {BLOB: objects[0], TREE: objects[1], TAG: tag}[kind]
    answer = push_new(repository, ingest, name_of(target), pack(*objects, tag))
    refused(repository, answer, "a branch must point to a commit")


ODD_REFS = [
    "HEAD",
    "config",
    "../../config",
    "refs/heads/../../config",
    "refs/heads/HEAD",
    "refs/heads/-x",
    "refs/tags/-x",
    "refs/heads/x.lock",
    "refs/heads/a..b",
    "refs/heads/.hidden",
    "refs/heads/a b",
    "refs/heads/a\x07",
    "refs/heads/a\x7f",
    "refs/heads/a\nb",
    "refs/heads/a//b",
    "refs/heads/a/",
    "refs/heads/",
    "refs/heads/a@{b",
    "refs/heads/a\\b",
    "refs/heads/\udcff",
    "refs/heads/" + "x" * 300,
    "refs/gitship/deploy/1",
    "refs/notes/x",
    "refs/x",
    "objects/x",
]


@pytest.mark.parametrize("ref", ODD_REFS)
def test_odd_ref_is_refused(repository: Repository, ingest: Ingest, ref: str) -> None:
    tip, objects = small_push()
    head = (repository.path / "HEAD").read_text()
    answer = push_new(repository, ingest, tip, pack(*objects), ref)
    assert len(answer.refs) == 1 and "ok" not in answer.refs.values()
    assert (repository.refs(), all_objects(repository)) == ({}, set())
    assert (repository.path / "HEAD").read_text() == head
    assert_nothing_left(repository)


def test_the_servers_own_refs_are_neither_shown_nor_removed_by_a_push(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    push_new(repository, ingest, tip, pack(*objects))
    assert repository.compare_and_set("refs/gitship/deploy/1", None, tip)
    answer = push(repository, ingest, wishes((tip, None, "refs/gitship/deploy/1")))
    assert answer.refs["refs/gitship/deploy/1"] == "refs/gitship/ belongs to the server"
    assert [line.split()[1].split(b"\0")[0] for line in answer.advertised] == [MAIN.encode()]
    assert repository.ref("refs/gitship/deploy/1") == tip


def test_stale_old_object_is_refused(repository: Repository, ingest: Ingest) -> None:
    first, objects = small_push("one")
    push_new(repository, ingest, first, pack(*objects))
    second, more = small_push("two", [first])
    for old in (None, second, "56" * 20):
        answer = push(repository, ingest, wishes((old, second, MAIN)) + pack(*more))
        assert answer.refs == {MAIN: "it has moved, fetch first"}
    answer = push(repository, ingest, wishes((second, None, MAIN)))
    assert answer.refs == {MAIN: "it has moved, fetch first"}
    assert repository.ref(MAIN) == first


def test_host_is_not_even_asked_about_a_stale_push(repository: Repository, ingest: Ingest) -> None:
    """Its answer may be a deploy of several minutes."""
    tip, objects = small_push()
    asked: list[object] = []

    class Asked(MoveRefs):
        def check(self, updates: Sequence[RefUpdate], options: Sequence[str]) -> Mapping[str, str]:
            asked.append(updates)
            return {}

    push(repository, ingest, wishes(("56" * 20, tip, MAIN)) + pack(*objects), host=Asked(repository))
    assert not asked
    push(repository, ingest, wishes((None, tip, MAIN)) + pack(*objects), host=Asked(repository))
    assert len(asked) == 1


def test_ref_given_twice_and_ref_that_is_not_there(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    answer = push(repository, ingest, wishes((None, tip, MAIN), (None, tip, MAIN)) + pack(*objects))
    assert answer.refs == {MAIN: "given twice in one push"}
    assert push(repository, ingest, wishes((None, None, MAIN))).refs == {MAIN: "no such ref"}
    assert push(repository, ingest, wishes((tip, None, MAIN))).refs == {MAIN: "it has moved, fetch first"}


def test_ref_that_somebody_else_has_locked_is_refused_with_that_reason(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    lock = repository.path / "refs/heads/main.lock"
    lock.touch()
    for atomic in ("", " atomic"):
        said = wishes((None, tip, MAIN), capabilities="report-status side-band-64k" + atomic) + pack(*objects)
        assert push(repository, ingest, said).refs == {MAIN: "locked by another push, try again"}
    lock.unlink()
    assert push(repository, ingest, wishes((None, tip, MAIN)) + pack(*objects)).refs == {MAIN: "ok"}


def corrupt(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


@pytest.mark.parametrize("padding", [0, 150])
@pytest.mark.parametrize("where", ["content", "checksum", "checksum of evil length", "count"])
def test_damaged_pack_is_refused(repository: Repository, ingest: Ingest, where: str, padding: int) -> None:
    tip, objects = small_push()
    data = pack(*objects, *(blob(b"%d" % n) for n in range(padding)))
    if where == "content":
        data = corrupt(data, 20)
    elif where == "checksum":
        data = corrupt(data, len(data) - 5)
    elif where == "count":
        data = data[:11] + bytes([data[11] - 1]) + data[12:]
    else:
        bad = entry(BLOB, b"content")
        data = pack_of(*(entry(*item) for item in objects), bytes([bad[0] + 1]) + bad[1:])
    answer = push_new(repository, ingest, tip, data)
    refused(repository, answer, "")
    assert answer.unpack != "ok"


@pytest.mark.parametrize("padding", [0, 150])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_pack_that_ends_early_is_refused(repository: Repository, ingest: Ingest, kept: float, padding: int) -> None:
    tip, objects = small_push()
    data = pack(*objects, *(blob(b"%d" % n) for n in range(padding)))
    answer = push(repository, ingest, wishes((None, tip, MAIN)) + data[: max(12, int(len(data) * kept))])
    refused(repository, answer, "the pack ended early")


def test_something_that_is_no_pack_is_refused(repository: Repository, ingest: Ingest) -> None:
    tip, _ = small_push()
    refused(repository, push_new(repository, ingest, tip, b"GET / HTTP/1.1\r\n\r\n"), "the input is not a pack")


@pytest.mark.parametrize("padding", [0, 150])
def test_pack_above_the_limit_is_refused_with_the_limit(repository: Repository, ingest: Ingest, padding: int) -> None:
    noise = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(3000))
    content = blob(noise)
    root = tree(("100644", b"file", content))
    tip = commit(root)
    data = pack(root, tip, content, *(blob(b"%d" % n) for n in range(padding)))
    limits = ReceiveLimits(max_pack_bytes=64 << 10)
    answer = push(repository, ingest, wishes((None, name_of(tip), MAIN)) + data, limits=limits)
    refused(repository, answer, "larger than 64 KiB")


def delta(base_size: int, *instructions: bytes) -> bytes:
    """A delta's header for small sizes and its instructions; the result's size is that of what they copy or insert."""
    result = sum(item[1] if item[0] == 0x90 else len(item) - 1 for item in instructions)
    return bytes([base_size, result]) + b"".join(instructions)


def test_deltas_by_offset_and_by_name_are_resolved(repository: Repository, ingest: Ingest) -> None:
    content = blob(b"0123456789")
    first = entry(*content)
    by_offset = entry(OFS_DELTA, delta(10, b"\x90\x0a", b"\x01A"), before=bytes([len(first)]))
    by_name = entry(REF_DELTA, delta(10, b"\x90\x0a", b"\x01B"), before=bytes.fromhex(name_of(content)))
    on_top = entry(REF_DELTA, delta(11, b"\x90\x0b", b"\x01C"), before=bytes.fromhex(name_of(blob(b"0123456789B"))))
    names = {b"a": b"0123456789", b"b": b"0123456789A", b"c": b"0123456789B", b"d": b"0123456789BC"}
    root = tree(*(("100644", name, blob(text)) for name, text in names.items()))
    tip = commit(root)
    data = pack_of(first, by_offset, on_top, by_name, entry(*root), entry(*tip))
    assert push_new(repository, ingest, name_of(tip), data).refs == {MAIN: "ok"}
    assert [repository.blob(name_of(tip), name.decode()) for name in names] == list(names.values())


@pytest.mark.parametrize(
    "made",
    [
        entry(REF_DELTA, delta(10, b"\x90\x0a"), before=b"\x12" * 20),
        entry(OFS_DELTA, delta(10, b"\x90\x0a"), before=b"\x7f"),
        entry(OFS_DELTA, delta(10, b"\x90\x0a"), before=b"\x00"),
        entry(OFS_DELTA, delta(99, b"\x90\x0a"), before=bytes([len(entry(BLOB, b"0123456789"))])),
        entry(OFS_DELTA, b"\x0a", before=bytes([len(entry(BLOB, b"0123456789"))])),
        entry(OFS_DELTA, b"\x0a\x05\x90", before=bytes([len(entry(BLOB, b"0123456789"))])),
        entry(5, b"type 5 is no type"),
        entry(0, b"nor is type 0"),
    ],
)
def test_delta_that_cannot_be_applied_is_refused(repository: Repository, ingest: Ingest, made: bytes) -> None:
    tip, objects = small_push()
    data = pack_of(*(entry(*item) for item in objects), entry(BLOB, b"0123456789"), made)
    refused(repository, push_new(repository, ingest, tip, data), "")


def test_deltas_that_need_each_other_are_refused(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    a, b = hashlib.sha1(b"a").digest(), hashlib.sha1(b"b").digest()
    ring = (entry(REF_DELTA, delta(1, b"\x90\x01"), before=b), entry(REF_DELTA, delta(1, b"\x90\x01"), before=a))
    data = pack_of(*(entry(*item) for item in objects), *ring)
    refused(repository, push_new(repository, ingest, tip, data), "missing necessary objects")


@pytest.mark.parametrize(
    "said",
    [
        b"zzzz",
        b"0003",
        packet("what is this"),
        packet("12 34 refs/heads/main"),
        packet(b"\xff" * 100),
        packet("push-cert\0 report-status"),
        b"00ffshort",
    ],
)
def test_client_that_does_not_speak_the_protocol_is_told_so(
    repository: Repository, ingest: Ingest, said: bytes
) -> None:
    answer = push(repository, ingest, said + b"0000")
    assert answer.code == 1
    assert b"ERR " in answer.raw


def test_more_refs_or_options_than_the_limit_are_refused(repository: Repository, ingest: Ingest) -> None:
    limits = ReceiveLimits(max_refs=3, max_options=2)
    many = wishes(*((None, "12" * 20, f"refs/heads/{n}") for n in range(4)))
    assert b"ERR more than 3 refs" in push(repository, ingest, many, limits=limits).raw
    said = wishes((None, "12" * 20, MAIN), capabilities="push-options report-status")
    options = b"".join(packet(f"o{n}") for n in range(3)) + b"0000"
    assert b"ERR too many push options" in push(repository, ingest, said + options, limits=limits).raw


def test_client_that_hangs_up_after_the_refs_leaves_nothing(repository: Repository, ingest: Ingest) -> None:
    for said in (b"", b"0000", wishes((None, "12" * 20, MAIN)), wishes((None, "12" * 20, MAIN)) + b"PACK"):
        answer = push(repository, ingest, said)
        assert answer.refs == {}
        assert_nothing_left(repository)
