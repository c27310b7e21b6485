"""What deployers can do from the page: the same functions as the commands, asked twice, and in the audit log.

GET asks whether to; the form that it shows is what POST takes. Without JavaScript it is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from tornado.escape import url_escape
from tornado.web import HTTPError

from gitship.commands import access
from gitship.commands.trail import Trail
from gitship.deploy.operations import Operations
from gitship.errors import GitshipError
from gitship.front.gate import Maintenance
from gitship.model import App, Deploy, Identity, Outcome, Role
from gitship.web.page import Page

BY = "web"  # how it was done, in the audit log


@dataclass(frozen=True, slots=True)
class Action:
    """``command`` is the one that does the same; ``do`` gets the release's number, None unless ``of_release``."""

    command: str
    question: str
    consequence: str
    button: str
    do: Callable[[Operations, App, Identity, int | None], Deploy | None]
    of_release: bool = False


def _maintenance(on: bool) -> Callable[[Operations, App, Identity, int | None], None]:
    def do(operations: Operations, app: App, by: Identity, number: int | None) -> None:
        page = Maintenance(None, ()) if on else None
        operations.gates.change(app.name, lambda gate: replace(gate, maintenance=page))

    return do


ACTIONS = {
    "rollback": Action(
        "releases:rollback", "Roll {app} back to v{number}?",
        "A new release with the image, config and processes of v{number} is checked and put live. No request fails.",
        "Roll back", lambda operations, app, by, number: operations.rollback(app.name, number, by), of_release=True,
    ),
    "restart": Action(
        "ps:restart", "Restart {app}?", "New containers of the live release replace the old ones. No request fails.",
        "Restart", lambda operations, app, by, number: operations.restart(app.name, by),
    ),
    "cancel": Action(
        "deploys:cancel", "Cancel the deploy of {app}?", "What is live stays live.",
        "Cancel the deploy", lambda operations, app, by, number: operations.cancel(app.name),
    ),
    "maintenance-on": Action(
        "maintenance:on", "Put {app} into maintenance?", "All visitors get a page with status 503 until it is over.",
        "Begin maintenance", _maintenance(True),
    ),
    "maintenance-off": Action(
        "maintenance:off", "End the maintenance of {app}?", "Visitors see the app again.",
        "End maintenance", _maintenance(False),
    ),
}  # fmt: skip


class ActionPage(Page):
    """GET is the question, POST the deed."""

    def get(self, name: str, word: str) -> None:
        action = self._action(word)
        app = self.app(name)
        number = self._number(action)
        words = {"app": app.name, "number": number}
        self.render(
            "confirm.html", app=app, number=number, path=self.request.path, form_token=self.form_token,
            question=action.question.format(**words), consequence=action.consequence.format(**words),
            button=action.button, typed=f"{action.command} {app.name}" + (f" v{number}" if number else ""),
        )  # fmt: skip

    async def post(self, name: str, word: str) -> None:
        self.check_form()
        trail = Trail(self.services.store, self.me, ACTIONS[word].command if word in ACTIONS else BY, name)
        trail.detail = BY
        try:
            action = self._action(word)
            number = self._number(action)
            app = self.app(name)
            trail.detail = f"{BY}, to v{number}" if number else BY
            trail.begin()
            deploy = await asyncio.get_running_loop().run_in_executor(
                self.services.deeds, action.do, self.services.operations, app, self.me, number
            )
        except GitshipError as error:
            trail.end(Outcome.REFUSED if isinstance(error, access.REFUSALS) else Outcome.FAILED)
            raise
        except Exception:
            trail.end(Outcome.FAILED)
            raise
        trail.end(Outcome.OK)
        self.services.live.changed([app.name])
        path = f"/apps/{url_escape(app.name, plus=False)}"
        self.redirect(f"{path}/deploys/{deploy.id}" if deploy else path, status=303)

    def _action(self, word: str) -> Action:
        action = ACTIONS.get(word)
        if action is None:
            raise HTTPError(404, "there is no such page")
        self.require(Role.DEPLOYER, f"`{action.command}`")
        return action

    def _number(self, action: Action) -> int | None:
        if not action.of_release:
            return None
        text = self.get_argument("release", "")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise HTTPError(400, "a release is a number")
        return int(text)
