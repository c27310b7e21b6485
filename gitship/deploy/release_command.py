"""Release and deploy commands of an app: `release:` of the Procfile, predeploy and postdeploy of app.json.

Each runs once, in a container of the new release that is gone afterwards.
"""

from __future__ import annotations

import shlex
import threading

from gitship.appfiles import overrides
from gitship.containers import capabilities
from gitship.containers.container_starter import environment, labels
from gitship.deploy.journal import StageHeading
from gitship.deploy.rollout import Rollout
from gitship.engine import types
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.engine.types import ContainerSpec
from gitship.errors import DeployError, GitshipError
from gitship.model import DeployKind, DeployState
from gitship.store import Store

PROCESS = "release"
TIMEOUT_S = 1800.0
BRINGS_A_COMMIT = frozenset({DeployKind.PUSH, DeployKind.PROMOTE})


class ReleaseCommands:
    """Runs the steps of a deploy that brings a commit; others have no steps."""

    def __init__(self, store: Store, engine: Engine, addresses: Addresses, server_id: str) -> None:
        self._store = store
        self._engine = engine
        self._addresses = addresses
        self._server_id = server_id

    def before_the_switch(self, rollout: Rollout) -> None:
        """Predeploy, then the release command. Raises DeployError unless each exits 0."""
        if rollout.job.kind not in BRINGS_A_COMMIT or rollout.manifest is None:
            return
        for name, command in (
            ("Predeploy", rollout.manifest.predeploy),
            ("Release command", rollout.manifest.release_command),
        ):
            if command is not None:
                with rollout.job.journal.stage(DeployState.RELEASING, f"{name}: {shlex.join(command)}") as stage:
                    which = "predeploy " if name == "Predeploy" else ""
                    self._run(rollout, command, stage, rollout.job.cancel, which)

    def after_the_switch(self, rollout: Rollout) -> None:
        """Postdeploy; a failure is told, and takes nothing back."""
        if rollout.job.kind not in BRINGS_A_COMMIT or rollout.manifest is None:
            return
        first = rollout.manifest.first_postdeploy if rollout.previous is None else None
        for name, command in (("First postdeploy", first), ("Postdeploy", rollout.manifest.postdeploy)):
            if command is not None:
                self._postdeploy(rollout, name, command)

    def _postdeploy(self, rollout: Rollout, name: str, command: tuple[str, ...]) -> None:
        try:
            with rollout.job.journal.stage(DeployState.DRAINING, f"{name}: {shlex.join(command)}") as stage:
                self._run(rollout, command, stage, threading.Event())
        except GitshipError as error:
            rollout.job.journal.line(f" !     {name.lower()} failed, the release stays live: {error.message}")
            hint = f"to run it again: run {rollout.app.name} {shlex.join(command)}"
            rollout.job.journal.line(f" !     {hint}")
            rollout.job.journal.update(reason=f"{name.lower()} failed: {error.message}", hint=hint)

    def _run(
        self, rollout: Rollout, command: tuple[str, ...], stage: StageHeading, cancel: threading.Event, what: str = ""
    ) -> None:
        app, deploy = rollout.app, rollout.job.deploy
        settings = self._store.app_settings(app.id).changed(rollout.job.request.settings)
        release = capabilities.live(app.name, rollout.release, settings)
        limits = overrides.limits_of_one_offs(overrides.parse(settings))
        spec = ContainerSpec(
            name=f"{app.name}.{PROCESS}.{release.label}.{deploy.id}.{self._server_id[:4]}",
            image_id=release.image_id,
            network=self._addresses.network(app),
            command=command,
            entrypoint=release.entrypoint,
            env=environment(app, release, None, self._store.linked_environment(app.id)),
            labels={**labels(self._server_id, app, release, PROCESS), types.LABEL_DEPLOY: str(deploy.id)},
            restart=False,
            memory_bytes=limits.memory_bytes,
            cpus=limits.cpus,
            pids=limits.pids,
            mounts=release.mounts,
            read_only=bool(limits.read_only),
            capabilities=release.capabilities,
        )
        code = self._engine.run(spec, stage.detail, cancel, TIMEOUT_S)
        if code != 0:
            raise DeployError(
                f"{what}`{shlex.join(command)}` exited {code}", "see its output above; nothing was switched"
            )
