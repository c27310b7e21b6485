"""The request parser and the sideband, with whatever bytes hypothesis can think of."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitship.git import sideband as sideband_module
from gitship.git.pack_feed import PackFeed
from gitship.git.push_limits import ReceiveLimits
from gitship.git.push_request import BadRequest, ClientHungUp, PktLines, PushRequest, read_request
from gitship.git.receive_pack import _Taking, advertisement, one_line
from gitship.git.ref_names import refusal
from gitship.git.refs import RefUpdate
from gitship.git.sideband import Sideband
from tests.unit.git.raw import Scripted, Sink, packet, packets, wishes
from tests.waiting import wait_until

A, B = "1" * 40, "2" * 40
hexes = st.text("0123456789abcdef", min_size=40, max_size=40)
lines = st.binary(max_size=80)


def read(said: bytes, chunk: int = 1 << 16) -> tuple[PushRequest | None, bytes]:
    """The request, and what it left in the stream for the pack."""
    stream = Scripted(said, chunk=chunk)
    request = read_request(PktLines(stream, Sink()), ReceiveLimits(max_refs=50))
    rest = b""
    while part := stream.read(1 << 16):
        rest += part
    return request, rest


def test_whole_request_is_understood_and_the_pack_left_alone() -> None:
    said = packet(f"shallow {B}\n") + wishes(
        (None, A, "refs/heads/main"),
        (A, None, "refs/heads/old"),
        capabilities="report-status atomic push-options agent=git/2.39",
    )
    said += packet("detach") + packet("a=b c\n") + b"0000" + b"PACK..."
    request, rest = read(said, chunk=3)
    assert request is not None
    assert request.updates == (
        RefUpdate("refs/heads/main", None, A, True),
        RefUpdate("refs/heads/old", A, None, True),
    )
    assert (request.shallow, request.options, request.atomic) == ((B,), ("detach", "a=b c"), True)
    assert rest == b"PACK..."


def test_capabilities_count_on_the_first_command_only() -> None:
    said = packet(f"{A} {B} refs/heads/x\0report-status") + packet(f"{A} {B} refs/heads/y\0atomic") + b"0000"
    request, _ = read(said)
    assert request is not None and request.capabilities == {"report-status"}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
@example(b"0000")
@example(b"0001")
@example(b"-001")
@example(b"ffff")
@example(b"0004" * 20)
def test_any_bytes_are_a_request_or_a_clean_error(said: bytes) -> None:
    try:
        request, _ = read(said)
    except (BadRequest, ClientHungUp):
        return
    assert request is None or request.updates


@settings(max_examples=60, deadline=None)
@given(st.lists(lines, max_size=8))
def test_any_packets_are_a_request_or_a_clean_error(said: list[bytes]) -> None:
    try:
        request, rest = read(b"".join(map(packet, said)) + b"0000PACK")
    except (BadRequest, ClientHungUp):
        return
    assert request is None or (len(request.updates) <= len(said) and rest == b"PACK")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(hexes, hexes, st.text(st.characters(blacklist_characters="\0\n"), min_size=1, max_size=30)),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 9),
)
def test_what_a_client_writes_is_what_the_server_reads(commands: list[tuple[str, str, str]], chunk: int) -> None:
    try:
        said = wishes(*commands)
    except UnicodeEncodeError:
        return
    request, rest = read(said, chunk)
    assert request is not None and rest == b""
    absent = "0" * 40
    assert [(u.old or absent, u.new or absent, u.ref) for u in request.updates] == commands


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
def test_a_ref_that_is_let_through_stays_in_its_directory(name: str) -> None:
    if refusal(f"refs/heads/{name}") is None:
        parts = name.split("/")
        assert all(part and not part.startswith(".") and not part.endswith((".lock", ".")) for part in parts)
        assert name != "HEAD" and not name.startswith("-") and name.isprintable() | (not name.isascii())


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400))
def test_a_reason_is_one_line(text: str) -> None:
    line = one_line(text)
    assert line and len(line) <= 240 and line.isprintable()


def test_advertisement_of_an_empty_repository_carries_the_capabilities() -> None:
    first, end = packets(advertisement({"refs/gitship/x": A}))
    assert first is not None and first.startswith(b"0" * 40 + b" capabilities^{}\0")
    words = first.split(b"\0")[1].split()
    assert {b"report-status", b"delete-refs", b"side-band-64k", b"atomic", b"push-options", b"quiet"} <= set(words)
    assert end is None


def sideband(sink: Sink, *, multiplexed: bool = True, keepalive_s: float = 60.0) -> Sideband:
    return Sideband(sink, multiplexed=multiplexed, keepalive_s=keepalive_s, gone=threading.Event())


def test_long_text_is_cut_into_packets_of_the_protocols_size() -> None:
    sink = Sink()
    with sideband(sink) as side:
        side.progress("x" * 150_000)
    made = [line for line in packets(bytes(sink.data)) if line is not None]
    assert all(line[0] == 2 and len(line) + 4 <= 65520 for line in made)
    assert b"".join(line[1:] for line in made) == b"x" * 150_000 + b"\n"


def test_nothing_follows_the_report() -> None:
    sink = Sink()
    with sideband(sink, keepalive_s=0.02) as side:
        side.report(b"0000")
        written = bytes(sink.data)
        time.sleep(0.1)
        assert bytes(sink.data) == written
    assert written.replace(b"0005\x02", b"") == b"0009\x0100000000"  # signs of life may come before


def test_client_that_went_is_noticed_and_written_to_no_more() -> None:
    sink = Sink()
    with sideband(sink, keepalive_s=0.02) as side:
        side.progress("one")
        sink.broken.set()
        assert side.gone.wait(5)
        sink.broken.clear()
        side.progress("two")
        side.report(b"0000")
    assert b"two" not in sink.data and not sink.data.endswith(b"0000")


def test_silence_is_counted_from_the_last_word() -> None:
    written: list[tuple[float, bytes]] = []

    class Clocked(Sink):
        def write(self, data: bytes, /) -> int:
            written.append((time.monotonic(), bytes(data)))
            return super().write(data)

    sink = Clocked()
    with sideband(sink, keepalive_s=0.3) as side:
        for _ in range(10):
            side.progress("word")
            time.sleep(0.05)
        wait_until(lambda: b"0005\x02" in sink.data)
    silences = [at - before for (before, _), (at, data) in pairwise(written) if data == b"0005\x02"]
    assert silences and min(silences) >= 0.29
    assert not [t for t in threading.enumerate() if t.name == "git-keepalive"]


def test_client_without_sidebands_gets_no_progress_and_no_sign_of_life() -> None:
    sink = Sink()
    with sideband(sink, multiplexed=False, keepalive_s=0.01) as side:
        side.progress("one")
        time.sleep(0.05)
        side.report(b"0009 ok \n0000")
    assert bytes(sink.data) == b"0009 ok \n0000"


def test_a_long_receive_says_what_it_is_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sideband_module, "BUSY_S", 0.0)
    sink, said = Sink(), threading.Event()

    def busy() -> str:
        said.set()
        return "120 MB received"

    with sideband(sink, keepalive_s=0.01) as side:
        side.busy = busy
        assert said.wait(10)
        side.busy = None
        side.report(b"0000")
    lines = [line for line in packets(bytes(sink.data)) if line is not None and line[:1] == b"\x02"]
    assert b"\x02120 MB received\n" in lines
    assert bytes(sink.data).endswith(b"0009\x0100000000")  # nothing follows the report


def test_what_a_receive_is_at() -> None:
    class Feed:
        received_bytes, objects = 12, 12345

    feed = Feed()
    taking = _Taking(cast(PackFeed, feed))
    feed.received_bytes = 120_000_000
    assert taking() == "120 MB received"
    assert taking() == "120 MB received; checking 12,345 objects"
