"""For all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from tests.children import NoChildren
from tests.costs import Costs
from tests.e2e import forky, python_image

# What takes a minute and more on one server, the longest first (the end of a run tells): the others fill the gaps that
# these leave, where at the end one of them would be waited for. `--no-loadscope-reorder` keeps this order.
SLOWEST = (
    "e2e/test_processes.py",
    "e2e/test_bad_input.py",
    "e2e/test_kill_points.py",
    "e2e/services/test_life.py",
    "e2e/services/test_backups.py",
    "e2e/test_firewall.py",
    "e2e/services/test_killed.py",
    "e2e/backup_targets/test_restic.py",
    "e2e/test_backup_images.py",
    "e2e/services/test_engine_contract.py",
    "e2e/test_no_failed_request.py",
    "e2e/test_lifecycle.py",
    "e2e/test_killed.py",
    "e2e/test_web.py",
    "e2e/test_readme_commands.py",
    "e2e/engine/test_sessions.py",
    "e2e/test_labels.py",
    "e2e/test_storage.py",
    "e2e/services/test_reach.py",
    "e2e/test_rollback.py",
    "e2e/test_model.py",
    "e2e/engine/test_builds.py",
    "e2e/test_queue.py",
    "e2e/test_reconcile.py",
    "e2e/test_host_directories.py",
    "e2e/test_canary.py",
    "e2e/test_faults.py",
    "e2e/test_engines_killed.py",
    "e2e/front/test_swaps.py",
    "e2e/test_web_pages.py",
    "e2e/test_cron.py",
    "e2e/test_storm.py",
)
# What --long asks for, beside the tests marked `long`, where nothing else is asked for.
LONG_RUNS = {
    "GITSHIP_TEST_STEPS": "200",
    "GITSHIP_TEST_RUNS": "50",
    "GITSHIP_TEST_DEPLOYS": "20",
    "GITSHIP_TEST_STORM": "20",
    "GITSHIP_TEST_FAULTS": "all",
    "GITSHIP_TEST_INSTALL": "bookworm,trixie",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the whole of what only a sample runs of otherwise: hours")


def pytest_configure(config: pytest.Config) -> None:
    """A run in the background inherits an ignored SIGINT, and so would every client that a test interrupts."""
    config.pluginmanager.register(Costs())
    config.pluginmanager.register(NoChildren())
    # The same examples in each run, however long one takes: what fails has failed by a change. Others with --long.
    hypothesis.settings.register_profile(
        "tests",
        deadline=None,
        max_examples=500 if config.getoption("--long") else 50,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        derandomize=not config.getoption("--long"),
    )
    hypothesis.settings.load_profile("tests")
    if config.getoption("--long"):
        os.environ.update({name: value for name, value in LONG_RUNS.items() if name not in os.environ})
    if forky.asked():
        forky.prepare()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    """What the modules of a run have shared ends with the whole run, not with one of its workers."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        python_image.remove()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    here = Path(__file__).parent
    for item in items:
        if here / "unit" in item.path.parents and not item.get_closest_marker("clients"):
            item.add_marker(pytest.mark.unit)
    slowest = {here / name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: slowest.get(item.path, len(SLOWEST)))  # keeps the order of all others
