"""The demo's server is made by either compiler, static and small; without one, what to install is said."""

from __future__ import annotations

import shutil
import tarfile

import pytest

from gitship import demo
from gitship.errors import GitshipError

pytestmark = pytest.mark.clients

LARGEST_BYTES = 20_000


@pytest.mark.parametrize("compiler", demo.COMPILERS, ids=lambda c: str(c[0][0]))
def test_each_compiler_makes_a_small_static_program(
    compiler: tuple[tuple[str, ...], tuple[tuple[str, ...], ...]],
) -> None:
    if any(shutil.which(tool) is None for tool in compiler[0]):
        pytest.skip(f"no {compiler[0][0]} here")
    program = demo.server((compiler,))
    assert program.startswith(b"\x7fELF")
    assert len(program) < LARGEST_BYTES
    assert b"ld-linux" not in program


def test_a_compiler_that_fails_is_named_and_the_next_one_tried() -> None:
    with pytest.raises(GitshipError, match="sh: ") as raised:
        demo.server(((("sh",), (("sh", "-c", "echo cannot >&2; exit 1"),)),))
    assert "tcc" in raised.value.hint
    works = (("sh",), (("sh", "-c", "echo made > server"),))
    assert demo.server(((("sh",), (("false",),)), works)) == b"made\n"


def test_without_a_compiler_what_to_install_is_said() -> None:
    with pytest.raises(GitshipError, match="none found"):
        demo.server(((("no-such-compiler",), ()),))


def test_the_page_says_where_to_clone_it_from() -> None:
    with tarfile.open(fileobj=demo.archive("first", "ssh://deploy@here:2222/first")) as tar:
        page = tar.extractfile("index.html")
        assert page is not None
        text = page.read().decode()
        assert tar.getmember("server").mode == 0o755
    assert "git clone ssh://deploy@here:2222/first" in text
    assert "@APP@" not in text
    assert "@URL@" not in text
