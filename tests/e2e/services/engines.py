"""A gitship server whose engines are images of this machine, under names of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gitship.services.engine_catalog import SHIPPED
from tests.e2e.commands import ok
from tests.e2e.harness import Server
from tests.e2e.services.images import IMAGES
from tests.places import own_name


@contextmanager
def engines(server: Server, *names: str) -> Iterator[None]:
    """Engine files as an admin has them, with images that are here: no registry is asked."""
    place = server.data_dir / "engines"
    place.mkdir(exist_ok=True)
    with ExitStack() as stack:
        for name in names:
            image = IMAGES[name]
            own = f"localhost/{own_name(f'gitship-test-{image.engine}')}"
            stack.enter_context(image.imported(server.docker_host, own))
            text = (SHIPPED / f"{image.engine}.toml").read_text()
            (before,) = [line for line in text.splitlines() if line.startswith("image = ")]
            (place / f"{image.engine}.toml").write_text(text.replace(before, f'image = "{own}"'))
        yield


def sql(server: Server, service: str, text: str) -> str:
    """What psql prints, bare."""
    assert "'\\''" not in text
    quoted = text.replace("'", "'\\''")
    return ok(server, "services:connect", service, "--", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", f"'{quoted}'").strip()
