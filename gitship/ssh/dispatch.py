"""What a session may ask for: the two git services, and the admin commands."""

from __future__ import annotations

from gitship.commands import dispatch as commands
from gitship.commands.context import Services
from gitship.commands.session import Session
from gitship.deploy.push import PushHost
from gitship.deploy.server import ServerOperations
from gitship.errors import GitshipError, NotFound
from gitship.git.ingest import choose
from gitship.git.receive import ReceiveLimits, receive_pack
from gitship.git.repository import Repositories
from gitship.git.upload import upload_pack
from gitship.model import App, Role, app_name

RECEIVE = "git-receive-pack"
UPLOAD = "git-upload-pack"


class Dispatcher:
    """Runs one session's command; the exit code. GitshipErrors are shown by the caller."""

    def __init__(self, services: Services, operations: ServerOperations, repositories: Repositories) -> None:
        self._services = services
        self._operations = operations
        self._repositories = repositories

    def run(self, session: Session) -> int:
        argv = session.argv
        if argv[:1] == ("git",) and len(argv) > 1:  # `git receive-pack` is the same as `git-receive-pack`
            argv = (f"git-{argv[1]}", *argv[2:])
        if argv and argv[0] == RECEIVE:
            return self._receive(session, _app_of(argv))
        if argv and argv[0] == UPLOAD:
            return self._upload(session, _app_of(argv))
        if argv and argv[0] == "git-lfs-authenticate":
            raise GitshipError(
                "gitship takes no Git LFS objects", "keep the files in git itself, or fetch them in the Dockerfile"
            )
        return commands.run(self._services, session)

    def _receive(self, session: Session, name: str) -> int:
        if not session.identity.role.allows(Role.DEPLOYER):
            raise _unknown(name)
        app = self._services.store.find_app(name)
        created = app is None
        if app is None:
            app = self._operations.create_app(name)
        host = PushHost(self._operations, app, self._repositories.open(name), session.identity)
        try:
            return receive_pack(
                session.stdin,
                session.stdout,
                self._repositories.open(name),
                host,
                limits=ReceiveLimits(max_pack_bytes=self._services.settings.ssh.max_pack),
                ingest=choose(),
            )
        finally:
            if created and not host.accepted:
                self._forget(app)

    def _forget(self, app: App) -> None:
        """An app that this push created without deploying anything leaves no trace, unless somebody else took it up."""
        if not self._services.store.deploys(app.id, limit=1):
            self._operations.destroy_app(app.name)

    def _upload(self, session: Session, name: str) -> int:
        if self._services.store.find_app(name) is None:
            raise _unknown(name)
        return upload_pack(
            session.stdin,
            session.stdout,
            self._repositories.open(name),
            protocol=session.env.get("GIT_PROTOCOL", ""),
        )


def _app_of(argv: tuple[str, ...]) -> str:
    if len(argv) != 2:
        raise GitshipError("expected one repository", "for instance: git push ssh://deploy@host:2222/shop main")
    return app_name(argv[1].strip("/").removesuffix(".git"))


def _unknown(name: str) -> NotFound:
    return NotFound(f"no app '{name}'", "see `apps:list`; a key with the role deployer creates it by pushing")
