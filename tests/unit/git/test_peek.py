"""Type and size of an object are read from its first bytes, however long its deflate table is."""

from __future__ import annotations

import random
import subprocess

import pytest

from gitship.git.object_headers import BLOB, open_store, peek
from tests.unit.git.gitd import Work

pytestmark = pytest.mark.clients


def uneven_bytes(seed: int, size: int) -> bytes:
    """All 256 values, some far more often, in no order: as in a program, deflate begins with tables of 130 bytes."""
    chance = random.Random(seed)
    weights = [1.04**n for n in range(256)]
    chance.shuffle(weights)
    return bytes(chance.choices(range(256), weights, k=size))


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "deltas in a pack"])
def test_size_of_an_object_with_a_long_deflate_table(work: Work, packed: bool) -> None:
    first = uneven_bytes(1, 400_000)
    contents = [first, first[:200_000] + uneven_bytes(2, 30_000) + first[200_000:]]
    for content in contents:
        work.write({"program": content})
        work.git("-c", "core.compression=6", "add", "program")  # the other tests turn it off, being faster without
        work.commit({})
    if packed:
        subprocess.run(["git", "gc", "-q"], cwd=work.path, env=work.environment, check=True, timeout=60)
    ids = [work.git("rev-parse", f"{rev}:program").strip() for rev in ("HEAD~1", "HEAD")]
    with open_store(work.path / ".git" / "objects") as store:
        found = [peek(store, sha) for sha in ids]
    assert [(info.type, info.size) for info in found] == [(BLOB, len(c)) for c in contents]
