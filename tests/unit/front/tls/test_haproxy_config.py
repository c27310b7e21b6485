"""haproxy's configuration and its list of certificates, as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship.config_values import Address
from gitship.front.tls.haproxy_config import haproxy_config
from gitship.front.tls.served_certificates import HOSTS_PER_ENTRY, ServedCertificate, crt_list, entries, line, names_in
from tests.unit.front.golden import check

PLACES = (Path("/data/varnish/https.sock"), Path("/data/certs/crt.list"), Path("/data/tls/admin.sock"))


def test_as_root_it_gives_up_its_rights() -> None:
    check("haproxy.cfg", haproxy_config(Address("0.0.0.0", 443), *PLACES, "haproxy", processors=8))


def test_as_anybody_else_it_stays_who_it_is() -> None:
    text = haproxy_config(Address("::", 8443), *PLACES, None, processors=1)
    assert "user" not in text and 'bind "[::]:8443" ssl' in text


@pytest.mark.parametrize(("processors", "wanted"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 32)])
def test_it_leaves_half_of_the_machine_to_varnish(processors: int, wanted: int) -> None:
    assert f"\n    nbthread {wanted}\n" in haproxy_config(Address("::", 443), *PLACES, None, processors)


def test_an_entrys_name_tells_all_that_is_in_it() -> None:
    one = ServedCertificate("shop", "PEM", ("a.example.com",))
    others = [
        ServedCertificate("shop", "PEM", ("b.example.com",)),
        ServedCertificate("shop", "OTHER", one.hosts),
        ServedCertificate("blog", "PEM", one.hosts),
    ]
    assert len({one.name, *(other.name for other in others)}) == 4
    assert one.name == ServedCertificate("shop", "PEM", one.hosts).name and one.name.startswith("shop-")


def test_a_certificate_for_many_hosts_becomes_several_entries() -> None:
    hosts = [f"h{n}.example.com" for n in range(2 * HOSTS_PER_ENTRY + 1)]
    made = entries("shop", "PEM", hosts)
    assert [len(entry.hosts) for entry in made] == [HOSTS_PER_ENTRY, HOSTS_PER_ENTRY, 1]
    assert sorted(host for entry in made for host in entry.hosts) == sorted(hosts)
    assert entries("shop", "PEM", []) == []


def test_the_default_comes_first_and_what_haproxy_shows_is_read_back() -> None:
    made = [
        ServedCertificate("shop", "A", ("*.example.com", "example.com")),
        ServedCertificate("a-blog", "B", ("b.net",)),
    ]
    text = crt_list("/certs", made)
    assert text.splitlines() == ["/certs/default.pem", *sorted(line("/certs", entry) for entry in made)]
    shown = "# /certs/crt.list\n/certs/default.pem:1\n" + "\n".join(
        f"/certs/{entry.name}:{n} {' '.join(entry.hosts)}" for n, entry in enumerate(made, start=2)
    )
    assert names_in(shown, "/certs") == [entry.name for entry in made]
