from __future__ import annotations

import pytest

from gitship.deploy import output

PUSH = """\
-----> shop: 4 files, 1a2b3c4 "Add basket"                 0.1s
-----> Building Dockerfile                                 2.4s
       #5 RUN pip install -r requirements.txt              1.9s
=====> http://shop.example.com   v12 in 3.5s, image 84 MB (+0.2), deploy 57"""

FAILED = """\
       | Traceback
       | KeyError: 'DATABASE_URL'
 !     checking failed: web exited 1
 !     look at the lines above
 !     v11 keeps serving, unchanged"""


def test_a_push_reads_as_the_design_shows() -> None:
    lines = [
        output.headline('shop: 4 files, 1a2b3c4 "Add basket"', 0.1),
        output.headline("Building Dockerfile", 2.4),
        output.detail("#5 RUN pip install -r requirements.txt", 1.9),
        output.result("http://shop.example.com", "v12", 3.5, 84_000_000, 200_000, 57),
    ]
    assert "\n".join(lines) == PUSH


def test_a_small_image_is_told_in_kilobytes() -> None:
    line = output.result("http://shop.example.com", "v2", 1.1, 10_300, -200, 2)
    assert line == "=====> http://shop.example.com   v2 in 1.1s, image 10 kB (-0.2), deploy 2"


@pytest.mark.parametrize(("growth", "shown"), [(0, ""), (49_000, ""), (-49_000, ""), (60_000, " (+0.1)"), (None, "")])
def test_an_image_that_has_not_grown_says_nothing_of_it(growth: int | None, shown: str) -> None:
    line = output.result("http://shop.example.com", "v2", 1.1, 5_000_000, growth, 2)
    assert line == f"=====> http://shop.example.com   v2 in 1.1s, image 5.0 MB{shown}, deploy 2"


def test_a_failure_ends_with_cause_next_step_and_what_still_runs() -> None:
    last = ("Traceback", "KeyError: 'DATABASE_URL'")
    lines = output.failure("checking", "web exited 1", "look at the lines above", last, "v11 keeps serving, unchanged")
    assert "\n".join(lines) == FAILED


def test_a_long_line_keeps_its_time() -> None:
    assert output.detail("x" * 80, 1.25).endswith("x   1.2s")


def test_a_subject_is_shown_without_control_characters() -> None:
    assert output.title("a\x1b[31mred\x07") == "a [31mred"
    assert len(output.title("x" * 100)) == 40


def test_raw_lines_are_told_from_the_others() -> None:
    assert output.is_raw(output.raw("anything"))
    assert not output.is_raw(output.detail("anything"))


def test_the_last_lines_of_a_container_reach_the_pusher() -> None:
    last = ("| a line like a table", ": another", "")
    assert not any(output.is_raw(line) for line in output.failure("checking", "no", "hint", last, "v1 serves on"))


def test_a_hint_with_a_dockerfile_keeps_its_lines() -> None:
    lines = output.failure(
        "building", "no Dockerfile", "one to start with:\n\n  FROM a\n  COPY . .", (), "v1 serves on"
    )
    assert lines[1:5] == [" !     one to start with:", " !     ", " !       FROM a", " !       COPY . ."]


def test_what_fails_before_the_first_stage_is_the_deploy() -> None:
    for stage, called in (("queued", "deploy"), ("received", "deploy"), ("", "deploy"), ("building", "building")):
        assert output.failure(stage, "no more", "", (), "v1 serves on")[0] == f" !     {called} failed: no more"


def test_a_stopped_app_is_not_called_live() -> None:
    line = output.stopped("http://shop.localhost", "v3", 0.25)
    assert line == "=====> http://shop.localhost   stopped in 0.2s; ps:start starts v3"
