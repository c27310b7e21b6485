"""`extends` and `include`, by the rules of Compose, with paths from the file that they stand in."""

from __future__ import annotations

import pytest

from gitship.compose.model import ComposeFile
from gitship.errors import ConfigError
from tests.unit.compose.repository import read

COMMON = """
services:
  base:
    build: {context: ., args: {A: base, B: base}}
    command: base
    environment: [A=base, B=base]
    env_file: base.env
    volumes: ["./conf:/conf:ro"]
    ports: ["80:80"]
    labels: {a: base}
    depends_on: [db]
    secrets: [pw]
    secrets_of: 1
  db: {image: 'postgres:17'}
secrets: {pw: {file: pw.txt}}
"""


def test_a_service_of_another_file_is_merged_key_by_key() -> None:
    text = """
services:
  web:
    extends: {file: common/base.yaml, service: base}
    build: {args: [A=own], target: run}
    command: [own, words]
    environment: {A: own}
    ports: ["443:443"]
    labels: [b=own]
    depends_on: {db: {condition: service_healthy}}
    secrets: []
  db: {image: 'postgres:17'}
secrets: {pw: {environment: PW}}
"""
    files = {
        "common/base.yaml": COMMON.replace("    secrets_of: 1\n", ""), "common/base.env": "C=file\nA=file\n",
        "common/conf/x": "",
    }  # fmt: skip
    (web,) = read(text, {"PW": "x"}, files).processes
    assert web.build is not None
    assert (web.build.context, web.build.target, web.build.args) == ("common", "run", {"A": "own", "B": "base"})
    assert web.container.command == ("own", "words")
    assert web.container.environment == {"A": "own", "B": "base", "C": "file"}
    assert web.container.labels == {"a": "base", "b": "own"}
    assert web.container.ports == (80, 443)
    assert web.depends_on[0].condition == "service_healthy"
    assert web.container.files == (ComposeFile("/run/secrets/pw", content=b"x"),)


def test_errors_of_what_is_extended_name_its_own_file_and_line() -> None:
    text = "services: {web: {extends: {file: common/base.yaml, service: base}}}"
    with pytest.raises(ConfigError, match=r"common/base\.yaml line 13: unknown key 'services\.web\.secrets_of'"):
        read(text, files={"common/base.yaml": COMMON, "common/base.env": ""})


def test_a_service_of_the_same_file() -> None:
    app = read(
        "services: {a: {image: x, user: one}, b: {extends: a, user: two}, c: {extends: {service: b}, tty: true}}"
    )
    assert [(one.container.image, one.container.user) for one in app.processes] == [
        ("x", "one"),
        ("x", "two"),
        ("x", "two"),
    ]


def test_included_files_bring_their_services_and_paths() -> None:
    text = "include: [db/compose.yaml, {path: cache.yaml}]\nservices: {web: {image: x, depends_on: [db, cache]}}"
    db = "services: {db: {image: 'postgres:17', secrets: [pw]}}\nsecrets: {pw: {file: pw.txt}}"
    app = read(
        text, files={"db/compose.yaml": db, "db/pw.txt": "p", "cache.yaml": "services: {cache: {image: redis}}"}
    )  # fmt: skip
    assert {one.name for one in app.services} == {"db", "cache"}
    assert next(one for one in app.services if one.name == "db").container.files[0].source == "db/pw.txt"


@pytest.mark.parametrize(
    ("text", "files", "message"),
    [
        ("services: {a: {extends: b}, b: {extends: a}}", {}, "a extends itself"),
        ("services: {a: {extends: c, image: x}, b: {image: x}}", {}, "compose.yaml has no service 'c'"),
        ("services: {a: {extends: {file: no.yaml, service: b}}}", {}, "no.yaml is not in the repository"),
        ("services: {a: {extends: [b]}}", {}, "extends must name a service"),
        ("include: [b.yaml]\nservices: {a: {image: x}}", {"b.yaml": "services: {a: {image: y}}"}, "a is in both files"),
        ("include: [b.yaml]\nservices: {a: {image: x}}", {"b.yaml": "include: [b.yaml]"}, "b.yaml includes itself"),
        ("include: [{path: b.yaml, env_file: x}]\nservices: {a: {image: x}}", {}, "include: env_file is not read"),
        ("include: [" + "b.yaml, " * 30 + "]\nservices: {a: {image: x}}", {"b.yaml": "{}"}, "more than 20 files are"),
    ],
)
def test_what_cannot_be_put_together(text: str, files: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(text, files=files)
    assert message in error.value.message
    assert error.value.hint
