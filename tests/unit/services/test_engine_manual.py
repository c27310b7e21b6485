"""The manual's page on engine files: its example is an engine, and it says what was tried."""

from __future__ import annotations

import re

from gitship import docs
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.engine_file import read_engine
from gitship.services.engine_keys import ACTIONS, IN_CONTAINER, IN_URL, KEYS
from tests.e2e.services.images import IMAGES

TEXT = docs.topics()["service-engines"].text
ENGINES = EngineCatalog.load(None).engines


def test_the_example_is_an_engine() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert read_engine("cache.toml", example.encode()).own_logins


def test_every_key_and_action_stands_there() -> None:
    for name in (*(key for key, _, _ in KEYS), *ACTIONS):
        assert f"\n| `{name}` |" in TEXT, name


def test_every_placeholder_stands_there() -> None:
    named = set(re.findall(r"`\{([a-z_]+)\}`", TEXT.partition("## Placeholders")[2]))
    assert named >= {*IN_CONTAINER, *IN_URL, *(name for action in ACTIONS.values() for name in action.values)}


def test_it_says_which_engines_were_not_tried() -> None:
    said = TEXT.partition("Not tried against a real server: ")[2].partition(". ")[0]
    untried = set(ENGINES) - {image.engine for image in IMAGES.values()}
    assert set(re.findall(r"`([a-z]+)`", said)) == untried
    for name in untried:
        about = (docs.HERE.parent / "services" / "engines" / f"{name}.toml").read_text()
        assert "# Not tried against a real " in about, name
