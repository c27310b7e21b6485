"""Says that .dockerignore keeps a file of the commit from the build, where a failed step or a command names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gitship.appfiles import app_json, procfile
from gitship.appfiles.manifest import Manifest
from gitship.errors import BuildError
from gitship.git import left_out
from gitship.git.build_context import BuildContext

MOST_NAMED = 3


class IgnoredFiles:
    """Of one build. What it raises is GitError."""

    def __init__(self, repository: Path, commit: str, context: BuildContext) -> None:
        self._repository = repository
        self._commit = commit
        self._context = context

    def in_commands(self, manifest: Manifest) -> Iterator[str]:
        """A line for each command that may not find its file; the Dockerfile may yet make it."""
        commands = {f"{procfile.FILE}: {type_}": command for type_, command in manifest.processes.items()}
        commands[f"{procfile.FILE}: {procfile.RELEASE}"] = manifest.release_command or ()
        commands[f"{app_json.FILE}: predeploy"] = manifest.predeploy or ()
        commands[f"{app_json.FILE}: postdeploy"] = manifest.postdeploy or ()
        for who, command in commands.items():
            for found in self._named(*command):
                yield f"{who} names {found.path}, which {found.by} leaves out of the build"

    def amend(self, error: BuildError) -> None:
        """The error of a build, if that is why."""
        if error.missing:
            for found in self._named(error.missing)[:1]:
                error.message = f"{error.step}: '{found.path}' is left out of the build by {found.by}"
                error.hint = f"remove that line, or write '!{found.path}' below it"
            return
        named = self._named(error.step, *error.lines)[:MOST_NAMED]
        error.hint = "; ".join(
            [f"{found.path} is left out of the build by {found.by}" for found in named] + [error.hint]
        )

    def _named(self, *texts: str) -> list[left_out.LeftOut]:
        return left_out.named(self._repository, self._commit, self._context, texts)
