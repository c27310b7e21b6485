"""YAML: lines are known, plain words are typed as Compose types them, and nothing grows without bound."""

from __future__ import annotations

import pytest
import yaml

from gitship.compose import yaml_nodes
from gitship.compose.yaml_nodes import MOST_BYTES, as_value, read_yaml
from gitship.errors import ConfigError

FILE = "compose.yaml"


@pytest.fixture(params=[yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without its C part, too."""
    monkeypatch.setattr(yaml_nodes, "_LOADER", request.param)


def plain(text: str) -> object:
    return as_value(FILE, read_yaml(FILE, text.encode())).raw


def test_plain_words_are_typed_by_yaml_1_2_and_quoted_ones_are_texts() -> None:
    text = "[22:22, yes, on, true, 'true', 0440, 0o17, 1.10, 1e3, 1_000, ~, null, '', 2026-12-01, .inf, =]"
    words = ["22:22", "yes", "on", True, "true", 288, 15, 1.1, 1000.0, 1000, None, None, "", "2026-12-01", ".inf", "="]
    assert plain(text) == words
    assert [type(word) for word in words] == [type(word) for word in plain(text)]  # type: ignore[attr-defined]


def test_anchors_and_merge_keys() -> None:
    text = """
x-base: &base {image: a, user: one}
x-more: &more {user: two, init: true}
services:
  web: {<<: [*base, *more], image: b}
  worker:
    <<: *base
    labels: &labels {k: v}
  other: {labels: *labels, "<<": text}
"""
    services = plain(text)["services"]  # type: ignore[index]
    assert services["web"] == {"image": "b", "user": "one", "init": True}
    assert services["worker"] == {"image": "a", "user": "one", "labels": {"k": "v"}}
    assert services["other"] == {"labels": {"k": "v"}, "<<": "text"}


def test_every_key_knows_its_line_also_below_an_alias() -> None:
    text = "x-a: &a\n  image: one\nservices:\n  web:\n    <<: *a\n    ports:\n      - '80'\n"
    places = as_value(FILE, read_yaml(FILE, text.encode())).places
    assert places["services.web.image"] == "compose.yaml line 2"
    assert places["services.web"] == "compose.yaml line 4"
    assert places["services.web.ports[0]"] == "compose.yaml line 7"


LAUGHS = "a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
WIDE = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}\nb: [" + ", ".join(["{<<: *a}"] * 9000) + "]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "line 5: the file has more than 20000 values"),
        (WIDE, "line 2: the file merges more than 20000 values"),
        ("- " * 5000, "nested"),
        ("[" * 5000, "nest"),
        ("{a: " * 5000, "nest"),
        ("a: &a [*a]", "line 1: the alias *a stands for what it is part of"),
        ("a: *b", "line 1: the alias *b has no anchor above it"),
        ("a: 1\nb: 2\na: 3", "line 3: 'a' stands twice, also in compose.yaml line 1"),
        ("a: !!python/object/apply:os.system [x]", "line 1: the tag !!python/object/apply:os.system cannot be read"),
        ("a: !reset null", "line 1: the tag !reset cannot be read"),
        ("a: 1\n---\nb: 2", "line 2 begins a second document"),
        ("? [a]\n: 1", "line 1 has a key that is no text"),
        ("&a a: 1\n*a : 2", "line 2 has an alias as a key"),
        ("<<: text", "line 1: '<<' must be a mapping or a list of mappings"),
        ("a: b: c", "line 1 is not valid YAML"),
        ("a:\n\t- b", "line 2 is not valid YAML"),
        ("a: \x00", "is not valid YAML"),
        ('a: "\\UFFFFFFFF"', "is not valid YAML"),
        ("#" * (MOST_BYTES + 1), "has more than 256 KB"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_yaml(FILE, text.encode())
    assert message in error.value.message
    assert error.value.message.startswith("compose.yaml")
    assert error.value.hint
