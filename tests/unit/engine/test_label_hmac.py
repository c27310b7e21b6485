"""Labels of a container are gitship's words only under its seal, whatever an image says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.engine.container_json import summary
from gitship.engine.events import event
from gitship.engine.images import describe
from gitship.engine.label_hmac import LABEL, NAMESPACE, LabelHmac

TEXT = st.text(max_size=20)
OWN = st.dictionaries(st.builds("gitship.{}".format, TEXT) | TEXT, TEXT, max_size=5).map(
    lambda labels: {name: text for name, text in labels.items() if name != LABEL}
)
ANY = st.dictionaries(st.builds("gitship.{}".format, TEXT) | TEXT | st.just(LABEL), TEXT, max_size=8)


def in_docker(given_: dict[str, str], image: dict[str, str]) -> dict[str, str]:
    """What Docker makes of them: an image's labels stand where the container has none of the name."""
    return {**image, **given_}


@given(OWN, ANY)
def test_what_gitship_says_is_believed_and_what_the_image_says_is_not(
    own: dict[str, str], image: dict[str, str]
) -> None:
    seal = LabelHmac(b"secret")
    believed = seal.believed("shop.web.1.v1", in_docker(seal.labels("shop.web.1.v1", own, image), image))
    of_gitship = {name: text for name, text in believed.items() if name.startswith(NAMESPACE) and name != LABEL}
    assert of_gitship == {name: text for name, text in own.items() if name.startswith(NAMESPACE) and text}


@given(ANY)
def test_without_the_secret_nothing_is_believed(labels: dict[str, str]) -> None:
    believed = LabelHmac(b"secret").believed("shop.web.1.v1", labels)
    assert believed == {name: text for name, text in labels.items() if not name.startswith(NAMESPACE)}


def test_a_seal_holds_for_one_name_one_server_and_these_very_labels() -> None:
    seal, own = LabelHmac(b"secret"), {"gitship.server": "s1", "gitship.app-id": "1"}
    sealed = seal.labels("shop.web.1.v1", own, {})
    assert seal.believed("shop.web.1.v1", sealed) == sealed
    for name, labels in (
        ("shop.web.2.v1", sealed),
        ("shop.web.1.v1", {**sealed, "gitship.app-id": "2"}),
        ("shop.web.1.v1", {**sealed, "gitship.one-off": "detached"}),
    ):
        assert seal.believed(name, labels) == {}
    assert LabelHmac(b"another").believed("shop.web.1.v1", sealed) == {}


def test_a_container_has_its_own_name_also_when_another_is_linked_to_it() -> None:
    row: dict[str, Any] = {"Id": "1", "Names": ["/by-hand/alias", "/shop.web.1.v1"], "State": "running"}
    assert summary(row).name == "shop.web.1.v1"


@pytest.mark.parametrize("text", ["9" * 5000, "x", "", "-1", "²", "1.5"])
def test_labels_that_docker_lays_over_an_event_cost_the_figure_and_not_the_watch(text: str) -> None:
    """An image may have a label `exitCode`: Docker gives that out as the event's attribute."""
    attributes = {"name": "shop.web.1.v1", "exitCode": text, "signal": text}
    seen = event({"Action": "die", "timeNano": 1, "Actor": {"ID": "c1", "Attributes": attributes}})
    assert (seen.container_id, seen.exit_code, seen.signal) == ("c1", None, None)


def test_ports_of_an_image_from_elsewhere_may_be_anything() -> None:
    exposed = [
        "80/tcp",
        "90",
        "8000-8002/tcp",
        "x/tcp",
        "0/tcp",
        "70000/tcp",
        f"{'9' * 5000}/tcp",
        "53/udp",
        "²/tcp",
        "",
    ]
    config: dict[str, Any] = {"ExposedPorts": {port: {} for port in exposed}}
    assert describe({"Id": "sha256:1", "Size": 7, "Config": json.loads(json.dumps(config))}).tcp_ports == (80, 90)
