"""What a build may print, and which network it has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gitship.appfiles.gitship_toml import BuildTable, ProcessLimits
from gitship.appfiles.manifest import Manifest
from gitship.deploy.build import LINE_BYTES, Builder, BuildProgress
from gitship.deploy.journal import DeployJournal
from gitship.disk.free_space import FreeSpace
from gitship.engine.build_errors import SEE_LOG
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep, Image
from gitship.errors import BuildError, DeployError
from gitship.events import Bus
from gitship.git.repository import Repositories
from gitship.model import DeployKind, DeployState
from gitship.store import Store
from tests.e2e import apps
from tests.e2e.apps import git
from tests.unit.memory.engine import MemoryEngine, MemoryImages

pytestmark = pytest.mark.clients


class Printer(MemoryImages):
    """Builds print these lines, each from step 2, and fail with ``error`` if there is one."""

    def __init__(self, lines: Iterable[str] = (), error: DeployError | None = None) -> None:
        super().__init__()
        self.lines = lines
        self.error = error
        self.options: BuildOptions | None = None
        self.printed = 0

    def build(
        self, context: Iterable[bytes], options: BuildOptions, on_event: Callable[[BuildStep | BuildOutput], None],
        cancel: threading.Event,
    ) -> Image:  # fmt: skip
        self.options = options
        on_event(BuildStep(2, "[2/2] RUN yes"))
        for line in self.lines:
            on_event(BuildOutput(2, line))
            self.printed += 1
        if self.error is not None:
            raise self.error
        return Image("sha256:1", 1)


class Roomy(MemoryEngine):
    def free_bytes(self) -> int:
        return 1 << 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "gitship.db")
    yield opened
    opened.close()


def build(
    store: Store, directory: Path, printer: Printer, *, output_bytes: int = 0, app: str = "default",
    server: str = "default", files: Mapping[str, str] | None = None, **said: Any,
) -> str:  # fmt: skip
    """``app`` and ``server`` are the networks that they name, ``said`` more of the manifest; the journal's text."""
    made = store.create_app("shop")
    repository = Repositories(directory, None).create("shop")
    commit = apps.commit(
        apps.new_repository(directory / f"src{made.id}", {"Dockerfile": "FROM scratch\n", **(files or {})}), "x"
    )
    git(repository.path, "fetch", "-q", str(directory / f"src{made.id}"), "+main:main")
    journal = DeployJournal(store.create_deploy(made.id, DeployKind.PUSH, "me"), made, store, Bus(), directory / "logs")
    builder = Builder(
        Roomy(images=printer), store, max_builds=1, timeout_s=9, min_free_bytes=0, room=FreeSpace(directory, 0),
        output_bytes=output_bytes, network=server,
    )  # fmt: skip
    try:
        with journal.stage(DeployState.BUILDING, "Building") as stage:
            builder.build(
                made, repository, commit, Manifest(build=BuildTable(network=app), **said), journal, stage,
                threading.Event(), no_cache=False, limits=ProcessLimits(),
            )  # fmt: skip
    finally:
        journal.close()
    return journal.path.read_text()


def test_a_build_that_prints_without_end_is_ended(store: Store, tmp_path: Path) -> None:
    def forever() -> Iterator[str]:
        while True:
            yield "y"

    printer = Printer(forever())
    with pytest.raises(DeployError, match=r"output exceeded 1 MB, last in \[2/2\] RUN yes") as ended:
        build(store, tmp_path, printer, output_bytes=1 << 20)
    assert printer.printed == (1 << 20) // LINE_BYTES
    assert "build_output" in ended.value.hint and ended.value.lines == ("y",)


def test_long_lines_count_in_full_and_0_is_no_limit(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="output exceeded"):
        build(store, tmp_path, Printer(["x" * (1 << 19)] * 3), output_bytes=1 << 20)
    store.delete_app(store.app("shop").id)
    printer = Printer(["x" * 1000] * 100)
    build(store, tmp_path, printer, output_bytes=0)
    assert printer.printed == 100


@pytest.mark.parametrize(
    ("server", "app", "wanted"),
    [("default", "default", "default"), ("default", "none", "none"), ("none", "default", "none")],
)  # fmt: skip
def test_no_network_wins(store: Store, tmp_path: Path, server: str, app: str, wanted: str) -> None:
    printer = Printer()
    build(store, tmp_path, printer, app=app, server=server)
    assert printer.options is not None and printer.options.network == wanted


def test_what_a_build_is_at_is_its_oldest_step_and_last_line(store: Store, tmp_path: Path) -> None:
    made = store.create_app("shop")
    journal = DeployJournal(store.create_deploy(made.id, DeployKind.PUSH, "me"), made, store, Bus(), tmp_path)
    with journal.stage(DeployState.BUILDING, "Building") as stage:
        progress = BuildProgress(journal, stage)
        assert progress.now() == ""
        progress(BuildStep(1, "[internal] load build context"))
        progress(BuildStep(2, "[2/4] RUN pip wheel ."))
        progress(BuildStep(3, "[3/4] COPY . ."))
        progress(BuildOutput(2, "Collecting numpy"))
        progress(BuildOutput(2, " 10%\r 20% " + "x" * 300))
        assert progress.now() == "#1 [internal] load build context (2 more at once)"
        progress(BuildStep(1, "[internal] load build context", seconds=1.0))
        progress(BuildStep(3, "[3/4] COPY . .", cached=True))
        assert progress.now() == "#2 [2/4] RUN pip wheel .: 20% " + "x" * 93 + "..."
        many = "[2/4] RUN --mount=type=cache,target=/root/.npm npm ci && " + " && ".join(["npm install it"] * 9)
        progress(BuildStep(4, many))
        progress(BuildStep(2, "[2/4] RUN pip wheel .", seconds=9.0))
        progress(BuildOutput(4, "node-gyp rebuild"))
        now = progress.now()
        assert now.startswith("#4 [2/4] RUN npm ci && npm install it") and now.endswith("...: node-gyp rebuild")
        progress(BuildStep(4, many, seconds=9.0))
        assert progress.now() == ""
    journal.close()


FILES = {".dockerignore": "# no secrets\n*.txt\n*.sh\n", "requirements.txt": "flask\n", "start.sh": ""}
IN_THE_COMMIT = "[2/2] COPY requirements.txt /: 'requirements.txt' is not in the commit"
EXIT = "[2/2] RUN pip install -r requirements.txt ended with exit code 1"


def test_a_missing_file_that_dockerignore_leaves_out_is_told_so(store: Store, tmp_path: Path) -> None:
    missing = BuildError(
        IN_THE_COMMIT, "commit the file", step="[2/2] COPY requirements.txt /", missing="requirements.txt"
    )
    with pytest.raises(BuildError) as caught:
        build(store, tmp_path, Printer(error=missing), files=FILES)
    assert caught.value.message == (
        "[2/2] COPY requirements.txt /: 'requirements.txt' is left out of the build by .dockerignore line 2, '*.txt'"
    )
    assert caught.value.hint == "remove that line, or write '!requirements.txt' below it"


def test_a_missing_file_that_is_not_in_the_commit_either_is_told_as_before(store: Store, tmp_path: Path) -> None:
    missing = BuildError("[2/2] COPY a.txt /: not there", "commit it", step="[2/2] COPY a.txt /", missing="a.txt")
    with pytest.raises(BuildError) as caught:
        build(store, tmp_path, Printer(error=missing), files=FILES)
    assert (caught.value.message, caught.value.hint) == ("[2/2] COPY a.txt /: not there", "commit it")


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("[4/4] RUN pip install -r requirements.txt", "it failed"),
        ("[4/4] RUN make", "ERROR: Could not open requirements file: [Errno 2] No such file: 'requirements.txt'"),
        ("[4/4] RUN make", "cat: /app/requirements.txt: No such file or directory"),
    ],
)
def test_a_failed_step_that_names_a_file_left_out_says_so_in_its_hint(
    store: Store, tmp_path: Path, step: str, line: str
) -> None:
    with pytest.raises(BuildError) as caught:
        build(store, tmp_path, Printer(error=BuildError(EXIT, "see its last lines", (line,), step=step)), files=FILES)
    assert caught.value.message == EXIT
    left_out = "requirements.txt is left out of the build by .dockerignore line 2, '*.txt'"
    assert caught.value.hint == f"{left_out}; see its last lines"


def test_the_build_log_is_named_by_its_command_wherever_it_is_spoken_of(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        build(store, tmp_path, Printer(error=BuildError(EXIT, f"see its last lines; {SEE_LOG}", step="[2/2] RUN pip")))
    assert caught.value.hint == "see its last lines; the build log shows every line: logs:deploy shop 1"


def test_a_procfile_that_names_a_file_left_out_is_told_before_the_build(store: Store, tmp_path: Path) -> None:
    told = "Procfile: web names start.sh, which .dockerignore line 3, '*.sh' leaves out of the build"
    commands = {"web": ("./start.sh",), "worker": ("/bin/sh", "-c", "python work.py | cat")}
    assert told in build(store, tmp_path, Printer(), files=FILES, processes=commands)
