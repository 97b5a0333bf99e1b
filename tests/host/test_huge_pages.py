"""Huge pages: by node, the mount and its group, bounds, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import setting

from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, promise, revert
from quietcore.host.findings import Finding, Verdict

WHOLE = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
MOUNT = {"type": "hugetlbfs", "gid": 998, "mode": 1770, "pagesize": "2M"}


def node_file(node: int) -> str:
    return f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"


def pages(wanted: object) -> list[dict[str, Any]]:
    return [setting("pages", "huge_pages", "2048", wanted, variable="huge_pages_nodes")]


@pytest.fixture
def two(tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path / "root", cpus=8, nodes=2)
    host.add_nodes()
    return host


def only(host: FakeHost) -> Finding:
    (finding,) = audit(host.machine())
    return finding


def test_pages_are_reserved_by_node_and_given_back(two: FakeHost) -> None:
    two.put(node_file(1), "3\n")
    promise(two.machine(), "huge_pages", pages({"0": 64}))
    assert (two.get(node_file(0)), two.get(node_file(1))) == ("64", "0")
    assert only(two).verdict is Verdict.OK
    assert only(two).found == "64 on node 0, 0 on node 1"
    assert not promise(two.machine(), "huge_pages", pages({"0": 64})).changed
    revert(two.machine())
    assert (two.get(node_file(0)), two.get(node_file(1))) == ("0", "3")


def test_what_is_missing_or_too_much_is_said_by_node(two: FakeHost) -> None:
    promise(two.machine(), "huge_pages", pages({"0": 64, "1": 32}))
    two.put(node_file(1), "30\n")
    assert only(two).verdict is Verdict.DRIFT
    assert "2 on node 1 are missing" in only(two).cause
    two.put(node_file(1), "40\n")
    assert only(two).cause == "something else reserved more"
    apply_all(two.machine(), live_only=True)
    assert only(two).verdict is Verdict.OK


def test_a_node_that_cannot_be_read_never_passes(two: FakeHost) -> None:
    promise(two.machine(), "huge_pages", pages({"0": 64}))
    two.unreadable(node_file(1))
    assert (only(two).verdict, only(two).readable) == (Verdict.MISSING, False)


def test_nodes_that_lost_their_pages_are_unsupported(two: FakeHost) -> None:
    promise(two.machine(), "huge_pages", pages({"0": 64}))
    for node in (0, 1):
        two.drop(node_file(node))
        (two.root / node_file(node).lstrip("/")).parent.rmdir()
    assert only(two).verdict is Verdict.UNSUPPORTED


def test_memory_is_compacted_on_the_node_and_the_rest_is_counted(two: FakeHost) -> None:
    machine = two.machine()
    original, compacted = machine.write_value, list[str]()

    def scarce(path: str, value: str) -> None:
        if path.endswith("compact"):
            compacted.append(path)
        original(path, "50" if path == node_file(1) else value)

    machine.write_value = scarce  # type: ignore[method-assign]
    outcome = promise(machine, "huge_pages", pages({"0": 64, "1": 64}))
    assert set(compacted) == {"/sys/devices/system/node/node1/compact"}
    assert "14 on node 1 are missing" in outcome.failures[0]
    revert(two.machine())
    assert (two.get(node_file(0)), two.get(node_file(1))) == ("0", "0")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"2": 1}, r"no memory node of that number: huge_pages_nodes; found 2: 1; expected one of: 0, 1"),
        (
            {"1": 400},
            r"than memory node 1 can spare: huge_pages_nodes; found 1: 400 .800 MiB.; expected at most 384",
        ),
        (
            {"0": 380, "1": 380},
            r"this machine's memory can spare.*found 760 .1520 MiB.; expected at most 750",
        ),
        ({"0": "many"}, "not a number of huge pages"),
        ({"0": -1}, "not a number of huge pages"),
        (751, "expected at most 750"),
        ("all", "not a number of huge pages"),
    ],
)
def test_more_than_there_is_is_refused(two: FakeHost, wanted: object, message: str) -> None:
    with pytest.raises(QuietcoreError, match=message):
        promise(two.machine(), "huge_pages", pages(wanted))
    assert two.get(node_file(0)) == "0"


def test_from_the_whole_machine_to_nodes_and_back(two: FakeHost) -> None:
    two.put(WHOLE, "7\n")
    promise(two.machine(), "huge_pages", pages(100))
    promise(two.machine(), "huge_pages", pages({"0": 64}))
    assert (two.get(WHOLE), two.get(node_file(0))) == ("7", "64")
    promise(two.machine(), "huge_pages", pages(100))
    assert (two.get(WHOLE), two.get(node_file(0))) == ("100", "0")
    revert(two.machine())
    assert two.get(WHOLE) == "7"


def test_pages_by_node_at_boot_need_a_kernel_that_reads_them(two: FakeHost) -> None:
    wanted = [
        setting("pages.boot", "kernel_parameter", "hugepages", "0:64,1:64", variable="huge_pages_nodes")
    ]
    assert not promise(two.machine(), "huge_pages", wanted).failures
    assert "hugepages=0:64,1:64" in two.get("/boot/grub/grub.cfg")
    two.put("/proc/sys/kernel/osrelease", "5.10.0-33-amd64\n")
    with pytest.raises(
        QuietcoreError, match=r"this kernel \(5.10\).*huge_pages_nodes.*expected kernel 5.16 or newer"
    ):
        promise(two.machine(), "huge_pages", wanted)


def mount_line(options: str, kind: str = "hugetlbfs") -> str:
    return f"proc /proc proc rw 0 0\n{kind} /run/hugepages/quietcore {kind} {options} 0 0\n"


MOUNTED = "rw,nosuid,nodev,noexec,relatime,gid=998,mode=1770,pagesize=2M"


@pytest.mark.parametrize(
    ("mounts", "verdict", "words"),
    [
        (mount_line(MOUNTED), Verdict.OK, "gid 998"),
        (mount_line(MOUNTED.replace("998", "0")), Verdict.DRIFT, "gid 0"),
        (mount_line(MOUNTED.replace("gid=998,", "")), Verdict.DRIFT, "gid 0"),
        (mount_line(MOUNTED.replace("2M", "1024M")), Verdict.DRIFT, "pagesize 1024M"),
        (mount_line("rw", "tmpfs"), Verdict.DRIFT, "type tmpfs"),
        (mount_line(MOUNTED) + "tmpfs /run/hugepages/quietcore tmpfs rw 0 0\n", Verdict.DRIFT, "type tmpfs"),
        ("proc /proc proc rw 0 0\n", Verdict.MISSING, "nothing is mounted there"),
        ("what?\n", Verdict.MISSING, "cannot be read"),
        ("", Verdict.MISSING, "cannot be read"),
    ],
)
def test_the_mount_is_what_the_kernel_shows(
    host: FakeHost, mounts: str, verdict: Verdict, words: str
) -> None:
    promise(host.machine(), "huge_pages", [setting("m", "mount", "/run/hugepages/quietcore", MOUNT)])
    host.put("/proc/mounts", mounts)
    finding = only(host)
    assert finding.verdict is verdict
    assert words in finding.found
    if verdict is not Verdict.OK:
        assert finding.remedy
    if verdict is Verdict.DRIFT:
        assert "systemctl restart run-hugepages-quietcore.mount" in finding.remedy


def test_no_table_of_mounts_never_passes(host: FakeHost) -> None:
    promise(host.machine(), "huge_pages", [setting("m", "mount", "/run/hugepages/quietcore", MOUNT)])
    assert only(host).verdict is Verdict.MISSING
    assert not only(host).readable


def test_what_is_no_mount_is_refused(host: FakeHost) -> None:
    for name, wanted in (("here", MOUNT), ("/here", {"gid": 1}), ("/here", "tmpfs")):
        with pytest.raises(QuietcoreError, match="not a mount"):
            promise(host.machine(), "huge_pages", [setting("m", "mount", name, wanted)])
