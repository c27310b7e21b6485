"""What gitship takes of a machine whose settings are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship import varnish_memory
from gitship.config import VarnishSettings

MB = 1 << 20
GB = 1 << 30


@pytest.mark.parametrize(
    ("total", "cache", "log", "threads"),
    [
        (128 * MB, 32 * MB, 16 * MB, 50), (512 * MB, 64 * MB, 16 * MB, 50), (GB, 128 * MB, 16 * MB, 50),
        (2 * GB, 256 * MB, 32 * MB, 100), (64 * GB, 256 * MB, 32 * MB, 100),
    ],
)  # fmt: skip
def test_the_front_is_sized_by_the_machine(total: int, cache: int, log: int, threads: int) -> None:
    assert varnish_memory.cache_bytes(total) == cache
    assert varnish_memory.front_parameters(total) == {"vsl_space": str(log), "thread_pool_min": str(threads)}


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(varnish_memory, "LIMITS", (limit, tmp_path / "absent"))
    whole = varnish_memory.memory_bytes()
    limit.write_text("max\n")
    assert varnish_memory.memory_bytes() == whole
    limit.write_text(f"{100 * MB}\n")
    assert varnish_memory.memory_bytes() == 100 * MB
    assert VarnishSettings().cache_bytes == 32 * MB
    assert VarnishSettings(memory=7 * MB).cache_bytes == 7 * MB
