"""The order of a switch under mixed load: in short what `python -m tests.bench.swaps` shows at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import swaps, visitors

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_ten_swaps_under_twenty_thousand_mixed_requests_fail_none(base: Path, tiny_binary: Path) -> None:
    result = swaps.run(base, tiny_binary, swaps=10, requests=20_000)
    swaps.print_result(result)
    report = result.report
    assert report.failed == 0, report
    assert report.requests >= 20_000
    assert len(report.versions) == 11
    assert not [cut for cut in result.cut if cut.requests]
    assert min(report.kinds[kind] for kind in visitors.WORKERS) > 0


def test_ending_the_old_release_before_its_drain_fails_requests(base: Path, tiny_binary: Path) -> None:
    result = swaps.run(base, tiny_binary, swaps=2, requests=1_000, break_it=True)
    assert {visitors.SLOW, visitors.STREAM} <= set(result.report.failures), result.report
