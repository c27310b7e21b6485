"""The `release:` line of the Procfile: runs once in a container of the new release, before any visitor sees it."""

from __future__ import annotations

import threading
from collections import deque

from gitship.deploy.journal import Journal, Stage
from gitship.deploy.start import environment
from gitship.engine import base
from gitship.engine.base import ContainerSpec, Engine
from gitship.errors import DeployError
from gitship.model import App, Release

LAST_LINES = 20
TIMEOUT_S = 1800.0


def run_release_command(
    engine: Engine,
    server_id: str,
    network: str,
    app: App,
    release: Release,
    command: tuple[str, ...],
    journal: Journal,
    stage: Stage,
    cancel: threading.Event,
) -> None:
    """Shows its output live. Raises DeployError unless it exits 0."""
    last: deque[str] = deque(maxlen=LAST_LINES)

    def on_line(text: str) -> None:
        last.append(text)
        stage.detail(text)

    spec = ContainerSpec(
        name=f"{app.name}.release.{release.label}.{journal.deploy.id}",
        image_id=release.image_id,
        network=network,
        command=command,
        env=environment(app, release, None),
        labels={
            base.LABEL_SERVER: server_id,
            base.LABEL_APP: app.name,
            base.LABEL_APP_ID: str(app.id),
            base.LABEL_RELEASE: str(release.number),
            base.LABEL_PROCESS: "release",
            base.LABEL_DEPLOY: str(journal.deploy.id),
        },
        restart=False,
    )
    code = engine.run(spec, on_line, cancel, TIMEOUT_S)
    if code != 0:
        shown = " ".join(command)
        raise DeployError(f"`{shown}` exited {code}", "the lines above are its output; nothing was switched", ())
