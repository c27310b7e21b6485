"""Sends random data to a target, encrypted, in a process of its own, and prints what that took as JSON.

``python -m tests.e2e.backup_targets.pushed MEGABYTES KEY s3://bucket --endpoint ...``, the secret on stdin.
"""

from __future__ import annotations

import json
import random
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyrage

from gitship.backup.encryption import encrypted
from gitship.backup.targets import TargetDefinition, target_of

MB = 1_000_000


def data(megabytes: int) -> Iterator[bytes]:
    """The same each time, and nothing that compresses or repeats."""
    made = random.Random(7).randbytes(MB)
    for number in range(megabytes):
        yield number.to_bytes(8, "big") + made[8:]


def memory(what: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process, in bytes."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


def main(megabytes: str, key: str, *words: str) -> None:
    target = target_of(TargetDefinition.parse("offsite", words, sys.stdin.read()))
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    target.check()  # what is loaded once is loaded
    before = memory("VmRSS")
    began = time.monotonic()
    written = target.put(key, encrypted(data(int(megabytes)), [recipient]), threading.Event())
    took = time.monotonic() - began
    print(json.dumps({"seconds": took, "bytes": written.bytes, "before": before, "peak": memory("VmHWM")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
