"""Dispatches a session to git services or admin commands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from gitship.console import dispatch as commands
from gitship.console import visible_apps
from gitship.console.audit_entry import SessionAuditEntry
from gitship.console.context import Services
from gitship.console.escapes import coloured
from gitship.console.session import Session
from gitship.errors import GitshipError, NotFound
from gitship.git.ingest import choose
from gitship.git.receive_pack import ReceiveLimits, receive_pack
from gitship.git.repository import Repositories
from gitship.git.upload_pack import upload_pack
from gitship.model import App, Deploy, Outcome, Role, app_name
from gitship.operations.operations import Operations
from gitship.operations.push import PushHost

log = logging.getLogger("gitship.ssh")
RECEIVE = "git-receive-pack"
UPLOAD = "git-upload-pack"


class Dispatcher:
    """Runs one session's command; the exit code. GitshipErrors are shown by the caller."""

    def __init__(self, services: Services, operations: Operations, repositories: Repositories) -> None:
        self._services = services
        self._operations = operations
        self._repositories = repositories

    def run(self, session: Session) -> int:
        argv = session.argv
        if argv[:1] == ("git",) and len(argv) > 1:  # `git receive-pack` is the same as `git-receive-pack`
            argv = (f"git-{argv[1]}", *argv[2:])
        if argv and argv[0] == RECEIVE:
            return self._serve(session, "git push", _app_of(argv), self._receive)
        if argv and argv[0] == UPLOAD:
            return self._serve(session, "git fetch", _app_of(argv), self._upload)
        if argv and argv[0] == "git-lfs-authenticate":
            raise GitshipError(
                "Git LFS is not supported", "commit the files themselves, or download them in the Dockerfile"
            )
        return commands.run(self._services, session)

    def _serve(
        self,
        session: Session,
        action: str,
        name: str,
        service: Callable[[Session, str, SessionAuditEntry], tuple[int, Outcome]],
    ) -> int:
        """Runs one of git's services, with its entry in the audit log; the exit code."""
        trail = SessionAuditEntry(self._services.store, session.identity, action, name)
        outcome = Outcome.FAILED
        try:
            code, outcome = service(session, name, trail)
        except visible_apps.REFUSALS:
            outcome = Outcome.REFUSED
            raise
        finally:
            if session.cut.is_set() and outcome not in (Outcome.OK, Outcome.REFUSED):
                trail.cut()
            else:
                trail.end(outcome)
        return code

    def _receive(self, session: Session, name: str, trail: SessionAuditEntry) -> tuple[int, Outcome]:
        store, identity = self._services.store, session.identity
        if not identity.role.allows(Role.DEPLOYER):
            raise visible_apps.denied("`git push`", identity, Role.DEPLOYER)
        trail.begin()
        self._operations.room.ensure("a push")
        app = visible_apps.find(store, identity, name)
        if app is None and identity.limited:
            raise visible_apps.missing(store, identity, name)
        created = app is None
        if app is None:
            app = self._operations.apps.create(name, identity)
        else:
            self._operations.git.mend(app)
        session.about(app)
        session.pushes = True
        host = PushHost(self._operations, app, self._repositories.open(name), identity, coloured)
        answers: list[Mapping[str, str]] = []
        try:
            code = receive_pack(
                session.stdin,
                session.stdout,
                self._repositories.open(name),
                host,
                limits=ReceiveLimits(max_pack_bytes=self._services.settings.ssh.max_pack),
                ingest=choose(),
                gone=session.closed,
                told=answers.append,
                opened=lambda: self._operations.git.ensure_named(app, identity),
            )
        finally:
            if created and not host.accepted:
                self._forget(app, trail)
        if host.deploy is not None:
            trail.detail = f"deploy {host.deploy.id}"
            return code, self._outcome(host.deploy)
        trail.detail = trail.detail or "nothing was deployed"
        cut = session.cut.is_set() and not host.accepted
        return code, Outcome.FAILED if code or cut or any(answers) else Outcome.OK

    def _outcome(self, deploy: Deploy) -> Outcome:
        try:
            state = self._services.store.deploy(deploy.id).state
        except NotFound:  # the app was destroyed meanwhile
            return Outcome.FAILED
        if state.switched:
            return Outcome.OK
        return Outcome.FAILED if state.ended else Outcome.STARTED  # started: the deploy goes on without its pusher

    def _forget(self, app: App, trail: SessionAuditEntry) -> None:
        """An app that this push made without deploying anything leaves no trace, unless somebody else took it up."""
        try:
            if self._operations.apps.discard(app):
                trail.detail = "nothing was deployed, and the app that this push created was removed"
        except GitshipError as error:  # the reconciler goes on with it; the pusher gets the true answer
            log.warning("%s: taking back the app of a push: %s", app.name, error.message)

    def _upload(self, session: Session, name: str, trail: SessionAuditEntry) -> tuple[int, Outcome]:
        app = visible_apps.app(self._services.store, session.identity, name)
        session.about(app)
        code = upload_pack(
            session.stdin,
            session.stdout,
            self._repositories.open(app.name),
            protocol=session.env.get("GIT_PROTOCOL", ""),
            gone=session.closed,
            opened=lambda: self._operations.git.ensure_named(app, session.identity),
        )
        return code, Outcome.FAILED if code else Outcome.OK

    def still_may(self, session: Session) -> bool:
        """Whether what the session runs may go on, now that keys or names have changed."""
        store, ids = self._services.store, frozenset(session.apps.values())
        if not store.still_may(session.identity, ids):
            return False
        if not session.pushes:
            return True
        named = {name: store.find_app(name) for name in session.apps}  # a repository is found by its app's name
        return all(app is not None and app.id == session.apps[name] for name, app in named.items())


def _app_of(argv: tuple[str, ...]) -> str:
    if len(argv) != 2:
        raise GitshipError("expected one repository", "for instance: git push ssh://deploy@host:2222/shop main")
    return app_name(argv[1].strip("/").removesuffix(".git"))
