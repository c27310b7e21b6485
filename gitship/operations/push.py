"""Deploys a push: checks its refs, and reports to the client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from gitship.appfiles import canary_rules
from gitship.appfiles.canary_rules import CanaryPlan
from gitship.deploy import output
from gitship.errors import GitshipError, nearest
from gitship.git.receive_pack import RefUpdate
from gitship.git.ref_names import HEADS, MAIN_BRANCHES, TAGS
from gitship.git.repository import Repository
from gitship.model import App, Deploy, DeployState, Identity
from gitship.operations.operations import Operations

PUSH_OPTIONS = {
    "detach": "return at once; the deploy goes on",
    "no-cache": "build without the build cache",
    "no-deploy": "store other branches and tags without deploying, for `git:deploy`",
    "canary=5%": "send a share of the visitors to it first",
    "canary=off": "switch all visitors at once, despite gitship.toml",
}
LEAVING_AFTER_S = 3.0  # a deploy that takes longer is one that people leave
NO_DEPLOY = "no-deploy"
CANARY = "canary="
NO_CANARY = "canary=off"
BRANCH_STAYS = "the deploy branch cannot be deleted; to delete the app: apps:destroy"


class PushHost:
    """The receive-pack handler's policy and end point for one push to one app."""

    def __init__(
        self, operations: Operations, app: App, repository: Repository, by: Identity, safe: Callable[[str], str]
    ) -> None:
        """``safe`` takes out of a line what builds and apps may not do to the pusher's terminal."""
        self._operations = operations
        self._app = app
        self._repository = repository
        self._by = by
        self._safe = safe
        self.accepted = False
        self.deploy: Deploy | None = None  # as it was queued

    def check(self, updates: Sequence[RefUpdate], options: Sequence[str]) -> Mapping[str, str]:
        """Reasons for refused refs, before anything is kept."""
        for option in options:
            if wrong := option_error(option):
                return {u.ref: wrong for u in updates}
        branch = deploy_branch(self._app, updates)
        if NO_DEPLOY in options:
            refused = {u.ref: unstorable(u, branch) for u in updates}
        else:
            deploys = any(u.ref == HEADS + branch and u.new for u in updates)
            refused = {u.ref: refusal(u, branch, deploys) for u in updates}
        return {ref: reason for ref, reason in refused.items() if reason}

    def admitted(self) -> AbstractContextManager[None]:
        """See ``ReceiveHost.admitted``."""
        return self._operations.git.pushing(self._app, self._by)

    def accept(
        self,
        updates: Sequence[RefUpdate],
        options: Sequence[str],
        progress: Callable[[str], None],
        gone: threading.Event,
    ) -> Mapping[str, str]:
        """Deploys the deploy branch, then moves the tags beside it; reasons for what did not come true."""
        self.accepted = True
        if NO_DEPLOY in options:
            refused = self._store(updates, progress)
            self.accepted = len(refused) < len(updates)
            return refused
        reasons: dict[str, str] = {}
        for update in updates:
            if update.ref.startswith(HEADS) and update.new is not None:
                reason = self._deploy(update, options, progress, gone)
                if reason:
                    reasons[update.ref] = reason
        for update in updates:
            if update.ref.startswith(TAGS):
                reasons |= {update.ref: "the deploy failed"} if reasons else self._tag(update)
        return reasons

    def _tag(self, update: RefUpdate) -> Mapping[str, str]:
        try:
            with self.admitted():
                if self._repository.compare_and_set(update.ref, update.old, update.new):
                    return {}
        except GitshipError as error:
            return {update.ref: error.message}
        return {update.ref: "the tag has moved; fetch and push again"}

    def _store(self, updates: Sequence[RefUpdate], progress: Callable[[str], None]) -> Mapping[str, str]:
        """Moves the refs and that is all; those of an atomic push together."""
        groups = [updates] if any(update.atomic for update in updates) else [[update] for update in updates]
        reasons: dict[str, str] = {}
        with self.admitted():
            for group in groups:
                reasons |= self._repository.compare_and_set_all(group)
        for update in updates:
            name = update.ref.removeprefix(HEADS).removeprefix(TAGS)
            if update.new and update.ref not in reasons:
                progress(output.headline(f"{name} is stored; to deploy it: git:deploy {self._app.name} {name}"))
        return reasons

    def _deploy(
        self, update: RefUpdate, options: Sequence[str], progress: Callable[[str], None], gone: threading.Event
    ) -> str:
        assert update.new is not None
        try:
            deploy = self._operations.git.push(
                self._app, update.ref, update.old, update.new, self._by,
                no_cache="no-cache" in options, canary=canary_of(options), skip_canary=NO_CANARY in options,
            )  # fmt: skip
        except GitshipError as error:
            progress(f" !     {error.message}")
            progress(f" !     {error.hint}")
            return error.message
        self.deploy = deploy
        if "detach" in options:
            progress(output.headline(f"deploy {deploy.id} goes on in the background"))
            progress(output.detail(f"to see it: logs:deploy {self._app.name} {deploy.id}"))
            return ""

        def write(line: str) -> None:
            if not output.is_raw(line):
                progress(self._safe(line))

        progress("")
        deploy = self._followed(deploy, write, progress, gone)
        if deploy.state.switched:
            return ""
        if deploy.state is DeployState.FAILED:
            return f"{output.failed_part(deploy.failed_stage)} failed: {deploy.reason}"
        return f"{deploy.state}: {deploy.reason}"

    def _followed(
        self, deploy: Deploy, write: Callable[[str], None], progress: Callable[[str], None], gone: threading.Event
    ) -> Deploy:
        """Says beforehand what leaving does: nothing reaches a git that was ended by Ctrl-C."""
        said = f"Ctrl-C leaves this deploy running; to end it: deploys:cancel {self._app.name}"
        timer = threading.Timer(LEAVING_AFTER_S, progress, (output.detail(said),))
        timer.name, timer.daemon = "leaving", True
        timer.start()
        try:
            return self._operations.deploys.follow(deploy, write, gone)
        finally:
            timer.cancel()


def option_error(option: str) -> str:
    """What is wrong with a push option, or an empty text."""
    if option in PUSH_OPTIONS:
        return ""
    if option.startswith(CANARY):
        try:
            canary_rules.parse(option.removeprefix(CANARY))
        except ValueError as error:
            return f"push option '{option[:40]}' {error}"
        return ""
    near = nearest(option, PUSH_OPTIONS)
    told = f"did you mean '{near}'?" if near else "known: " + ", ".join(PUSH_OPTIONS)
    return f"unknown push option '{option}'; {told}"


def canary_of(options: Sequence[str]) -> CanaryPlan | None:
    """The canary that the push asks for; the last one counts."""
    asked = [option for option in options if option.startswith(CANARY) and option != NO_CANARY]
    return canary_rules.parse(asked[-1].removeprefix(CANARY)) if asked else None


def deploy_branch(app: App, updates: Sequence[RefUpdate]) -> str:
    """The branch that deploys: the app's, else whichever of main and master this push brings."""
    if app.deploy_branch:
        return app.deploy_branch
    pushed = {u.ref.removeprefix(HEADS) for u in updates if u.ref.startswith(HEADS)}
    return next((b for b in MAIN_BRANCHES if b in pushed), MAIN_BRANCHES[0])


def refusal(update: RefUpdate, branch: str, deploys: bool) -> str:
    """Why this ref may not be pushed, or an empty text. ``deploys``: the same push brings the deploy branch too."""
    if update.ref == HEADS + branch:
        return BRANCH_STAYS if update.new is None else ""
    if update.ref.startswith(TAGS) and deploys:
        return ""
    if update.new is None:
        name = update.ref.removeprefix(HEADS).removeprefix(TAGS)
        return f"to delete it: git push -o {NO_DEPLOY} deploy --delete {name}"
    # In full: git guesses no name that the server does not have yet for a tag's commit or a detached HEAD.
    target = HEADS + branch
    if update.ref.startswith(TAGS):
        tag = update.ref.removeprefix(TAGS)
        return f"a tag is not deployed; to deploy it: git push deploy {tag}^{{}}:{target}"
    return (
        f"gitship deploys only '{branch}'; to deploy this commit: git push deploy HEAD:{target}; to store it for "
        f"`git:deploy`: git push -o {NO_DEPLOY}"
    )


def unstorable(update: RefUpdate, branch: str) -> str:
    """Why this ref may not be pushed with ``no-deploy``, or an empty text: the deploy branch says what is live."""
    if update.ref == HEADS + branch:
        if update.new is None:
            return BRANCH_STAYS
        return f"'{branch}' moves only with its deploy; push it without -o {NO_DEPLOY}"
    return ""
