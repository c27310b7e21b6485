"""Encrypting and storing a backup: gitship against `age | rclone rcat`, into a directory and into a bucket.

``python -m tests.bench.backups [--megabytes 1000] [--runs 3]``. Both get the same random data, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gitship.backup.encryption import server_key
from tests.bench.table import paired_ratio, show, spread
from tests.e2e.backup_targets import s3
from tests.e2e.backup_targets.pushed import MB, data

LIMIT_S = 600.0


def ours(megabytes: int, *words: str, secret: str = "") -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.backup_targets.pushed", str(megabytes), "db/bench.age", *words],
        input=secret, capture_output=True, text=True, timeout=LIMIT_S, check=True,
    )  # fmt: skip
    took: dict[str, float] = json.loads(done.stdout)
    return took


def theirs(source: Path, recipient: str, remote: str) -> float:
    """Seconds of `age -r RECIPIENT < source | rclone rcat remote`, and of the sync that ours has in it."""
    began = time.monotonic()
    with source.open("rb") as content:
        age = subprocess.Popen(["age", "-r", recipient], stdin=content, stdout=subprocess.PIPE)
        subprocess.run(
            ["rclone", "rcat", remote], stdin=age.stdout, env=os.environ | s3.NO_CONFIG, timeout=LIMIT_S, check=True
        )
        assert age.stdout is not None
        age.stdout.close()
        assert age.wait(LIMIT_S) == 0
    if remote.startswith("/"):
        subprocess.run(["sync", remote], timeout=LIMIT_S, check=True)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gitship-bench-") as name, s3.serving(Path(name) / "s3") as server:
        place = Path(name)
        recipient, _ = server_key(place / "key")
        with (place / "source").open("wb") as file:
            file.writelines(data(asked.megabytes))
        bucket = [f"s3://{s3.BUCKET}/ours", "--endpoint", server.endpoint, "--key-id", s3.KEY_ID]
        rows = []
        for what, words, secret, remote in (
            ("directory", [str(place / "ours")], "", str(place / "theirs.age")),
            ("S3", bucket, s3.SECRET, f"{server.remote}/theirs.age"),
        ):
            took, reference, memory = [], [], 0.0
            for _ in range(asked.runs):
                one = ours(asked.megabytes, *words, secret=secret)
                took.append(asked.megabytes / one["seconds"])
                memory = max(memory, one["peak"] - one["before"])
                reference.append(asked.megabytes / theirs(place / "source", recipient, remote))
            ratio = f"{paired_ratio(reference, took):.2f}"
            rows.append([what, spread(took), spread(reference), ratio, f"+{memory / MB:.0f} MB"])
        title = f"Encrypting and storing {asked.megabytes} MB, in MB/s"
        show(title, ["target", "gitship", "age | rclone rcat", "time, ours to theirs", "memory of gitship"], rows)


if __name__ == "__main__":
    main()
