"""git-receive-pack: the server side of ``git push``, on Dulwich's protocol code.

The order is the promise: advertise, read the wishes, take the pack into a quarantine, check that nothing is missing,
ask the host, keep the objects, let the host make it true (a deploy, then the ref), and only then report.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping

from gitship import __version__
from gitship.errors import GitshipError
from gitship.git import ref_names
from gitship.git.ingest import MISSING, Ingest, IngestError, choose
from gitship.git.object_headers import COMMIT, open_store, peek
from gitship.git.pack_feed import PackFeed
from gitship.git.push_host import ReceiveHost
from gitship.git.push_limits import ReceiveLimits
from gitship.git.push_request import BadRequest, ClientHungUp, PktLines, PushRequest, read_request
from gitship.git.quarantine import Quarantine
from gitship.git.refs import MOVED_MEANWHILE, RefUpdate
from gitship.git.repository import Repository
from gitship.git.sideband import Sideband
from gitship.git.streams import ByteSink, ByteSource

__all__ = ["ReceiveHost", "ReceiveLimits", "RefUpdate", "advertisement", "receive_pack"]

ABSENT = "0" * 40
CAPABILITIES = (
    "report-status delete-refs side-band-64k quiet atomic ofs-delta push-options object-format=sha1 "
    f"agent=gitship/{__version__}"
)
ATOMIC_FAILURE = "atomic push failure"
MAX_REASON_CHARS = 240
log = logging.getLogger(__name__)


def receive_pack(
    stdin: ByteSource,
    stdout: ByteSink,
    repository: Repository,
    host: ReceiveHost,
    *,
    limits: ReceiveLimits | None = None,
    ingest: Ingest | None = None,
    gone: threading.Event | None = None,
    told: Callable[[Mapping[str, str]], None] = lambda reasons: None,
    opened: Callable[[], None] = lambda: None,
) -> int:
    """Serves one ``git-receive-pack``; the exit code. Raises nothing that a client can bring about.

    ``opened`` is called once the refs are read, and before anybody sees them; what it raises ends all of it.

    ``gone`` (the session's ``closed``) may be set by the caller when the client leaves; without it that is noticed at
    the next write, so within ``keepalive_s``. ``told`` gets the reasons of the refs that did not come true, when the
    client wished for any. The caller closes ``stdin`` afterwards: that ends the thread reading it.
    """
    limits = limits or ReceiveLimits()
    wire = PktLines(stdin, stdout)
    try:
        refs = repository.refs()
        opened()
        stdout.write(advertisement(refs))
        request = read_request(wire, limits)
    except (ClientHungUp, OSError):
        return 0  # a client that found nothing to push hangs up here, too
    except BadRequest as error:
        # Nothing is agreed on yet, so this is the one form that every client shows.
        _last_word(stdout, f"ERR {error.message}: {error.hint}\n")
        return 1
    if request is None:
        return 0
    multiplexed = "side-band-64k" in request.capabilities
    side = Sideband(stdout, multiplexed=multiplexed, keepalive_s=limits.keepalive_s, gone=gone or threading.Event())
    with side:
        return _Push(wire, repository, host, request, limits, ingest or choose(), side).serve(stdin, told)


def advertisement(refs: Mapping[str, str]) -> bytes:
    """Every ref that clients may see, the capabilities behind the first, and a flush."""
    rows = [(sha, ref) for ref, sha in refs.items() if not ref_names.hidden(ref)] or [(ABSENT, "capabilities^{}")]
    lines = [f"{sha} {ref}".encode("utf-8", "surrogateescape") for sha, ref in rows]
    lines[0] += b"\0" + CAPABILITIES.encode()
    return b"".join(b"%04x%b\n" % (len(line) + 5, line) for line in lines) + b"0000"


class _Taking:
    """What a large push is at: its bytes come in, then its objects are looked at."""

    def __init__(self, feed: PackFeed) -> None:
        self._feed = feed
        self._before = 0

    def __call__(self) -> str:
        before, self._before = self._before, self._feed.received_bytes
        if self._before > before:
            return f"{self._before / 1e6:.0f} MB received"
        return f"{self._before / 1e6:.0f} MB received; checking {self._feed.objects:,} objects"


class _Push:
    """One push from its wishes to its report. ``reasons`` grows: a ref that has one goes no further."""

    def __init__(
        self,
        wire: PktLines,
        repository: Repository,
        host: ReceiveHost,
        request: PushRequest,
        limits: ReceiveLimits,
        ingest: Ingest,
        side: Sideband,
    ) -> None:
        self._wire = wire
        self._repository = repository
        self._host = host
        self._request = request
        self._limits = limits
        self._ingest = ingest
        self._side = side
        self._feed: PackFeed | None = None  # set while the client has something left to send
        self.reasons: dict[str, str] = {}

    def serve(self, stdin: ByteSource, told: Callable[[Mapping[str, str]], None]) -> int:
        """Runs the whole order and reports; the exit code."""
        unpacked = "ok"
        try:
            self._refuse(self._name_reasons())
            self._receive(stdin)
            if self._live:
                self._refuse(self._host.accept(self._live, self._request.options, self._side.progress, self._side.gone))
        except ClientHungUp:
            return 1
        except IngestError as error:
            missing = error.message == MISSING
            unpacked = one_line(error.message)
            self._refuse_all(self._missing_reason if missing else error.message)
        except GitshipError as error:
            if error.hint:
                self._side.progress(error.hint)
            self._refuse_all(error.message)
        except Exception:
            log.exception("a push to %s failed", self._repository.path.name)
            self._refuse_all("internal error, the server's log has it")
        told(self.reasons)
        self._side.report(self._status(unpacked))
        if self._feed is not None:
            self._feed.discard(self._limits.drain_s)
        return 0

    @property
    def _live(self) -> list[RefUpdate]:
        return [update for update in self._request.updates if update.ref not in self.reasons]

    def _refuse(self, reasons: Mapping[str, str]) -> None:
        for ref, reason in reasons.items():
            self.reasons.setdefault(ref, reason)
        if self.reasons and self._request.atomic:
            self._refuse_all(ATOMIC_FAILURE)

    def _refuse_all(self, reason: str) -> None:
        for update in self._request.updates:
            self.reasons.setdefault(update.ref, reason)

    def _name_reasons(self) -> dict[str, str]:
        """What can be said without the objects: odd names, doubles, and wishes that the refs have overtaken."""
        reasons: dict[str, str] = {}
        counted = Counter(update.ref for update in self._request.updates)
        refs = self._repository.refs()
        for update in self._request.updates:
            reason = ref_names.refusal(update.ref)
            if counted[update.ref] > 1:
                reason = reason or "given twice in one push"
            if refs.get(update.ref) != update.old:
                reason = reason or MOVED_MEANWHILE
            if update.old is None and update.new is None:
                reason = reason or "no such ref"
            if reason:
                reasons[update.ref] = reason
        return reasons

    def _receive(self, stdin: ByteSource) -> None:
        """The pack, if one comes (it does unless every wish is a deletion): into the quarantine, checked, kept."""
        if all(update.new is None for update in self._request.updates):
            self._ask_host()
            return
        try:
            head = self._wire.read(12)
        except OSError:
            raise ClientHungUp from None
        if len(head) < 12:
            raise ClientHungUp
        self._feed = PackFeed(stdin, head)
        if head[:4] != b"PACK":
            raise IngestError("the input is not a pack")
        if not self._live:
            return
        try:
            with Quarantine(self._repository.objects) as quarantine:
                self._take_in(quarantine)
                self._ask_host()
                if self._live:
                    with self._host.admitted():
                        quarantine.keep()
        except OSError as error:
            log.exception("a push to %s could not be stored", self._repository.path.name)
            raise IngestError(f"the server could not store it: {error.strerror}") from error

    def _take_in(self, quarantine: Quarantine) -> None:
        assert self._feed is not None
        tips = sorted({update.new for update in self._live if update.new})
        self._side.busy = _Taking(self._feed)
        try:
            missing = self._ingest(self._feed, quarantine, self._repository, tips, self._limits)
        finally:
            self._side.busy = None
        self._feed = None
        self._refuse({update.ref: self._missing_reason for update in self._live if update.new in missing})
        with open_store(quarantine.path, quarantine.objects) as store:
            branches = [u for u in self._live if u.new and u.ref.startswith("refs/heads/")]
            odd = [update.ref for update in branches if peek(store, update.new or "").type != COMMIT]
        self._refuse(dict.fromkeys(odd, "a branch must point to a commit"))

    @property
    def _missing_reason(self) -> str:
        if self._request.shallow:
            return "your clone is shallow and its history is not on the server, run git fetch --unshallow"
        return MISSING

    def _ask_host(self) -> None:
        if self._live:
            self._refuse(self._host.check(self._live, self._request.options))

    def _status(self, unpacked: str) -> bytes:
        """The report-status of gitprotocol-pack(5); nothing for a client that did not ask for it."""
        if "report-status" not in self._request.capabilities:
            return b""
        lines = [f"unpack {unpacked}"]
        for ref in dict.fromkeys(update.ref for update in self._request.updates):
            reason = self.reasons.get(ref)
            lines.append(f"ng {ref} {one_line(reason)}" if reason is not None else f"ok {ref}")
        packets = (f"{line}\n".encode("utf-8", "surrogateescape") for line in lines)
        return b"".join(b"%04x%b" % (len(packet) + 4, packet) for packet in packets) + b"0000"


def one_line(text: str) -> str:
    """A reason as the protocol can carry it: one line, of bounded length, never empty."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(plain.split())[:MAX_REASON_CHARS] or "refused"


def _last_word(stdout: ByteSink, text: str) -> None:
    data = text.encode("utf-8", "replace")
    try:
        stdout.write(b"%04x%b" % (len(data) + 4, data))
    except OSError:
        log.debug("the client left before it could be told: %s", text)
