"""The buffer between the thread that reads packets and the one that reads a command's input."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko import SSHException
from paramiko.buffered_pipe import PipeTimeout

from gitship.ssh.channel_buffer import BoundedPipe
from gitship.ssh.read_ahead import READ_BYTES, ReadAhead


@given(st.lists(st.binary(max_size=50)), st.integers(1, 40))
def test_what_is_fed_in_pieces_is_read_in_other_pieces(pieces: list[bytes], size: int) -> None:
    pipe = BoundedPipe(1 << 20)
    for piece in pieces:
        pipe.feed(piece)
    assert len(pipe) == sum(map(len, pieces))
    pipe.close()
    read: list[bytes] = []
    while data := pipe.read(size):
        assert len(data) <= size
        read.append(data)
    assert b"".join(read) == b"".join(pieces)
    assert len(pipe) == 0


def test_the_limit_counts_what_is_unread() -> None:
    pipe = BoundedPipe(10)
    pipe.feed(b"1234567890")
    assert pipe.read(4) == b"1234"
    pipe.feed(b"abcd")
    with pytest.raises(SSHException):
        pipe.feed(b"x")


def test_reading_waits_for_data_and_ends_with_the_pipe() -> None:
    pipe = BoundedPipe(10)
    with pytest.raises(PipeTimeout):
        pipe.read(1, timeout=0.01)
    threading.Timer(0.05, pipe.feed, (b"x",)).start()
    assert pipe.read(10, timeout=5) == b"x"
    threading.Timer(0.05, pipe.close).start()
    assert pipe.read(10, timeout=5) == b""


@given(st.lists(st.integers(1, 100), max_size=50))
def test_reading_ahead_changes_no_byte(sizes: list[int]) -> None:
    data = bytes(range(256)) * 20
    near, far = socket.socketpair()
    with near, far:
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        reader = ReadAhead(near)
        read = [reader.recv(size) for size in sizes]
        while more := reader.recv(READ_BYTES):
            read.append(more)
    assert b"".join(read) == data
    assert all(len(piece) <= size for piece, size in zip(read, sizes, strict=False))
