"""What `unit` means is kept: a test with that mark that starts a child process fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.apps import clean_env

pytestmark = pytest.mark.clients

CONFTEST = """
from tests.children import NoChildren

def pytest_configure(config):
    config.pluginmanager.register(NoChildren())
"""
TESTS = """
import os, subprocess
import pytest

@pytest.fixture
def child():
    subprocess.run(["true"], check=True)

@pytest.mark.unit
def test_none(): pass

@pytest.mark.unit
def test_runs_one(): subprocess.run(["true"], check=True)

@pytest.mark.unit
def test_hides_one():
    try:
        os.posix_spawn("/bin/true", ["true"], {})
    except Exception:
        pass

@pytest.mark.unit
def test_fixture(child): pass

@pytest.mark.clients
def test_client(child): pass

@pytest.mark.unit
def test_none_after_a_client(): pass
"""


def test_a_unit_test_that_starts_a_child_process_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  unit\n  clients\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path, env=clean_env(),
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert "6 passed, 3 errors" in done.stdout, done.stdout + done.stderr
    for name in ("test_runs_one", "test_hides_one", "test_fixture"):
        assert f"ERROR at teardown of {name} " in done.stdout, done.stdout
    assert done.stdout.count("\na unit test starts no child process (mark it `clients`): ") == 3, done.stdout
