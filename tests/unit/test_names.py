"""A class's name says of itself which one it is: none occurs twice."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import gitship


def test_no_class_name_occurs_twice() -> None:
    trees = [ast.parse(path.read_text()) for path in Path(gitship.__file__).parent.rglob("*.py")]
    names = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []
