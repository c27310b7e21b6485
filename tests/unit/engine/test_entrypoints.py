"""Which ENTRYPOINTs run the words that they are given, and which would take them for their own arguments."""

from __future__ import annotations

import pytest

from gitship.engine import image_files
from gitship.engine.docker import DockerEngine
from gitship.engine.entrypoints import runs_words
from gitship.engine.types import LABEL_HELPER, LABEL_SERVER, ContainerSpec


def scripts(**texts: str) -> dict[str, str]:
    return {f"/{name}.sh": text for name, text in texts.items()}


NODE = """#!/bin/sh
set -e
# Run command with node if the first argument contains a "-" or is not a system command.
if [ "${1#-}" != "${1}" ] || [ -z "$(command -v "${1}")" ]; then
  set -- node "$@"
fi

exec "$@"
"""


@pytest.mark.parametrize(
    "entrypoint",
    [
        ["tini"], ["tini", "--"], ["/usr/bin/tini", "-g", "--"], ["dumb-init"], ["gosu", "app"],
        ["/sbin/su-exec", "app:app"], ["env"], ["/usr/bin/env", "A=b"],
        ["bundle", "exec"], ["poetry", "run"], ["uv", "run", "--no-sync"],
        ["tini", "--", "/wrap.sh"], ["/wrap.sh"], ["/bin/sh", "/wrap.sh"], ["/node.sh"], ["/user.sh"], ["/bare.sh"],
        ["ddtrace-run"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_wrapper_runs_what_it_is_given(entrypoint: list[str]) -> None:
    texts = scripts(
        wrap='#!/bin/bash -e\nexport A=1\nexec "$@"\n',
        node=NODE,
        user='#!/bin/sh\nif [ "$(id -u)" = 0 ]; then\n  exec gosu app "$@"\nfi\n',
        bare='#!/bin/sh\nexec $@',
    )  # fmt: skip
    assert runs_words(entrypoint, texts.get)


@pytest.mark.parametrize(
    "entrypoint",
    [
        ["python", "app.py"], ["/app"], ["/bin/sh", "-c", "python app.py"], ["node", "server.js"],
        ["tini", "--", "python", "app.py"], ["/serve.sh"], ["/args.sh"], ["/missing.sh"], ["env", "python", "app.py"],
        ["/comment.sh"], ["bundle", "exec", "puma"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_server_takes_them_for_its_own(entrypoint: list[str]) -> None:
    texts = scripts(
        serve="#!/bin/sh\nexec gunicorn app:app\n",
        args='#!/bin/sh\nexec gunicorn app:app "$@"\n',
        comment='#!/bin/sh\n# exec "$@"\nexec python app.py\n',
    )
    assert not runs_words(entrypoint, texts.get)


def test_the_reconciler_knows_of_the_container_that_an_image_is_read_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took one for a leftover, and the push failed: "removal is already in progress"."""
    engine = DockerEngine("unix:///nowhere", owner="0123")
    seen: list[tuple[str, set[str]]] = []

    def reading(docker: object, found: object, containers: object, spec: ContainerSpec) -> bool:
        assert containers is engine  # whose containers have the seal by which a leftover is known
        assert spec.labels == {LABEL_SERVER: "0123", LABEL_HELPER: "entrypoint"}
        seen.append((spec.name, engine.volumes.helpers()))
        return True

    monkeypatch.setattr(engine._images, "_look_at", lambda image_id: {})
    monkeypatch.setattr(engine._connection, "client", lambda: None)
    monkeypatch.setattr(image_files, "runs_words", reading)
    assert engine.images.runs_words("sha256:1")
    [(name, busy)] = seen
    assert name in busy and engine.volumes.helpers() == set()
