"""Actions of deployers on the status page, with confirmation and audit.

GET asks whether to; the form that it shows is what POST takes. Without JavaScript it is the same.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, replace

from tornado.escape import url_escape
from tornado.web import HTTPError

from gitship import log_context
from gitship.commands.cache import ensure_own_host, purge_of
from gitship.console import visible_apps
from gitship.console.audit_entry import SessionAuditEntry
from gitship.deploy import release_difference
from gitship.errors import Conflict, GitshipError
from gitship.front.cache_settings import Purge
from gitship.front.gate import Maintenance
from gitship.model import App, Deploy, Identity, Outcome, Role
from gitship.operations.operations import Operations
from gitship.web.page import Page

BY = "web"  # how it was done, in the audit log


ALL_OF_IT = Purge()


@dataclass(frozen=True, slots=True)
class Given:
    """What an action is about, beside the app: a release's number, or what is to be purged; None: all of it."""

    number: int | None = None
    purge: Purge = ALL_OF_IT

    @property
    def words(self) -> str:
        """As the command takes them."""
        if self.number is not None:
            return f" v{self.number}"
        return f" --url {shlex.quote(self.purge.url)}" if self.purge.url else ""


Deed = Callable[[Operations, App, Identity, Given], Deploy | None]


@dataclass(frozen=True, slots=True)
class PageAction:
    """``command`` is the one that does the same; it wants a release, or a path, as said."""

    command: str
    question: str
    consequence: str
    button: str
    do: Deed
    of_release: bool = False
    of_path: bool = False


def _maintenance(on: bool) -> Deed:
    def do(operations: Operations, app: App, by: Identity, given: Given) -> None:
        page = Maintenance(None, ()) if on else None
        operations.gates.change(app, lambda gate: replace(gate, maintenance=page), by)

    return do


def _purge(operations: Operations, app: App, by: Identity, given: Given) -> None:
    operations.serving.purge(app, given.purge, by)


ACTIONS = {
    "rollback": PageAction(
        "releases:rollback", "Roll {app} back to v{number}?",
        "Deploys a new release with the image, config and processes of v{number}. No request fails.",
        "Roll back", lambda operations, app, by, given: operations.releases.rollback(app, given.number, by),
        of_release=True,
    ),
    "restart": PageAction(
        "ps:restart", "Restart {app}?", "Replaces the containers of the live release with new ones. No request fails.",
        "Restart", lambda operations, app, by, given: operations.ps.restart(app, by),
    ),
    "cancel": PageAction(
        "deploys:cancel", "Cancel the deploy of {app}?", "The live release stays live.",
        "Cancel the deploy", lambda operations, app, by, given: operations.deploys.cancel(app, by),
    ),
    "maintenance-on": PageAction(
        "maintenance:on", "Put {app} into maintenance?", "All visitors get a 503 page until maintenance ends.",
        "Begin maintenance", _maintenance(True),
    ),
    "maintenance-off": PageAction(
        "maintenance:off", "End maintenance of {app}?", "Visitors reach the app again.",
        "End maintenance", _maintenance(False),
    ),
    "purge": PageAction(
        "cache:purge", "Purge the cache of {app}?",
        "Removes all cached pages of all releases; the next requests go to the app. No request fails.",
        "Purge", _purge, of_path=True,
    ),
}  # fmt: skip


class ActionPage(Page):
    """GET is the question, POST the deed."""

    def get(self, name: str, word: str) -> None:
        action = self._action(word)
        app = self.app(name)
        given = self._given(action, app)
        self.render(
            "confirm.html", app=app, given=given, of_path=action.of_path, path=self.request.path,
            form_token=self.form_token, question=action.question.format(app=app.name, number=given.number),
            consequence=action.consequence.format(app=app.name, number=given.number), button=action.button,
            typed=f"{action.command} {app.name}{given.words}", changes=self._changes(app, given),
        )  # fmt: skip

    async def post(self, name: str, word: str) -> None:
        self.check_form()
        trail = SessionAuditEntry(self.services.store, self.me, ACTIONS[word].command if word in ACTIONS else BY, name)
        trail.detail = BY
        try:
            action = self._action(word)
            app = self.app(name)
            if self.get_body_argument("app_id", "") != str(app.id):
                raise Conflict(f"{name} is now a different app", "open its page again")
            given = self._given(action, app)
            trail.detail = f"{BY}, {_told(action, given)}" if _told(action, given) else BY
            trail.begin()
            with log_context.traced(request=log_context.new_request(), key=self.me.key_name):
                deploy = await asyncio.get_running_loop().run_in_executor(
                    self.services.deeds, copy_context().run, action.do, self.services.operations, app, self.me, given
                )
        except GitshipError as error:
            trail.end(Outcome.REFUSED if isinstance(error, visible_apps.REFUSALS) else Outcome.FAILED)
            raise
        except Exception:
            trail.end(Outcome.FAILED)
            raise
        trail.end(Outcome.OK)
        self.services.live.changed([app.name])
        path = f"/apps/{url_escape(app.name, plus=False)}"
        self.redirect(f"{path}/deploys/{deploy.id}" if deploy else path, status=303)

    def _action(self, word: str) -> PageAction:
        action = ACTIONS.get(word)
        if action is None:
            raise HTTPError(404, "no such page")
        self.require(Role.DEPLOYER, f"`{action.command}`")
        return action

    def _changes(self, app: App, given: Given) -> str:
        """What a rollback does to the app's config. Raises NotFound when there is no such release."""
        if given.number is None:
            return ""
        store = self.services.store
        target = store.release_number(app.id, given.number)
        live = store.release(app.live_release).config if app.live_release else {}
        return release_difference.told({**live, **store.global_config(), **store.config(app.id)}, target.config)

    def _given(self, action: PageAction, app: App) -> Given:
        """Raises HTTPError 400 for what is no number, UsageError for what cannot be purged."""
        if action.of_path:
            purge = purge_of(self.get_argument("url", "") or None, None)
            ensure_own_host(self.services.store, self.services.settings, app, purge)
            return Given(purge=purge)
        if not action.of_release:
            return Given()
        text = self.get_argument("release", "")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise HTTPError(400, "a release is a number")
        return Given(int(text))


def _told(action: PageAction, given: Given) -> str:
    """For the audit log."""
    if action.of_path:
        return f"url {given.purge.url}" if given.purge.url else "all"
    return f"to v{given.number}" if action.of_release else ""
