"""Whatever is in a Compose file: it is read or refused by an error for people, in bounded time and memory."""

from __future__ import annotations

import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitship.compose.app import read_app
from gitship.compose.build import BUILD
from gitship.compose.limits import DEPLOY, LIMITS
from gitship.compose.options import HEALTHCHECK
from gitship.compose.service_keys import SERVICE
from gitship.compose.top import GITSHIP, NETWORKS, TOP, VOLUMES
from gitship.errors import GitshipError
from tests.examples import examples
from tests.unit.compose.repository import FilesInMemory, engine_of, notes, read

WORDS = (
    "web", "db", "x", "80:80", "8080-8090:80", "443/udp", "./a:/a:ro", "data:/data", "${X}", "${X:-${Y:?z}}", "$$",
    "1m30s", "512m", "true", "postgres:17", "redis", "a=b", "/run/docker.sock:/s", "CMD", "\ud800", "\0", "", " ",
    "NONE", "none", "web:80", "5% for 2m", "*.example.com", "a" * 300, "/../..", "~", "service_healthy", "-1", "0",
    "1e400", "ä", "'", '"',
)  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=8),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.integers(0, 70000),
)
KEYS = st.sampled_from([*SERVICE, *BUILD, *DEPLOY, *LIMITS, *HEALTHCHECK, "limits", "path", "target", "source", *WORDS])
ANY = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3), max_leaves=8
)
SERVICES = st.dictionaries(
    st.sampled_from(["web", "db", "x"]), st.dictionaries(st.sampled_from([*SERVICE]), ANY, max_size=6)
)
TABLES = st.dictionaries(
    st.sampled_from(["web", "data", "x"]),
    st.dictionaries(st.sampled_from([*VOLUMES, *NETWORKS, "file", "environment", "content"]), ANY, max_size=3)
    | SCALARS,
    max_size=2,
)
WHOLE = st.fixed_dictionaries(
    {"services": SERVICES},
    optional={
        **dict.fromkeys(("volumes", "networks", "secrets", "configs"), TABLES),
        "x-gitship": st.dictionaries(st.sampled_from([*GITSHIP]), ANY, max_size=3),
        "include": ANY,
    },
)
TEXTS = st.lists(
    st.sampled_from([
        *TOP, *SERVICE, *WORDS, ":", ": ", "- ", "\n", "\n  ", "\n    ", "&a ", "*a", "<<: ", "{", "}", "[", "]", ",",
        "|", ">", "?", "!!str ", "!x ", "#", "---", "...", "%YAML 1.1", "\t", "\\", "\u2028", "\ufeff",
    ]),
    max_size=40,
).map("".join)  # fmt: skip


def survives(content: bytes, others: dict[str, bytes] | None = None) -> None:
    """Read or refused: anything but a GitshipError fails the test."""
    files = FilesInMemory(
        {"a": b"", "common.yaml": b"services: {x: {image: x}}", **(others or {}), "compose.yaml": content}
    )
    try:
        for note in notes(read_app("compose.yaml", files, {"X": "1", "Y": ""}, engine_of, "shop")):
            assert note
    except GitshipError as error:
        assert error.message
        assert error.hint


@examples(100)
@given(WHOLE)
def test_any_values_under_the_keys_of_the_spec(whole: Any) -> None:
    survives(json.dumps(whole).encode("utf-8", "surrogatepass"))


@examples(100)
@given(TEXTS)
@example("\\")
def test_any_text(text: str) -> None:
    survives(text.encode("utf-8", "surrogatepass"))
    survives(f"services:\n  web:\n    image: x\n    {text}".encode("utf-8", "surrogatepass"))


@examples(50)
@given(st.binary(max_size=60))
def test_any_bytes_also_in_the_files_beside_it(content: bytes) -> None:
    survives(content)
    survives(b"services: {web: {image: x, extends: {file: c.yaml, service: x}}}", {"c.yaml": content})
    survives(b"services: {web: {image: x, env_file: [a, {path: b, format: raw}]}}", {"a": content, "b": content})
    survives(b"services: {web: {image: x}}", {".env": content})


def wide(count: int, text: str) -> str:
    return ", ".join(text.replace("#", str(n)) for n in range(count))


BOMBS = {
    "a mebibyte": "services: {web: {image: x}}\n#" + "x" * (1 << 20),
    "many services": f"services: {{{wide(5000, 's#: {image: x}')}}}",
    "many links between them": "services: {"
    + wide(60, "s#: {image: x, links: [" + wide(60, "'s@:a'").replace("s@", "s1") + "], ports: ['1-400']}") + "}",
    "one file a thousand times": f"services: {{web: {{image: x, env_file: [{wide(5000, 'env')}]}}}}",
    "a large base for all": "x-b: &b {"
    + wide(9000, "K#: v") + "}\nservices: {b: {image: x, environment: *b}, "
    + wide(98, "s#: {extends: b, environment: {a: b}}") + "}",
    "merged again and again": "x-b: &b {" + wide(900, "K#: v") + "}\nservices: {web: {image: x, environment: {<<: ["
    + wide(500, "*b") + "]}}}",
    "a chain of services": "services: {" + wide(59, "s#: {image: x, depends_on: [s@]}").replace("s@", "s0") + "}",
    "ranges of ports": f"services: {{web: {{image: x, ports: [{wide(4000, '1-65535')}]}}}}",
    "variables": f"services: {{web: {{image: x, command: [{wide(9000, '$BIG$BIG')}]}}}}",
    "nested defaults": "services: {web: {image: '" + "${X:-" * 20000 + "}" * 20000 + "'}}",
    "open braces": "services: {web: {image: '" + "${A:-{" * 30000 + "'}}",
    "long commands": "services: {web: {image: x, command: \"" + "'a' " * 40000 + "\"}}",
    "problems": f"services: {{web: {{{wide(5000, 'key#: 1')}}}}}",
    "quotes": "services: {web: {image: x, command: '" + '"' * 100001 + "'}}",
    "spaces": "services: {web: {image: x, user: '" + " " * 200000 + "x'}}",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_take_little_memory(name: str) -> None:
    """Bounded work shows in bounded memory, and a test of that does not depend on the machine's speed."""
    env = "\n".join(f"K{n}={'v' * 100}" for n in range(1900))
    tracemalloc.start()
    try:
        read(BOMBS[name], {"BIG": "x" * 60_000}, {"env": env})
    except GitshipError as error:
        assert len(error.message) < 20_000
        assert error.hint
    finally:
        _, most_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most_bytes < 16 << 20


def test_a_circle_is_found_however_long() -> None:
    names = list(range(50))
    random.Random(7).shuffle(names)
    pairs = zip(names, names[1:] + names[:1], strict=True)
    services = ", ".join(f"s{one}: {{image: x, depends_on: [s{other}]}}" for one, other in pairs)
    with pytest.raises(GitshipError, match="services wait for each other"):
        read(f"services: {{{services}}}")
