"""For all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.children import NoChildren
from tests.costs import Costs
from tests.e2e import forky, python_image

# Real git and ssh clients, every command in every role, thousands of files: half of the unit tests' time in 20 modules.
# .ci/quick leaves them out; CI runs them all. `pytest --durations=30` shows what belongs here.
THOROUGH = (
    "unit/commands/test_concurrency.py",
    "unit/console/test_listing.py",
    "unit/commands/test_logs.py",
    "unit/commands/test_over_ssh.py",
    "unit/commands/test_roles.py",
    "unit/commands/test_server.py",
    "unit/commands/test_tuning.py",
    "unit/commands/test_walk.py",
    "unit/notify/test_sender.py",
    "unit/git/test_build_context.py",
    "unit/git/test_context_dockerignore.py",
    "unit/git/test_disconnect.py",
    "unit/git/test_push_limits.py",
    "unit/git/test_push.py",
    "unit/git/test_races.py",
    "unit/git/test_refusals.py",
    "unit/git/test_upload_pack.py",
    "unit/ssh",
    "unit/web/test_pages.py",
    "unit/console/test_suggestions.py",
    "unit/operations/test_rebuild_after_restore.py",
    "unit/console/test_dispatch.py",
    "unit/web/test_stream.py",
    "unit/web/test_sign_in.py",
    "unit/commands/test_cron.py",
    "unit/commands/test_deploys.py",
    "unit/commands/test_audit.py",
    "unit/reconcile/test_watch.py",
    "unit/commands/test_again.py",
    "unit/engine/test_http.py",
    "unit/doctor/test_doctor.py",
    "unit/deploy/test_auto_rollback.py",
    "unit/reconcile/test_repair.py",
    "unit/containers/test_health_check.py",
    "unit/backup/test_backup.py",
    "unit/git/test_context_stream.py",
    "unit/web/test_app_logs.py",
    "unit/oneoff/test_cron_runs.py",
    "unit/commands/test_domains.py",
)

# What takes minutes on one server begins at once, with `--no-loadscope-reorder`: at the end it would be waited for.
LONG = (
    "e2e/test_model.py",
    "e2e/test_kill_points.py",
    "e2e/test_readme_commands.py",
    "e2e/front/test_swaps.py",
    "e2e/test_no_failed_request.py",
    "e2e/test_web.py",
    "e2e/test_web_pages.py",
    "e2e/test_faults.py",
    "e2e/test_engines_killed.py",
    "e2e/test_cron.py",
)


# What --long asks for, beside the tests marked `long`, where nothing else is asked for.
LONG_RUNS = {
    "GITSHIP_TEST_STEPS": "200",
    "GITSHIP_TEST_RUNS": "50",
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
    thorough = [here / name for name in THOROUGH]
    for item in items:
        if any(item.path == path or path in item.path.parents for path in thorough):
            item.add_marker(pytest.mark.thorough)
    long = {here / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: long.get(item.path, len(LONG)))  # keeps the order of all others
