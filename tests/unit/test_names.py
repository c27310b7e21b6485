"""A class's name says of itself which one it is: none occurs twice."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import gitship


def test_no_class_name_occurs_twice() -> None:
    texts = [path.read_text() for path in Path(gitship.__file__).parent.rglob("*.py")]
    names = Counter(name for text in texts for name in re.findall(r"^ *class (\w+)", text, re.MULTILINE))
    assert len(names) > 300
    assert [name for name, count in names.items() if count > 1] == []
