"""/badge/APP.svg: an app's state as an image, at a secret URL."""

from __future__ import annotations

import hmac

from tornado.web import HTTPError

from gitship.console import visible_apps
from gitship.model import App
from gitship.web.page import Page
from gitship.web.status import Statuses

COLOURS = {"live": "#187a3c", "deploying": "#8a5a00", "degraded": "#8a5a00", "maintenance": "#8a5a00"}
DOWN, QUIET = "#b3261e", "#5c636b"
CHARACTER = 6.6  # width of one at 11 px, on average


class Badge(Page):
    """Open to whoever is signed in and sees the app, to the app's badge token, and to all with ``web.public``."""

    open_to_all = True
    tokens = True

    async def get(self, name: str) -> None:
        app = self._shown(name)
        await self.services.health.fresh()
        status = Statuses(self.services.store, self.services.operations, self.services.health).of(app)
        state = str(status.state)
        if self.identity is None:
            state = "up" if status.up else "down"
        colour = COLOURS.get(
            state, COLOURS["live"] if state == "up" else DOWN if state in ("down", "failed") else QUIET
        )
        self.set_header("Content-Type", "image/svg+xml")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        self.set_header("Cache-Control", "no-cache, max-age=0")
        left, right = round(len(app.name) * CHARACTER + 12), round(len(state) * CHARACTER + 12)
        self.render("badge.svg", name=app.name, state=state, colour=colour, left=left, right=right)

    head = get

    def _shown(self, name: str) -> App:
        store, token = self.services.store, self.get_query_argument("token", "")
        if self.identity is not None:
            return visible_apps.app(store, self.identity, name)
        app = store.find_app(name)
        # As long as there is no such app, a token is compared all the same.
        right = self.services.operations.sign_ins.badge(app.id if app else 0)
        known = hmac.compare_digest(token.encode(), right.encode())
        public = self.services.settings.web.public and app is not None and app.live_release is not None
        if app is not None and (public or known):
            return app
        raise HTTPError(404, "no such badge, or its token is missing")
