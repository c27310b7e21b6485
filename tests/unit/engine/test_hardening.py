"""What containers may do to the machine."""

from __future__ import annotations

import pytest

from gitship.engine.hardening import ADDABLE, KEPT, PIDS_LIMIT, arguments, capability
from gitship.engine.types import ContainerSpec
from gitship.model import Mount

OWNS_THE_MACHINE = {
    "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "SYS_TIME", "SYSLOG", "DAC_READ_SEARCH", "BPF", "PERFMON",
    "CHECKPOINT_RESTORE", "MAC_ADMIN", "MAC_OVERRIDE", "NET_ADMIN", "WAKE_ALARM", "BLOCK_SUSPEND", "ALL",
}  # fmt: skip


def test_by_default_all_is_dropped_but_what_web_applications_need() -> None:
    host = arguments(ContainerSpec("x", "i", "n"))
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == sorted(KEPT)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PidsLimit"] == PIDS_LIMIT
    assert "ReadonlyRootfs" not in host
    assert not {"Privileged", "PidMode", "IpcMode", "UTSMode", "UsernsMode"} & set(host)


def test_what_was_given_back_comes_on_top() -> None:
    assert arguments(ContainerSpec("x", "i", "n", capabilities=("NET_RAW",)))["CapAdd"] == sorted({*KEPT, "NET_RAW"})


def test_a_read_only_root_leaves_scratch_space_where_no_volume_is() -> None:
    spec = ContainerSpec("x", "i", "n", read_only=True, mounts=(Mount("t", "/tmp", volume="v"),))
    host = arguments(spec)
    assert host["ReadonlyRootfs"] is True
    assert list(host["Tmpfs"]) == ["/run"]
    assert "size=" in host["Tmpfs"]["/run"]


@pytest.mark.parametrize("text", ["NET_RAW", "net_raw", " CAP_NET_RAW"])
def test_capabilities_are_read_as_people_write_them(text: str) -> None:
    assert capability(text) == "NET_RAW"


@pytest.mark.parametrize("text", [*sorted(OWNS_THE_MACHINE), "CHOWN", "", "NET_RAW,SYS_ADMIN", "nonsense"])
def test_others_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"every container has|can't be given"):
        capability(text)
    assert not OWNS_THE_MACHINE & {*ADDABLE, *KEPT}
