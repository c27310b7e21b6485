"""BuildKit's file transfer against a receiver that keeps to fsutil's rules; the real one is in the e2e tests."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.engine import protobuf
from gitship.engine.buildkit_filesync import DATA, ERR, FIN, MAX_DATA_BYTES, REQ, STAT, FileSyncSender
from gitship.engine.source_tree import Contents, SourceFile, by_name
from gitship.errors import GitError

CHUNK = 1000


@dataclass
class Source:
    """Files by path; each a mode, a time and a content."""

    files: Mapping[str, tuple[int, int, bytes]]

    def __post_init__(self) -> None:
        self.listed = [
            SourceFile(path, mode, len(content), at, content.decode() if stat.S_ISLNK(mode) else "")
            for path, (mode, at, content) in sorted(self.files.items(), key=lambda item: by_name(item[0]))
        ]
        self.passes: list[list[int]] = []

    def contents(self, indices: Sequence[int]) -> Contents:
        self.passes.append(list(indices))
        for index in indices:
            content = self.files[self.listed[index].path][2]
            yield len(content), iter([content[at : at + CHUNK] for at in range(0, len(content), CHUNK)])

    def sender(self) -> FileSyncSender:
        return FileSyncSender(self.listed, self.contents)


class Receiver:
    """Asks for each regular file, as soon as it is told; ``found`` is what it got."""

    def __init__(self, sender: FileSyncSender) -> None:
        self.sender = sender
        self.found: dict[str, tuple[int, int, bytes]] = {}
        self.order: list[bytes] = []
        self.errors: list[bytes] = []
        self._index: dict[int, str] = {}
        self._open: set[int] = set()

    def run(self) -> None:
        told, finished, number = False, False, 0
        for message in self.sender.messages():
            if message is None:
                assert told and not self._open, "the sender waits, and has been asked for files"
                self.sender.feed(protobuf.number(1, FIN))
                continue
            assert not finished
            packet = protobuf.fields(message)
            kind = packet.get(1, [STAT])[-1]
            if kind == STAT and 2 in packet:
                self._told(number, protobuf.fields(packet[2][0]))
                number += 1
            elif kind == STAT:
                told = True
            elif kind == DATA:
                self._got(packet.get(3, [0])[0], packet.get(4, [b""])[0])
            elif kind == ERR:
                self.errors.append(packet[4][0])
            else:
                assert kind == FIN
                finished = True
        assert finished

    def _told(self, number: int, told: protobuf.Message) -> None:
        path = told[1][0].decode()
        self.order.append(by_name(path))
        self.found[path] = (told[2][0], told[6][0], told.get(7, [b""])[0])
        if not told[2][0] & (1 << 31 | 1 << 27):
            self._index[number] = path
            self._open.add(number)
            self.sender.feed(protobuf.number(1, REQ) + protobuf.number(3, number))

    def _got(self, number: int, data: bytes) -> None:
        assert number in self._open
        mode, at, before = self.found[self._index[number]]
        self.found[self._index[number]] = (mode, at, before + data)
        if not data:
            self._open.remove(number)


PATHS = st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "ü"]), min_size=1, max_size=3).map("/".join)
FILE = st.tuples(
    st.sampled_from([stat.S_IFREG | 0o644, stat.S_IFREG | 0o755, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777]),
    st.integers(0, 1 << 62),
    st.sampled_from([b"", b"x", b"y" * 999, b"z" * 3000]),
)


@given(files=st.dictionaries(PATHS, FILE))
def test_the_receiver_gets_what_there_is_in_order(files: dict[str, tuple[int, int, bytes]]) -> None:
    files = {path: (mode, at, b"" if stat.S_ISDIR(mode) else content) for path, (mode, at, content) in files.items()}
    receiver = Receiver(Source(files).sender())
    receiver.run()
    go = {stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27, stat.S_IFREG: 0}
    assert receiver.found == {
        path: (go[stat.S_IFMT(mode)] | stat.S_IMODE(mode), at, content) for path, (mode, at, content) in files.items()
    }
    assert receiver.order == sorted(receiver.order)


def test_what_is_asked_for_meanwhile_is_read_in_one_pass() -> None:
    source = Source({f"f{n:02}": (stat.S_IFREG | 0o644, 1, b"x") for n in range(20)})
    Receiver(source.sender()).run()
    assert source.passes == [list(range(20))]


def test_a_large_file_goes_in_messages_that_grpc_takes() -> None:
    content = bytes(3 * MAX_DATA_BYTES)
    file = SourceFile("a", stat.S_IFREG | 0o644, len(content), 1)
    sender = FileSyncSender([file], lambda indices: ((len(content), iter([content])) for _ in indices))
    receiver = Receiver(sender)
    receiver.run()
    assert receiver.found["a"][2] == content
    sender = FileSyncSender([file], lambda indices: ((len(content), iter([content])) for _ in indices))
    messages = sender.messages()
    next(messages), next(messages)
    sender.feed(protobuf.number(1, REQ))
    assert len(next(messages) or b"") < MAX_DATA_BYTES + 100


@pytest.mark.parametrize("when", ["begun", "asked"])
def test_a_content_that_cannot_be_read_ends_the_transfer_with_an_error(when: str) -> None:
    def contents(indices: Sequence[int]) -> Contents:
        yield 1, iter([b"x"])
        raise GitError("gone", "")

    def refused(indices: Sequence[int]) -> Contents:
        raise GitError("gone", "")

    files = [SourceFile(name, stat.S_IFREG | 0o644, 1, 1) for name in "ab"]
    sender = FileSyncSender(files, contents if when == "begun" else refused)
    receiver = Receiver(sender)
    receiver.run()
    assert len(receiver.errors) == 1
    assert isinstance(sender.failed, GitError)


def test_a_content_of_another_size_ends_it_too() -> None:
    sender = FileSyncSender(
        [SourceFile("a", stat.S_IFREG | 0o644, 2, 1)], lambda indices: ((1, iter([b"x"])) for _ in indices)
    )
    receiver = Receiver(sender)
    receiver.run()
    assert receiver.errors and "has 1 bytes, not 2" in str(sender.failed)


@pytest.mark.parametrize(
    "packet",
    [protobuf.number(1, REQ) + protobuf.number(3, 2), protobuf.number(1, REQ) + protobuf.number(3, 0),
     protobuf.number(1, DATA), protobuf.number(1, 9), b"\xff"],
)  # fmt: skip
def test_a_receiver_that_asks_for_what_is_none_is_an_error(packet: bytes) -> None:
    files = [SourceFile("a", stat.S_IFDIR | 0o755, 0, 1), SourceFile("b", stat.S_IFREG | 0o644, 0, 1)]
    with pytest.raises(ValueError):
        FileSyncSender(files, Source({}).contents).feed(packet)


def test_contents_are_closed_when_the_transfer_is_left() -> None:
    closed: list[bool] = []

    def contents(indices: Sequence[int]) -> Contents:
        try:
            yield 2, iter([b"x", b"y"])
        finally:
            closed.append(True)

    sender = FileSyncSender([SourceFile("a", stat.S_IFREG | 0o644, 2, 1)], contents)
    messages = sender.messages()
    next(messages), next(messages)
    sender.feed(protobuf.number(1, REQ))
    next(messages)
    messages.close()  # type: ignore[attr-defined]
    assert closed == [True]
