"""The room of backing services on an engine in memory."""

from __future__ import annotations

from gitship.config import Settings
from gitship.core import Core
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.events import Bus
from gitship.per_app_errors import PerAppErrors
from gitship.services import room
from gitship.services.room import ServicesRoom
from gitship.store import Store


def services_of(settings: Settings, store: Store, engine: Engine, addresses: Addresses) -> ServicesRoom:
    return room.build(Core(settings, None, store, store.server_id(), Bus(), PerAppErrors()), engine, addresses)
