"""Links: the names of their variables."""

from __future__ import annotations

from pathlib import Path

from gitship.model.services import ALIAS
from tests.unit.memory.servers import Servers


def test_a_second_link_has_a_name_that_variables_can_have(tmp_path: Path) -> None:
    servers = Servers(tmp_path)
    app = servers.app("shop")
    servers.link(servers.service("db"), app)

    second = servers.link(servers.service("2nd-db"), app)

    assert ALIAS.fullmatch(second.alias)
    servers.store.close()
