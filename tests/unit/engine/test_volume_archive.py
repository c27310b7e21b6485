"""Archives as they pass by: what is not whole, or would leave the volume, is told apart from what is fine."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator

import pytest

from gitship.engine import gzip_stream, volume_archive
from gitship.engine.volume_archive import BrokenArchive
from gitship.errors import GitshipError
from gitship.tar import END

LONG = "/".join(["n" * 90] * 4)
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def entry(
    name: str, type_: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"", **more: object
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode, info.uid, info.gid = type_, link, len(data), 0o4750, 12, 34
    for key, value in more.items():
        setattr(info, key, value)
    info.pax_headers = dict(info.pax_headers) | {"data": data.decode()} if data else dict(info.pax_headers)
    return info


def made(*infos: tarfile.TarInfo, format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as opened:
        for info in infos:
            data = info.pax_headers.pop("data", "").encode()  # type: ignore[attr-defined]
            opened.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return {info.name: info for info in opened}


def inside(data: bytes) -> bytes:
    return b"".join(volume_archive.inside(pieces(data), "v"))


SAMPLE = made(
    entry(".", tarfile.DIRTYPE), entry("./a", data=b"one"), entry("./b/", tarfile.DIRTYPE),
    entry("./b/c", data=b"x" * 9000), entry("./h", tarfile.LNKTYPE, "./a"), entry("./up", tarfile.SYMTYPE, "../../etc"),
    entry("./fifo", tarfile.FIFOTYPE),
)  # fmt: skip


@pytest.mark.parametrize("size", [1, 511, 512, 513, 70_000])
def test_a_whole_archive_passes_as_it_is(size: int) -> None:
    passed = b"".join(volume_archive.whole(pieces(SAMPLE, size)))
    assert SAMPLE.startswith(passed) and set(SAMPLE[len(passed) :]) <= {0}


@pytest.mark.parametrize("cut", [0, 100, 512, 1024, 2048, 2049, len(SAMPLE.rstrip(b"\0")) // 512 * 512])
def test_an_archive_that_ends_early_is_broken_also_between_two_entries(cut: int) -> None:
    for walk in (volume_archive.whole, lambda chunks: volume_archive.inside(chunks, "v")):
        with pytest.raises(BrokenArchive, match="ends early"):
            list(walk(pieces(SAMPLE[:cut])))


def test_names_are_put_below_the_root_and_everything_else_is_kept() -> None:
    found = read(inside(SAMPLE))
    assert list(found) == ["v", "v/a", "v/b", "v/b/c", "v/h", "v/up", "v/fifo"]
    assert (found["v/h"].linkname, found["v/up"].linkname) == ("v/a", "../../etc")
    assert {(i.mode, i.uid, i.gid) for i in found.values()} == {(0o4750, 12, 34)}
    assert found["v/b/c"].size == 9000


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_with_long_and_odd_names_is_read(format: int) -> None:
    name = "é/" + "n" * 90 + "/" + "m" * 90 if format == tarfile.USTAR_FORMAT else f"é\udcff/{LONG}"
    sample = made(entry(name, data=b"1"), entry("s", tarfile.SYMTYPE, "t" * 90), format=format)
    found = read(inside(sample))
    assert set(found) == {f"v/{name}", "v/s"} and found["v/s"].linkname == "t" * 90


def test_times_owners_and_attributes_of_extension_headers_are_kept() -> None:
    info = entry("x", data=b"1", mtime=1.5, uid=3_000_000)
    info.pax_headers = {"data": "1", "SCHILY.xattr.security.capability": "\x01\udcff\x00\x02"}
    found = read(inside(made(info)))["v/x"]
    assert (found.mtime, found.uid) == (1.5, 3_000_000)
    assert found.pax_headers["SCHILY.xattr.security.capability"] == "\x01\udcff\x00\x02"


def test_a_header_for_all_entries_counts_for_all(tmp_path: object) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", pax_headers={"mtime": "7", "comment": "c"}) as opened:
        opened.addfile(tarfile.TarInfo("x"))
    assert read(inside(out.getvalue()))["v/x"].mtime == 7


@pytest.mark.parametrize(
    "infos",
    [
        [entry("../a")], [entry("/a")], [entry("a/../../b")], [entry("a/..")], [entry(".")],
        [entry("l", tarfile.SYMTYPE, "/etc"), entry("l/passwd")],
        [entry("d", tarfile.DIRTYPE), entry("d/l", tarfile.SYMTYPE, "."), entry("d/l/x/y")],
        [entry("h", tarfile.LNKTYPE, "../a")], [entry("h", tarfile.LNKTYPE, "/etc/shadow")],
        [entry("l", tarfile.SYMTYPE, "/etc"), entry("h", tarfile.LNKTYPE, "l/shadow")],
        [entry("l", tarfile.SYMTYPE, "/etc"), entry("h", tarfile.LNKTYPE, "l"), entry("h/x")],
    ],
)  # fmt: skip
def test_what_would_leave_the_volume_is_refused(infos: list[tarfile.TarInfo]) -> None:
    with pytest.raises(GitshipError, match="outside the volume"):
        inside(made(*infos))


def test_a_link_that_a_directory_has_replaced_leads_nowhere() -> None:
    assert "v/l/x" in read(inside(made(entry("l", tarfile.SYMTYPE, "/etc"), entry("l", tarfile.DIRTYPE), entry("l/x"))))


@pytest.mark.parametrize("type_", [tarfile.CHRTYPE, tarfile.BLKTYPE, b"Z"])
def test_devices_are_refused(type_: bytes) -> None:
    with pytest.raises(GitshipError, match="device"):
        inside(made(entry("null", type_)))


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 2000, b"PK\x03\x04" + bytes(2000), SAMPLE[:300] + b"\xff" + SAMPLE[301:],
        made(entry("s", tarfile.GNUTYPE_SPARSE), format=tarfile.GNU_FORMAT),
        tarfile.TarInfo.create_pax_global_header({"a": "b"})[:512] + b"99 a=b\n".ljust(512, b"\0") + END,
        tarfile.TarInfo.create_pax_global_header({"GNU.sparse.major": "1"}) + END,
    ],
)  # fmt: skip
def test_what_is_no_archive_that_can_be_taken_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenArchive):
        inside(data)


def test_a_header_without_measure_is_not_read_into_memory() -> None:
    big = entry("x", tarfile.XHDTYPE)
    big.size = 1 << 40
    with pytest.raises(BrokenArchive, match="a header that is too large"):
        inside(big.tobuf(tarfile.GNU_FORMAT) + SAMPLE)


def test_emptiness_is_the_root_alone() -> None:
    assert volume_archive.is_empty(pieces(END)) and volume_archive.is_empty(pieces(made(entry(".", tarfile.DIRTYPE))))
    assert not volume_archive.is_empty(pieces(SAMPLE)) and not volume_archive.is_empty(pieces(made(entry("..."))))


def test_gzip_is_undone_and_anything_else_left() -> None:
    packed = b"".join(gzip_stream.zipped(pieces(SAMPLE)))
    assert gzip.decompress(packed) == SAMPLE
    for data in (packed, packed + gzip.compress(b"") + bytes(100), SAMPLE):
        assert b"".join(gzip_stream.unzipped(pieces(data, 3))) == SAMPLE
    assert b"".join(gzip_stream.unzipped(iter([b"\x1f", packed[1:]]))) == SAMPLE


@pytest.mark.parametrize(
    "damaged", [lambda p: p[:-9], lambda p: p[:40], lambda p: p[:20] + b"!" + p[21:], lambda p: p + b"x"]
)
def test_damaged_gzip_is_broken(damaged: object) -> None:
    assert callable(damaged)
    with pytest.raises(BrokenArchive):
        b"".join(gzip_stream.unzipped(pieces(damaged(gzip.compress(SAMPLE)))))


def test_the_rest_of_a_senders_stream_is_taken() -> None:
    taken: list[bytes] = []
    rest = [SAMPLE, bytes(4096), bytes(4096)]
    list(volume_archive.whole(chunk for chunk in rest if taken.append(chunk) is None))  # type: ignore[func-returns-value]
    assert taken == rest
