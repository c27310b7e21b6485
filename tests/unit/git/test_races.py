"""Many at once: whatever the order, one winner per move, and the losers are told."""

from __future__ import annotations

import io
import subprocess
import threading
from pathlib import Path

import pytest

from gitship.errors import Conflict
from gitship.git.ingest import Ingest
from gitship.git.receive_pack import receive_pack
from gitship.git.repository import Repository
from tests.unit.git.conftest import assert_nothing_left
from tests.unit.git.gitd import GitServer, Work
from tests.unit.git.move_refs import MoveRefs
from tests.unit.git.raw import Answer, pack, push, small_push, wishes

pytestmark = pytest.mark.clients
MAIN = "refs/heads/main"


def test_of_twenty_racing_pushes_to_one_ref_exactly_one_is_told_ok(repository: Repository, ingest: Ingest) -> None:
    base, objects = small_push("base")
    push(repository, ingest, wishes((None, base, MAIN)) + pack(*objects))
    made = [small_push(f"racer {n}", [base]) for n in range(20)]
    start = threading.Barrier(20)
    answers: dict[str, Answer] = {}

    def race(tip: str, data: bytes) -> None:
        start.wait(30)
        answers[tip] = push(repository, ingest, wishes((base, tip, MAIN)) + data, ends=False)

    threads = [threading.Thread(target=race, args=(tip, pack(*parts))) for tip, parts in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    told_ok = [tip for tip, answer in answers.items() if answer.refs == {MAIN: "ok"}]
    assert told_ok == [repository.ref(MAIN)]
    reasons = {answer.refs[MAIN] for tip, answer in answers.items() if tip not in told_ok}
    assert len(answers) == 20
    assert reasons <= {"it has moved, fetch first", "locked by another push, try again"}
    assert_nothing_left(repository)


def test_stock_clients_that_race_to_one_ref(server: GitServer, work: Work, tmp_path: Path) -> None:
    work.commit({"a": "0"})
    work.git("push", server.url(), "main")
    racers = []
    for n in range(6):
        racer = Work(tmp_path / f"racer{n}")
        racer.git("clone", "-q", str(work.path), ".")
        racer.commit({"a": f"racer {n}"})
        racers.append(racer)
    running = [
        subprocess.Popen(
            ["git", "push", "-q", server.url(), "main"],
            cwd=racer.path,
            env=racer.environment,
            stderr=subprocess.DEVNULL,
        )
        for racer in racers
    ]
    winners = [racer.head() for racer, process in zip(racers, running, strict=True) if process.wait(60) == 0]
    assert winners == [server.repositories.open("shop").ref(MAIN)]


def test_pushes_to_different_refs_all_arrive(repository: Repository, ingest: Ingest) -> None:
    made = {f"refs/heads/team/b{n}": small_push(f"branch {n}") for n in range(12)}
    answers: dict[str, Answer] = {}

    def one(ref: str, tip: str, data: bytes) -> None:
        answers[ref] = push(repository, ingest, wishes((None, tip, ref)) + data)

    threads = [threading.Thread(target=one, args=(ref, tip, pack(*parts))) for ref, (tip, parts) in made.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {ref: answer.refs for ref, answer in answers.items()} == {ref: {ref: "ok"} for ref in made}
    assert repository.refs() == {ref: tip for ref, (tip, _) in sorted(made.items())}


def test_creating_and_deleting_beside_each_other_never_fails_otherwise_than_by_losing(repository: Repository) -> None:
    """The directory of a deleted ref vanishes while another is being created in it."""
    problems: list[Exception] = []

    def churn(name: str) -> None:
        ref, sha = f"refs/heads/dir/{name}", "12" * 20
        try:
            for _ in range(40):
                assert repository.compare_and_set(ref, None, sha)
                assert repository.compare_and_set(ref, sha, None)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=churn, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems


def test_refs_that_are_another_apps_by_now_are_shown_to_nobody(repository: Repository, ingest: Ingest) -> None:
    """A repository is found by its app's name, and between the look-up and the reading the name may change hands."""
    base, objects = small_push("base")
    push(repository, ingest, wishes((None, base, MAIN)) + pack(*objects))
    shown = io.BytesIO()

    def opened() -> None:
        raise Conflict("shop was renamed to store", "use it under its new name")

    with pytest.raises(Conflict):
        receive_pack(io.BytesIO(), shown, repository, MoveRefs(repository), opened=opened)
    assert shown.getvalue() == b""
