"""The lock files hold all that pyproject.toml asks for, at versions it allows, and every package with its hashes."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALL = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
TESTS = INSTALL + PROJECT["project"]["optional-dependencies"]["dev"]
HINT = "write the lock files anew: .ci/lock"


def locked(path: str) -> dict[str, Requirement]:
    """By name. Every entry must be one version with its SHA-256s: pip would refuse anything else at an installation."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / path).read_text()).replace("\\\n", " ")
    found: dict[str, Requirement] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        wanted, *hashes = re.split(r"\s+--hash=", line)
        requirement = Requirement(wanted)
        assert [s.operator for s in requirement.specifier] == ["=="], line
        assert hashes, line
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), line
        found[canonicalize_name(requirement.name)] = requirement
    return found


LOCKS = {"gitship/requirements.lock": INSTALL, "tests/requirements.lock": TESTS}


@pytest.mark.parametrize(("path", "wanted"), LOCKS.items())
def test_every_dependency_is_locked_at_a_version_that_it_allows(path: str, wanted: list[str]) -> None:
    pinned = locked(path)
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{path} lacks {name}: {HINT}"
        (version,) = pinned[name].specifier
        assert requirement.specifier.contains(version.version), f"{path} has {name} {version.version}: {HINT}"


@pytest.mark.parametrize("path", LOCKS)
def test_what_the_dependencies_depend_on_is_locked_too(path: str) -> None:
    pinned = locked(path)
    for name in pinned:
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform, or of another Python
            continue
        for requirement in map(Requirement, needed):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in pinned, f"{name} needs {requirement.name}: {HINT}"


def test_tests_run_with_the_versions_that_are_installed() -> None:
    tests = locked("tests/requirements.lock")
    for name, requirement in locked("gitship/requirements.lock").items():
        assert tests[name].specifier == requirement.specifier, name


@pytest.mark.parametrize("path", LOCKS)
def test_no_index_is_named(path: str) -> None:
    """Whoever installs uses the index that is set up there."""
    assert "://" not in (ROOT / path).read_text()


def audited(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    loader = SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    module = module_from_spec(spec_from_loader("audit", loader))  # type: ignore[arg-type]
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    lines, code = module.verdict(packages)
    return lines, code


def test_an_index_without_data_is_not_taken_for_an_audit() -> None:
    lines, code = audited([{"name": "a", "skip_reason": "not found"}, {"name": "b", "skip_reason": "not found"}])
    assert (lines, code) == (["not audited: the package index has no data on vulnerabilities (2 packages)"], 0)


def test_a_known_vulnerability_fails_the_audit_and_is_named() -> None:
    hole: dict[str, Any] = {"id": "PYSEC-1", "fix_versions": ["1.1"]}
    sound: dict[str, Any] = {"name": "b", "version": "1", "vulns": []}
    lines, code = audited([{"name": "a", "version": "1.0", "vulns": [hole]}, sound])
    assert code == 1
    assert lines == ["a 1.0: PYSEC-1, mended in 1.1", "audited 2 of 2 packages: 1 known vulnerabilities"]
    assert audited([sound])[1] == 0
