"""Processor use is what was used between two readings; it is not told before it is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship.engine.docker import DockerEngine
from gitship.engine.types import Usage
from gitship.errors import EngineError
from gitship.model import Container
from gitship.observe.container_usage import UNKNOWN, ContainerUsage, UsageSampler
from gitship.store import Store


class Gauge(DockerEngine):
    """Every container uses what the test says."""

    def __init__(self) -> None:
        super().__init__("unix:///nowhere")
        self.now: Usage | None = None
        self.down = False

    def read(self, at: float, cpu_s: float) -> None:
        self.now = Usage(at, cpu_s, 1000, None)

    def usage(self, container_id: str) -> Usage | None:
        if self.down:
            raise EngineError("Docker is down")
        return self.now


@pytest.fixture
def gauge() -> Gauge:
    return Gauge()


@pytest.fixture
def sampler(tmp_path: Path, gauge: Gauge) -> UsageSampler:
    store = Store(tmp_path / "gitship.db")
    app = store.create_app("shop")
    store.set_live(app.id, 1, [Container("w1", "shop.web.1.v1", app.id, 1, "web", 1, "", None)])
    return UsageSampler(store, gauge)


def cpu(sampler: UsageSampler, gauge: Gauge, at: float, cpu_s: float) -> float | None:
    gauge.read(at, cpu_s)
    return sampler.figures("w1").cpu_percent


def test_use_is_the_difference_to_the_last_reading(sampler: UsageSampler, gauge: Gauge) -> None:
    assert cpu(sampler, gauge, 100.0, 7.0) is None  # which is the first reading of it
    assert cpu(sampler, gauge, 102.0, 10.0) == 150.0
    assert sampler.figures("w1") == ContainerUsage(150.0, 1000, None)


def test_a_reading_of_just_now_is_too_near(sampler: UsageSampler, gauge: Gauge) -> None:
    for at, used in ((100.0, 1.0), (105.0, 2.0)):
        gauge.read(at, used)
        sampler.sample()
    assert cpu(sampler, gauge, 105.1, 2.02) == 20.0  # against the one before


def test_a_container_that_has_started_again_has_not_used_less_than_nothing(sampler: UsageSampler, gauge: Gauge) -> None:
    gauge.read(100.0, 50.0)
    sampler.sample()
    assert cpu(sampler, gauge, 105.0, 0.5) is None
    sampler.sample()
    assert cpu(sampler, gauge, 110.0, 3.0) == 50.0


def test_what_cannot_be_read_is_not_known(sampler: UsageSampler, gauge: Gauge) -> None:
    assert sampler.figures("w1") == UNKNOWN
    gauge.down = True
    assert sampler.figures("w1") == UNKNOWN
