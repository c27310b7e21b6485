"""Sign-in by one-time link, and sign-out."""

from __future__ import annotations

from gitship.console.audit_entry import SessionAuditEntry
from gitship.model import Outcome
from gitship.web.page import Page


class SignIn(Page):
    """The link's page only asks: what fetches links to preview them must not use them up."""

    open_to_all = True

    def get(self, link: str) -> None:
        identity = self.services.operations.sign_ins.peek(link, self.client_address)
        if identity is None:
            self._refuse()
            return
        self.render("signin_confirm.html", who=identity, path=self.request.path)

    head = get

    def post(self, link: str) -> None:
        self.check_origin()
        made = self.services.operations.sign_ins.sign_in(link, self.client_address)
        if made is None:
            self._refuse()
            return
        session, identity = made
        trail = SessionAuditEntry(self.services.store, identity, "web")
        trail.detail = "signed in"
        trail.begin()
        trail.end(Outcome.OK)
        self.begin_session(session)
        self.redirect("/", status=303)

    def _refuse(self) -> None:
        self.set_status(403)
        hint = f"a link works once, within 5 minutes; get a new one: {self.command('web')}"
        self.render("error.html", status=403, message="this link was already used or has expired", hint=hint)


class SignOut(Page):
    """A page that asks, so that no other page has to carry a form of its own."""

    def get(self) -> None:
        self.render("signout.html", form_token=self.form_token)

    head = get

    def post(self) -> None:
        self.check_form()
        self.services.operations.sign_ins.sign_out(self.session)
        self.begin_session("")
        self.redirect("/", status=303)
