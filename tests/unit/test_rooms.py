"""The house as the contributors' page draws it: every module has a floor, is short, and its room is built one way."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GITSHIP = ROOT / "gitship"
MOST_LINES = 350


def test_every_module_stands_on_a_floor() -> None:
    """import-linter passes over what no layer names."""
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = [name.strip() for floor in contract["layers"] for name in floor.split("|")]
    rooms = {path.parent.name for path in GITSHIP.glob("*/*.py")}
    modules = {path.stem for path in GITSHIP.glob("*.py")} - {"__init__", "__main__"}
    assert {f"gitship.{name}" for name in rooms | modules} ^ set(named) == set()


def test_no_module_is_too_long() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in GITSHIP.rglob("*.py")}
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_every_room_is_built_by_the_daemon_from_the_core() -> None:
    """``gitship/<room>/room.py`` has ``build``, whose first argument is the core; the daemon calls it."""
    rooms = {path.parent.name for path in GITSHIP.glob("*/room.py")}
    daemon = "".join((GITSHIP / "daemon.py").read_text().split())
    assert {"deploy", "engine", "operations", "reconcile", "routing", "ssh", "web"} <= rooms
    for room in sorted(rooms):
        tree = ast.parse((GITSHIP / room / "room.py").read_text())
        builds = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build"]
        assert [build.args.args[0].arg for build in builds] == ["core"], room
        assert f"{room}_room.build(core" in daemon, room
