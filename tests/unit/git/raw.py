"""A client that says exactly what a test wants it to say, and packs with objects that git would refuse to make."""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from gitship.git.ingest import Ingest
from gitship.git.object_headers import BLOB, COMMIT, TREE, TYPE_NAMES
from gitship.git.push_host import ReceiveHost
from gitship.git.push_limits import ReceiveLimits
from gitship.git.receive_pack import receive_pack
from gitship.git.repository import Repository
from tests.unit.git.move_refs import MoveRefs

ABSENT = "0" * 40
CAPABILITIES = "report-status side-band-64k delete-refs"
Object = tuple[int, bytes]


def name_of(item: Object) -> str:
    kind, content = item
    return hashlib.sha1(b"%s %d\0" % (TYPE_NAMES[kind], len(content)) + content).hexdigest()


def blob(content: bytes) -> Object:
    return BLOB, content


def tree(*entries: tuple[str, bytes, Object | str]) -> Object:
    rows = (
        mode.encode() + b" " + name + b"\0" + bytes.fromhex(item if isinstance(item, str) else name_of(item))
        for mode, name, item in entries
    )
    return TREE, b"".join(rows)


def commit(root: Object | str, *parents: str, message: str = "Change") -> Object:
    lines = [f"tree {root if isinstance(root, str) else name_of(root)}"]
    lines += [f"parent {parent}" for parent in parents]
    lines += ["author A <a@b.c> 1700000000 +0000", "committer A <a@b.c> 1700000000 +0000", "", message, ""]
    return COMMIT, "\n".join(lines).encode()


def entry(kind: int, content: bytes, *, before: bytes = b"", level: int = -1) -> bytes:
    """A pack entry; ``before`` is what stands between header and data (a delta's base)."""
    size, byte = len(content) >> 4, kind << 4 | len(content) & 15
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    header.append(byte)
    return bytes(header) + before + zlib.compress(content, level)


def pack(*objects: Object) -> bytes:
    return pack_of(*(entry(kind, content) for kind, content in objects))


def pack_of(*entries: bytes) -> bytes:
    body = b"PACK\0\0\0\2" + len(entries).to_bytes(4, "big") + b"".join(entries)
    return body + hashlib.sha1(body).digest()


def packet(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return b"%04x" % (len(data) + 4) + data


def wishes(*commands: tuple[str | None, str | None, str], capabilities: str = CAPABILITIES) -> bytes:
    lines = [f"{old or ABSENT} {new or ABSENT} {ref}".encode("utf-8", "surrogateescape") for old, new, ref in commands]
    lines[0] += b"\0 " + capabilities.encode()
    return b"".join(map(packet, lines)) + b"0000"


class Scripted:
    """A client's stream: says ``data``, then nothing more, and its end comes only when ``end`` is set."""

    def __init__(self, data: bytes, *, ends: bool = True, chunk: int = 1 << 16) -> None:
        self._data = memoryview(data)
        self._chunk = chunk
        self.end = threading.Event()
        if ends:
            self.end.set()

    def read(self, size: int, /) -> bytes:
        if not self._data:
            self.end.wait(60)
            return b""
        part = bytes(self._data[: min(size, self._chunk)])
        self._data = self._data[len(part) :]
        return part


@dataclass
class Answer:
    """What the server wrote: ``advertised`` lines, ``remote`` text of channel 2, the report."""

    code: int
    raw: bytes
    advertised: list[bytes] = field(default_factory=list)
    remote: str = ""
    unpack: str = ""
    refs: dict[str, str] = field(default_factory=dict)
    keep_alives: int = 0


class Sink:
    """Keeps what is written; raises as a closed connection does once ``broken`` is set."""

    def __init__(self, stdin: Scripted | None = None) -> None:
        self.data = bytearray()
        self.broken = threading.Event()
        self._stdin = stdin

    def write(self, data: bytes, /) -> int:
        if self.broken.is_set():
            raise BrokenPipeError
        if self._stdin and self.data and data.endswith(b"0000"):  # a client hangs up once it has the report
            self._stdin.end.set()
        self.data += data
        return len(data)


def packets(data: bytes) -> list[bytes | None]:
    found: list[bytes | None] = []
    while data:
        length = int(data[:4], 16)
        found.append(data[4:length] if length else None)
        data = data[length or 4 :]
    return found


def push(
    repository: Repository,
    ingest: Ingest,
    said: bytes,
    *,
    host: ReceiveHost | None = None,
    limits: ReceiveLimits | None = None,
    ends: bool = True,
    chunk: int = 1 << 16,
) -> Answer:
    """One conversation with receive-pack, in this process."""
    stdin = Scripted(said, ends=ends, chunk=chunk)
    stdout = Sink(stdin)
    try:
        code = receive_pack(stdin, stdout, repository, host or MoveRefs(repository), limits=limits, ingest=ingest)
    finally:
        stdin.end.set()
    return read_answer(code, bytes(stdout.data))


def read_answer(code: int, raw: bytes) -> Answer:
    answer = Answer(code, raw)
    found = packets(raw)
    if None not in found:
        return answer
    middle = found.index(None)
    answer.advertised = [line for line in found[:middle] if line is not None]
    report = b""
    for line in found[middle + 1 :]:
        if line and line[0] == 1:
            report += line[1:]
        elif line and line[0] in (2, 3):
            answer.remote += line[1:].decode()
            answer.keep_alives += line == b"\x02"
    for line in packets(report):
        words = (line or b"").decode("utf-8", "surrogateescape").rstrip("\n").split(" ", 2)
        if words[0] == "unpack":
            answer.unpack = " ".join(words[1:])
        elif words[0] in ("ok", "ng"):
            answer.refs[words[1]] = "ok" if words[0] == "ok" else words[2]
    return answer


def all_objects(repository: Repository) -> set[str]:
    """Every file below objects/ that could be one, packs included."""
    return {str(f.relative_to(repository.objects)) for f in repository.objects.rglob("*") if f.is_file()}


def small_push(message: str = "Change", parents: Sequence[str] = ()) -> tuple[str, list[Object]]:
    """A commit with one file: its name and all its objects."""
    content = blob(message.encode())
    root = tree(("100644", b"file", content))
    tip = commit(root, *parents, message=message)
    return name_of(tip), [content, root, tip]
