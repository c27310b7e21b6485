"""State of one deploy, shared by the stages of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field

from gitship.appfiles.formation import Formation
from gitship.appfiles.manifest import Manifest
from gitship.appsettings import ReleaseBefore
from gitship.deploy.job import Job
from gitship.deploy.new_release import Candidate
from gitship.model import App, Container, Release


@dataclass(slots=True)
class Rollout:
    """One run of the pipeline: what was live before, what shall be, and how far it has come.

    ``app`` is the app as it will be; ``before`` as it was, which makes a difference when it is renamed.
    """

    app: App
    before: App
    job: Job
    previous: Release | None
    expected_ref: str | None
    stopped: bool
    candidate: Candidate | None = None
    running: tuple[Container, ...] = ()  # what serves until the switch, once the app is claimed
    formation: Formation = field(default_factory=lambda: Formation((), (), ()))
    new: list[Container] = field(default_factory=list)
    left_vcls: list[str] = field(default_factory=list)  # of the name before
    left_behind: ReleaseBefore | None = None  # the setting BEFORE, once this is live
    switch_began: float = 0.0  # monotonic seconds
    skipped: bool = False  # `checks:skip` was heeded
    tried: bool = False  # visitors of a canary may have seen the new containers
    tried_vcls: list[str] = field(default_factory=list)  # by which they did

    @property
    def release(self) -> Release:
        assert self.candidate is not None
        return self.candidate.release

    @property
    def manifest(self) -> Manifest | None:
        """What the release's commit says, when it is known."""
        return self.candidate.manifest if self.candidate else None

    @property
    def wanted(self) -> list[Container]:
        """The containers that shall be live."""
        return [*self.formation.keep, *self.new]
