"""`gitship serve` as a process: one per data directory, limits, signals."""

from __future__ import annotations

import ctypes
import logging
import resource
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from gitship import private_files
from gitship.backup.restore import ensure_not_cut_short
from gitship.config import Settings
from gitship.daemon import Daemon
from gitship.store import data_directory_lock

log = logging.getLogger("gitship")
SIGNAL_POLL_S = 1.0
M_ARENA_MAX = -8
# glibc gives threads up to 8 arenas a processor, and each keeps what its threads once needed. 150 deploys by SSH took
# 16: 5.7 MB more at the start, and from the 20th deploy on 13.6 KB each against 8.1. Python's lock lets one thread work
# at a time, so two are enough.
ARENAS = 2
TRIM_EVERY_S = 30.0


def serve(settings: Settings, config: Path | None = None) -> int:
    """Runs in the foreground until SIGTERM or SIGINT. Raises Conflict when another gitship has the data directory."""
    with private_files.to_others(), data_directory_lock.claimed(settings.data_dir):
        private_files.what_is_there(settings)
        ensure_not_cut_short(settings.data_dir)
        _open_files()
        few_arenas()
        ended = _ended_by_signal()
        daemon = Daemon(settings, config)
        print(daemon.start(), flush=True)
        next_trim = time.monotonic()
        while not ended.wait(SIGNAL_POLL_S):  # a signal that the kernel gives to another thread does not wake this one
            if time.monotonic() >= next_trim:
                trim()
                next_trim = time.monotonic() + TRIM_EVERY_S
        log.info("stopping; the sites stay up")
        daemon.stop()
        return 0


def few_arenas() -> None:
    """Before there are threads. Where the C library is another one, it has no such arenas."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def trim() -> None:
    """Gives pages that nothing is in any more back to the system, which the C library keeps: the heap has holes."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _open_files() -> None:
    """As many as the system lets this process have: a shell's own limit is often 1024, and each visitor takes one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _ended_by_signal() -> threading.Event:
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return ended
