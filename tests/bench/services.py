"""Backing up a PostgreSQL service and restoring it into a new one, against `pg_dump` and `pg_restore` by hand.

``python -m tests.bench.services [--megabytes 200] [--runs 1]``. Both have the same server and data, in turn; by hand
nothing is encrypted, sent anywhere or compared.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.table import paired_ratio, show, spread
from tests.e2e import dockerd
from tests.e2e.backup_targets import s3
from tests.e2e.backup_targets.pushed import MB
from tests.e2e.commands import ok
from tests.e2e.harness import Server, running
from tests.e2e.services.engines import engines, sql

LIMIT_S = 1800.0
ROW = " || ".join("md5(random()::text)" for _ in range(31))  # 1 kB with the row's own


def stage_s(said: str, begins: str) -> float:
    """The seconds that a line of a task ends with."""
    found = re.search(rf"{begins}[^\n]*?([0-9.]+)s$", said, re.MULTILINE)
    assert found, said
    return float(found[1])


def by_hand(server: Server, container: str, file: Path) -> tuple[float, float]:
    """Seconds of the dump into a file, and of its restore into a new database."""
    execute = ["docker", "-H", server.docker_host, "exec", "-i", container]
    subprocess.run([*execute, "createdb", "-U", "postgres", "by_hand"], check=True, timeout=60)
    began = time.monotonic()
    with file.open("wb") as out:
        subprocess.run(
            [*execute, "pg_dump", "-U", "postgres", "-Fc", "-Z0", "-d", "db"], stdout=out, check=True, timeout=LIMIT_S
        )
    dumped = time.monotonic()
    with file.open("rb") as source:
        subprocess.run(
            [*execute, "pg_restore", "-U", "postgres", "-d", "by_hand", "--no-owner", "--exit-on-error"], stdin=source,
            check=True, timeout=LIMIT_S,
        )  # fmt: skip
    restored = time.monotonic()
    subprocess.run([*execute, "dropdb", "-U", "postgres", "by_hand"], check=True, timeout=60)
    return dumped - began, restored - dumped


def memory(pid: int, what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) << 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gs-") as name, dockerd.engine() as host:
        Path(name).chmod(0o711)  # for Varnish
        with (
            running(Path(name) / "server", host, lambda: False) as server,
            engines(server, "postgres:15"),
            s3.serving(Path(name) / "s3") as bucket,
        ):
            measure(server, bucket, Path(name), asked.megabytes, asked.runs)


def measure(server: Server, bucket: s3.S3Server, place: Path, megabytes: int, runs: int) -> None:
    assert server.process is not None
    pid = server.process.pid
    ok(
        server, "backups:target:add", "offsite", f"s3://{s3.BUCKET}/bench", "--endpoint", bucket.endpoint,
        "--key-id", s3.KEY_ID, stdin=s3.SECRET,
    )  # fmt: skip
    ok(server, "services:create", "db", "postgres:15", "--memory", "512m")
    sql(server, "db", f"CREATE TABLE t AS SELECT n, {ROW} AS text FROM generate_series(1, {megabytes}000) n")
    [(container,)] = server.database("SELECT container FROM services")
    ok(server, "backups:run", "db", "--no-verify", timeout_s=LIMIT_S)  # what is loaded once is loaded
    dump: tuple[list[float], list[float]] = [], []
    restore: tuple[list[float], list[float]] = [], []
    grown = 0
    for _ in range(runs):
        before = memory(pid, "VmRSS")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM begins anew
        dump[0].append(stage_s(ok(server, "backups:run", "db", "--no-verify", timeout_s=LIMIT_S), "Backing up"))
        restored = ok(server, "backups:restore", "db", "--as", "copy", timeout_s=LIMIT_S)
        restore[0].append(stage_s(restored, "Restoring"))
        grown = max(grown, memory(pid, "VmHWM") - before)
        ok(server, "services:destroy", "copy", "--force")
        times = by_hand(server, container, place / "dump")
        dump[1].append(times[0])
        restore[1].append(times[1])
    rows = [
        [what, spread(took), spread(reference), f"{paired_ratio(took, reference):.2f}"]
        for what, (took, reference) in (("dump and upload to S3", dump), ("restore from S3", restore))
    ]
    show(
        f"Backup of {megabytes} MB of PostgreSQL, in s",
        ["", "gitship", "pg_dump, pg_restore by hand", "ratio"], rows,
    )  # fmt: skip
    print(f"memory of gitship meanwhile: +{grown / MB:.0f} MB")
    ok(server, "services:destroy", "db", "--force")


if __name__ == "__main__":
    main()
