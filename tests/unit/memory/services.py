"""The room of backing services on an engine in memory."""

from __future__ import annotations

from gitship.backup.create import Backups
from gitship.config import Settings
from gitship.core import Core
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.events import Bus
from gitship.git.repository import Repositories
from gitship.model.services import LinkState, Service, ServiceState
from gitship.per_app_errors import PerAppErrors
from gitship.services import room
from gitship.services.room import ServicesRoom
from gitship.store import Store
from gitship.volumes.lifecycle import VolumeLifecycle


def services_of(
    settings: Settings, store: Store, engine: Engine, addresses: Addresses, volumes: VolumeLifecycle | None = None,
    server: Backups | None = None,
) -> ServicesRoom:  # fmt: skip
    core = Core(settings, None, store, store.server_id(), Bus(), PerAppErrors())
    volumes = volumes or VolumeLifecycle(store, engine, core.server_id)
    repositories = Repositories(settings.repositories, None)
    server = server or Backups(settings, None, store, repositories, engine.volumes, volumes)
    return room.build(core, engine, addresses, volumes, server)


def running_service(
    store: Store, name: str, *apps: str, engine: str = "postgres", made_by: int | None = None, read_only: bool = False
) -> Service:
    """One that runs, as the store has it, with a login of its own for each of the apps."""
    image = f"docker.io/{engine}:17"
    made = store.create_service(name, engine, "17", image, 512 << 20, name, "the-root-password", made_by)
    store.change_service(made.id, state=ServiceState.READY, container=f"service-{made.id}")
    for app in apps:
        alias = "DATABASE" if name == "db" else f"{name.upper().replace('-', '_')}_DATABASE"
        url = "postgresql://{login}:{password}@{host}:{port}/{database}"
        link = store.create_link(made, store.app(app).id, alias, url, 5432, read_only=read_only, declared="")
        login = store.create_login(link, f"l{link.id}_ab", "the-login-password")
        store.change_link(link.id, state=LinkState.ACTIVE, login=login.id)
    return store.service(made.id)
