"""Contexts that go by a session: BuildKit sees the commit, whatever it had before and whatever happened in between."""

from __future__ import annotations

import io
import subprocess
import tarfile
import threading
import tracemalloc
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from gitship.deploy import send_context
from gitship.engine.source_tree import Contents, SourceTree
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep, Image
from gitship.errors import DeployCanceled, GitError
from gitship.git import file_times
from gitship.git.build_context import prepare
from tests.e2e import docker_cli
from tests.e2e.engine.conftest import LABEL, Lab
from tests.e2e.engine.context import BASE, BUSYBOX
from tests.e2e.relay import Relay
from tests.unit.git.commits import SUBMODULE, TIME, Content, Mode, bare, commit, executable, id_at, link, lose

pytestmark = pytest.mark.e2e

DOCKERFILE = b"FROM scratch\nCOPY . /src/\n"
LARGE = bytes(range(256)) * 2000
Files = dict[str | bytes, Content]


class Builds:
    """Builds of one repository, and what they found in their context."""

    def __init__(self, lab: Lab, repository: Path) -> None:
        self.lab = lab
        self.repository = repository
        self.asked: list[str] = []  # paths of which the last build asked for the content

    def tree(self, made: str, subdirectory: str = "", dockerfile: str = "Dockerfile") -> SourceTree:
        context = prepare(self.repository, made, subdirectory=subdirectory, dockerfile=dockerfile)
        tree = send_context.sent(self.repository, context)
        assert isinstance(tree, SourceTree)
        return tree

    def watched(self, tree: SourceTree, before: Callable[[], object] = lambda: None) -> SourceTree:
        def contents(indices: Sequence[int]) -> Contents:
            before()
            self.asked += [tree.files[index].path for index in indices]
            return tree.contents(indices)

        self.asked = []
        return replace(tree, contents=contents)

    def build(self, tree: SourceTree, cancel: threading.Event | None = None, **options: object) -> Image:
        asked = BuildOptions(tag=f"{self.lab.run}:sessions", labels=self.lab.labels, **options)  # type: ignore[arg-type]
        return self.lab.engine.images.build(tree, asked, self.lab.events.append, cancel or threading.Event())

    def seen(self, made: str) -> dict[str, tuple[object, ...]]:
        """What `COPY . /src/` finds in the context of this commit."""
        image = self.build(self.watched(self.tree(made)))
        return in_image(self.lab, image)


@pytest.fixture
def builds(lab: Lab, tmp_path: Path) -> Builds:
    return Builds(lab, bare(tmp_path / "shop.git"))


def in_image(lab: Lab, image: Image) -> dict[str, tuple[object, ...]]:
    """Everything below /src: type, whether it is executable, content or target."""
    host = lab.host
    container = docker_cli.docker(host, "create", "--label", f"{LABEL}={lab.run}", image.id, "/none")
    try:
        data = subprocess.run(
            ["docker", "-H", host, "cp", f"{container}:/src/.", "-"], capture_output=True, timeout=60, check=True
        ).stdout
    finally:
        docker_cli.docker(host, "rm", container)
    return in_tar(data)


def in_git(repository: Path, made: str) -> dict[str, tuple[object, ...]]:
    """The same of `git archive`."""
    command = ["git", "-c", "safe.directory=*", "archive", made]
    return in_tar(subprocess.run(command, cwd=repository, capture_output=True, timeout=60, check=True).stdout)


def in_tar(data: bytes) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = member.name.removeprefix("./").rstrip("/")
            content = archive.extractfile(member) if member.isreg() else None
            if path not in ("", "."):
                found[path] = (
                    member.type,
                    bool(member.mode & 0o100) or member.issym(),
                    content.read() if content else member.linkname,
                )
    return found


# few names, so that the same ones come again as another thing; "-" and "." sort before "/"
PATHS = st.sampled_from(["a", "a", "b", "b/a", "b/a", "b/b/a", "a-b", "a/b", "a.b/é", "b-/c d", "grüße/a", "_"])
CONTENTS: st.SearchStrategy[Content] = st.one_of(
    st.sampled_from([b"", b"1\n", b"2\n", b"3\n", LARGE, LARGE[::-1]]),
    st.sampled_from([b"1\n", b"2\n"]).map(executable),
    st.sampled_from([b"a", b"b", b"/etc", b"/etc/passwd", b"..", b"a/b", b"../../x", b"none"]).map(link),
    st.just(SUBMODULE),
)
CHANGES = st.dictionaries(PATHS, st.one_of(st.none(), CONTENTS), min_size=1, max_size=6)
BETWEEN = st.sampled_from(["", "", "", "lost", "damaged", "cut", "put back", "canceled", "unreadable"])
STEPS = st.lists(st.tuples(CHANGES, BETWEEN, st.integers(0, 1)), min_size=2, max_size=5)


def changed(files: dict[str, Content], changes: Mapping[str, Content | None]) -> dict[str, Content]:
    """The next commit: a path that becomes a directory, or lies below what becomes a file, makes the other one go."""
    result = dict(files)
    for path, content in changes.items():
        above = {path[:n] for n, char in enumerate(path) if char == "/"}
        result = {p: c for p, c in result.items() if p != path and p not in above and not p.startswith(f"{path}/")}
        if content is not None:
            result[path] = content
    return result


@settings(
    max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(steps=STEPS)
@example(steps=[({"a": b"1\n"}, "", 0), ({"a": b"2\n"}, "", 0), ({"a": b"1\n"}, "canceled", 0)])
@example(steps=[({"a": b"1\n"}, "", 1), ({"a": b"2\n"}, "", 0), ({"a": b"3\n"}, "put back", 0)])
@example(steps=[({"b": link(b"/etc")}, "", 0), ({"b/passwd": b"1\n"}, "", 0), ({"b": b"1\n"}, "unreadable", 0)])
def test_a_build_sees_its_commit_whatever_went_before(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Mapping[str, Content | None], str, int]]
) -> None:
    builds = Builds(lab, bare(tmp_path_factory.mktemp("repository") / "shop.git"))
    kept = builds.repository / file_times.NAME
    earlier: list[bytes] = []
    files: dict[str, Content] = {"a": b"0\n", "b/a": b"0\n"}
    for changes, between, later in steps:
        meddle(builds, kept, earlier, between)
        files = changed(files, changes)
        made = commit(builds.repository, {"Dockerfile": DOCKERFILE, **dict(files.items())}, time=TIME + later)
        if between == "canceled":
            canceled(builds, made)
        elif between == "unreadable":
            unreadable(builds, made)
        assert builds.seen(made) == in_git(builds.repository, made)
        earlier.append(kept.read_bytes())


def meddle(builds: Builds, kept: Path, earlier: Sequence[bytes], how: str) -> None:
    if how == "lost":
        kept.unlink(missing_ok=True)
    elif how == "damaged" and kept.exists():
        data = bytearray(kept.read_bytes())
        data[len(data) * 2 // 3] ^= 1
        kept.write_bytes(data)
    elif how == "cut" and kept.exists():
        kept.write_bytes(kept.read_bytes()[:-3])
    elif how == "put back" and earlier:
        kept.write_bytes(earlier[0])


def canceled(builds: Builds, made: str) -> None:
    """A build that is canceled while its files go over, if any need to."""
    cancel = threading.Event()
    with suppress(DeployCanceled):
        builds.build(builds.watched(builds.tree(made), cancel.set), cancel)


def unreadable(builds: Builds, made: str) -> None:
    """A build during which the disk gives up after one file, if any needs to go over."""

    def broken(indices: Sequence[int]) -> Contents:
        contents = tree.contents(indices)
        try:
            yield next(contents)
        finally:
            contents.close()
        raise GitError("the disk is broken", "")

    tree = builds.tree(made)
    try:
        builds.build(replace(tree, contents=broken), no_cache=True)
    except GitError as error:
        assert error.message == "the disk is broken"


def test_only_what_changed_goes_over(builds: Builds) -> None:
    files: Files = {f"f{n}": b"%d" % n for n in range(300)}
    files |= {"Dockerfile": DOCKERFILE, "page": b"1\n", "l": link(b"page")}
    builds.seen(commit(builds.repository, files))
    assert len(set(builds.asked)) == 302
    builds.seen(commit(builds.repository, {**files, "page": b"2\n", "run": executable(b""), "l": link(b"run")}))
    assert sorted(set(builds.asked) - {"Dockerfile"}) == ["page", "run"]
    builds.seen(commit(builds.repository, {**files, "f7": Mode(0o100755, b"7"), "page": b"2\n"}))
    assert sorted(set(builds.asked) - {"Dockerfile"}) == ["f7"]


def test_a_build_of_the_same_commit_is_cached_and_needs_nothing(builds: Builds) -> None:
    made = commit(builds.repository, {"Dockerfile": DOCKERFILE, "a": b"1", "b/c": b"2"})
    first = builds.build(builds.watched(builds.tree(made)))
    again = builds.build(builds.watched(builds.tree(made)))
    assert (again.id, set(builds.asked) - {"Dockerfile"}) == (first.id, set())


def test_all_is_as_with_a_tar(builds: Builds) -> None:
    made = commit(
        builds.repository,
        {
            "Dockerfile": DOCKERFILE,
            "a" * 120 + "/" + "b" * 130: b"long",
            "empty": b"",
            "grüße/ß": b"u",
            "large": LARGE * 4,
            "link": link(b"../../etc/passwd"),
            "new\nline": b"n",
            "run.sh": executable(b"#!/bin/sh\n"),
            "vendor/lib": SUBMODULE,
            "x\\y": b"backslash",
        },
    )
    tree = builds.tree(made)
    by_session = headers(builds, builds.build(tree, no_cache=True))
    image = builds.lab.engine.images.build(
        tree.tar(), BuildOptions(tag=f"{builds.lab.run}:tar", labels=builds.lab.labels, no_cache=True),
        builds.lab.events.append, threading.Event(),
    )  # fmt: skip
    assert by_session == headers(builds, image)
    assert by_session["run.sh"][1] == TIME and len(by_session) > 12


def headers(builds: Builds, image: Image) -> dict[str, tuple[object, int]]:
    """Everything below /src with mode, owner and time (whole seconds; of directories none)."""
    container = docker_cli.docker(builds.lab.host, "create", "--label", f"{LABEL}={builds.lab.run}", image.id, "/none")
    command = ["docker", "-H", builds.lab.host, "cp", f"{container}:/src/.", "-"]
    data = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    docker_cli.docker(builds.lab.host, "rm", container)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            m.name.removeprefix("./"): ((m.type, m.mode, m.uid, m.gid, m.linkname), 0 if m.isdir() else int(m.mtime))
            for m in archive
        }


def test_what_is_ignored_is_not_there(builds: Builds) -> None:
    ignore = b"*.log\nnode_modules\n!keep.log\nDockerfile\ndeep/**\n!deep/er/this\n"
    files: Files = {"Dockerfile": DOCKERFILE, ".dockerignore": ignore, "x.log": b"1", "keep.log": b"2"}
    files |= {"node_modules/m": b"3", "deep/er/this": b"4", "deep/er/that": b"5", "src/x.log": b"6"}
    seen = builds.seen(commit(builds.repository, files))
    wanted = {"Dockerfile", ".dockerignore", "keep.log", "deep", "deep/er", "deep/er/this", "src", "src/x.log"}
    assert set(seen) == wanted
    files[".dockerignore"] = b"keep.log\n"
    assert set(builds.seen(commit(builds.repository, files))) == {*files, *wanted, "node_modules"} - {"keep.log"}


@pytest.mark.parametrize("also", [[], [".dockerignore"]])
def test_a_dockerfile_elsewhere_and_its_own_ignore_file(builds: Builds, also: list[str]) -> None:
    files: Files = {"app/docker/Web.df": DOCKERFILE, "app/a": b"1", "app/b": b"2", "outside": b"3"}
    files["app/docker/Web.df.dockerignore"] = b"b\ndocker/*\n"
    files.update({f"app/{name}": b"a\n" for name in also})
    made = commit(builds.repository, files)
    tree = builds.tree(made, subdirectory="app", dockerfile="docker/Web.df")
    image = builds.build(tree, dockerfile="docker/Web.df")
    assert set(in_image(builds.lab, image)) == {"a", "docker", "docker/Web.df", "docker/Web.df.dockerignore", *also}


def test_the_ignore_file_alone_can_be_copied(builds: Builds) -> None:
    files: Files = {"Dockerfile": b"FROM scratch\nCOPY .dockerignore /src/\n", ".dockerignore": b"a\n"}
    assert builds.seen(commit(builds.repository, files)) == {".dockerignore": (tarfile.REGTYPE, False, b"a\n")}


LINKED: Mapping[str | bytes, Content] = {"Dockerfile": link(b"df"), "df": DOCKERFILE}


@pytest.mark.parametrize("made", [LINKED, {"Dockerfile": DOCKERFILE, b"\xff": b""}])
def test_what_a_session_cannot_carry_goes_as_a_tar(builds: Builds, made: Mapping[str | bytes, Content]) -> None:
    context = prepare(builds.repository, commit(builds.repository, made))
    sent = send_context.sent(builds.repository, context)
    assert not isinstance(sent, SourceTree)
    asked = BuildOptions(tag=f"{builds.lab.run}:sessions", labels=builds.lab.labels)
    assert builds.lab.engine.images.build(sent, asked, builds.lab.events.append, threading.Event()).id


def test_builds_of_one_app_at_once_see_each_its_own(builds: Builds) -> None:
    commits = [
        commit(builds.repository, {"Dockerfile": DOCKERFILE, "a": b"%d" % n, "large": LARGE * 20, f"only{n}": b""})
        for n in range(4)
    ]
    seen: dict[str, object] = {}

    def build(made: str) -> None:
        asked = BuildOptions(tag=f"{builds.lab.run}:{made}", labels=builds.lab.labels)
        image = builds.lab.engine.images.build(builds.tree(made), asked, lambda event: None, threading.Event())
        seen[made] = in_image(builds.lab, image)

    threads = [threading.Thread(target=build, args=(made,)) for made in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {made: in_git(builds.repository, made) for made in commits}


def test_a_long_step_is_not_taken_for_a_dead_session(builds: Builds) -> None:
    dockerfile = f"{BASE}RUN echo {uuid.uuid4().hex}; busybox sleep 12\nCOPY a /src/\n".encode()
    files: Files = {"Dockerfile": dockerfile, "busybox": executable(BUSYBOX()), "a": b"1"}
    assert builds.seen(commit(builds.repository, files)) == {"a": (tarfile.REGTYPE, False, b"1")}


def test_a_canceled_build_ends_with_its_session(builds: Builds) -> None:
    dockerfile = f"{BASE}RUN echo {uuid.uuid4().hex}; busybox sleep 300\n".encode()
    made = commit(builds.repository, {"Dockerfile": dockerfile, "busybox": executable(BUSYBOX())})
    cancel = threading.Event()

    def on_event(event: BuildStep | BuildOutput) -> None:
        if isinstance(event, BuildOutput):
            cancel.set()

    asked = BuildOptions(tag=f"{builds.lab.run}:sessions", labels=builds.lab.labels)
    with pytest.raises(DeployCanceled):
        builds.lab.engine.images.build(builds.tree(made), asked, on_event, cancel)
    assert not [thread for thread in threading.enumerate() if thread.name == "build-session"]


def test_a_build_that_is_canceled_while_files_go_over_is_canceled(builds: Builds) -> None:
    for n in range(10):
        made = commit(builds.repository, {"Dockerfile": DOCKERFILE, "a": b"%d" % n, "large": LARGE + b"%d" % n})
        cancel = threading.Event()
        with pytest.raises(DeployCanceled):
            builds.build(builds.watched(builds.tree(made), cancel.set), cancel)
        assert builds.seen(made) == in_git(builds.repository, made)


def test_a_file_that_is_gone_fails_the_build_by_name(builds: Builds) -> None:
    made = commit(builds.repository, {"Dockerfile": DOCKERFILE, "a": b"1", "b": b"2"})
    tree = builds.tree(made)
    lose(builds.repository, id_at(builds.repository, made, "b"))
    with pytest.raises(GitError, match="cannot read object"):
        builds.build(tree)


def test_an_engine_without_sessions_gets_the_tar(lab: Lab, tmp_path: Path, base: Path) -> None:
    with Relay(base / "s", lab.host, refused="/session") as relay:
        other = Lab(relay.host)
        other.labels = lab.labels
        builds = Builds(other, bare(tmp_path / "shop.git"))
        made = commit(builds.repository, {"Dockerfile": DOCKERFILE, "a": b"1"})
        assert builds.seen(made) == in_git(builds.repository, made)
        assert builds.asked == []


def test_memory_does_not_grow_with_the_context(builds: Builds) -> None:
    files: Files = {f"f{n}": LARGE * 8 + b"%d" % n for n in range(24)}  # 100 MB
    tree = builds.tree(commit(builds.repository, {**files, "Dockerfile": DOCKERFILE}))
    del files
    tracemalloc.start()
    try:
        builds.build(tree)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25 << 20  # a file of 4 MB or a few at once, as the engine asks for them: never all 100 MB
