"""Huge pages of every size that kernels offer: what reaches the kernel's command line, and how much memory that is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import setting
from tests.host.role_settings import rendered

from quietcore.errors import QuietcoreError
from quietcore.host import boot_loader
from quietcore.host.converge import promise, revert
from quietcore.host.huge_page_words import obeyed_instead
from quietcore.host.machine import Machine
from quietcore.host.plan import Wishes, plan_cores

GIB = 1 << 20  # in KiB
UNITS = {"K": 1, "M": 1 << 10, "G": 1 << 20}
SUPPLIED = {
    "nothing": "",
    "1 GiB pages as default": "default_hugepagesz=1G",
    "2 MiB pages as default": "default_hugepagesz=2M",
    "a pool of 1 GiB pages": "hugepagesz=1G hugepages=16",
    "a pool of the default": "default_hugepagesz=1G hugepages=8",
}


def size_kib(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def pools(words: list[str], default: int) -> dict[int, int]:
    """Return the pages by size in KiB that a kernel reserves (mm/hugetlb.c, hugepages_setup and its neighbours)."""
    found: dict[int, int] = {}
    named: int | None = None
    for word in words:
        name, _, value = word.partition("=")
        if name == "default_hugepagesz":
            default, named = size_kib(value), None
        elif name == "hugepagesz":
            named = size_kib(value)
        elif name == "hugepages":
            found.setdefault(default if named is None else named, int(value))
    return found


def of_role(host: FakeHost, memory_kib: int, **given: Any) -> list[dict[str, Any]]:
    plan = plan_cores(host.machine().topology, Wishes())
    plan = replace(plan, topology=replace(plan.topology, memory_kib=memory_kib))
    return rendered("huge_pages", plan, {"huge_pages_group": "", **given})


def boot_words(settings: list[dict[str, Any]]) -> list[str]:
    return [f"{item['name']}={item['wanted']}" for item in settings if item["kind"] == "kernel_parameter"]


@pytest.mark.parametrize("supplied", SUPPLIED.values(), ids=SUPPLIED.keys())
@pytest.mark.parametrize(
    ("size", "count", "word", "default"),
    [
        (2048, 1024, "2M", 2048),
        (1 * GIB, 2, "1024M", 2048),
        (64, 32768, "64K", 2048),  # arm64 with 4 KiB pages: 64 KiB, 2 MiB, 32 MiB, 1 GiB
        (32768, 64, "32M", 2048),
        (2048, 1024, "2M", 524288),  # arm64 with 64 KiB pages: 2 MiB, 512 MiB, 16 GiB
        (524288, 4, "512M", 524288),
        (16 * GIB, 1, "16384M", 524288),
    ],
)
def test_the_kernel_reserves_the_memory_that_was_meant(
    host: FakeHost, supplied: str, size: int, count: int, word: str, default: int
) -> None:
    words = boot_words(of_role(host, 192 * GIB, huge_pages_size_kib=size))
    assert words == [f"hugepagesz={word}", f"hugepages={count}"]
    before = pools(supplied.split(), default)
    after = pools([*supplied.split(), *words], default)
    if size not in before:  # a pool of that size that is there already is the boot loader's to refuse
        assert after == {**before, size: count}


def test_the_size_stands_before_the_number_in_grubs_file(host: FakeHost) -> None:
    promise(host.machine(), "huge_pages", of_role(host, 2 * GIB, huge_pages_count=64))
    words = boot_loader.default_entry(host.machine())
    assert words.index("hugepagesz=2M") + 1 == words.index("hugepages=64")


def test_a_mount_of_small_huge_pages_names_their_size(host: FakeHost) -> None:
    given = {"huge_pages_group": "quietcore", "huge_pages_size_kib": 64, "ansible_managed": "managed"}
    mount = next(item for item in of_role(host, 8 * GIB, **given) if item["kind"] == "mount")
    assert mount["wanted"]["pagesize"] == "64K"


@pytest.mark.parametrize(
    ("memory", "size", "count"),
    [(192 * GIB, GIB, 2), (8 * GIB, GIB, 2), (4 * GIB, GIB, 1), (2 * GIB, 2048, 256), (2 * GIB, GIB, 1)],
)
def test_the_default_is_never_no_page(host: FakeHost, memory: int, size: int, count: int) -> None:
    reserved = next(
        item for item in of_role(host, memory, huge_pages_size_kib=size) if item["kind"] == "huge_pages"
    )
    assert int(reserved["wanted"]) == count


def offer(host: FakeHost, pages: dict[int, int]) -> None:
    for folder in (host.root / "sys/kernel/mm/hugepages").iterdir():
        (folder / "nr_hugepages").unlink()
        folder.rmdir()
    for size, count in pages.items():
        host.put(f"/sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages", f"{count}\n")


def pages(size: int, count: int) -> list[dict[str, Any]]:
    return [setting("pages", "huge_pages", str(size), count, variable="huge_pages_count")]


@pytest.fixture
def large(tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path / "root")
    host.put("/proc/meminfo", f"MemTotal: {192 * GIB} kB\n")
    return host


def test_a_size_that_the_kernel_lacks_is_refused_with_those_it_has(large: FakeHost) -> None:
    offer(large, {16 * GIB: 0, 2048: 0, 524288: 0})
    with pytest.raises(
        QuietcoreError, match=r"found 1048576 KiB; expected 2048 KiB or 524288 KiB or 16777216 KiB"
    ):
        promise(large.machine(), "huge_pages", pages(GIB, 1))


def test_more_than_memory_is_refused_in_bytes(large: FakeHost) -> None:
    offer(large, {524288: 0})
    with pytest.raises(
        QuietcoreError, match=r"found 1024 \(524288 MiB\); expected at most 288 \(three quarters of 196608"
    ):
        promise(large.machine(), "huge_pages", pages(524288, 1024))


def test_a_pool_that_is_there_already_counts(large: FakeHost) -> None:
    offer(large, {2048: 0, GIB: 120})
    with pytest.raises(
        QuietcoreError,
        match=r"of all sizes.*found 20000 of 2048 KiB, 120 of 1048576 KiB that are there already \(162880 MiB\)",
    ):
        promise(large.machine(), "huge_pages", pages(2048, 20000))
    assert not promise(large.machine(), "huge_pages", pages(2048, 10000)).failures
    assert large.get(f"/sys/kernel/mm/hugepages/hugepages-{GIB}kB/nr_hugepages") == "120"


def test_a_pool_of_ours_makes_room_for_one_of_another_size(large: FakeHost) -> None:
    offer(large, {2048: 0, GIB: 0})
    promise(large.machine(), "huge_pages", pages(GIB, 140))
    assert not promise(large.machine(), "huge_pages", pages(2048, 70000)).failures
    assert large.get(f"/sys/kernel/mm/hugepages/hugepages-{GIB}kB/nr_hugepages") == "0"
    revert(large.machine())
    assert large.get("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") == "0"


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ("hugepagesz=2M hugepages=512", "hugepages=512"),
        ("hugepages=512", "hugepages=512"),
        ("hugepagesz=2048K hugepages=512", "hugepages=512"),
        ("hugepagesz=0x200000 hugepages=512", "hugepages=512"),
        ("default_hugepagesz=2M hugepages=512", "hugepages=512"),
        ("hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=0:4", "hugepages=0:4"),
        ("hugepagesz=1G hugepages=16", ""),
        ("default_hugepagesz=1G hugepages=8", ""),
        ("default_hugepagesz=1G", ""),
        ("hugepagesz=2M", ""),
        ("hugepagesz=what hugepages=512", ""),
    ],
)
def test_a_number_that_the_kernel_would_obey_instead_is_refused(
    host: FakeHost, words: str, refused: str
) -> None:
    host.put("/etc/default/grub.d/60-pages.cfg", f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {words}"\n')
    host.update_grub()
    wanted = of_role(host, 2 * GIB, huge_pages_count=64)
    if not refused:
        assert not promise(host.machine(), "huge_pages", wanted).failures
        return
    with pytest.raises(QuietcoreError, match=r"of 2M are configured already.*60-pages.cfg") as caught:
        promise(host.machine(), "huge_pages", wanted)
    assert caught.value.found == refused
    assert host.get("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") == "0"


@pytest.mark.parametrize(
    ("words", "obeyed"),
    [
        ("hugepagesz=2M hugepages=64", None),
        ("hugepages=8 hugepagesz=2M hugepages=64", "hugepages=8"),
        ("hugepagesz=2M hugepages=8 hugepagesz=2M hugepages=64", "hugepages=8"),
        ("hugepagesz=1G hugepages=8 hugepagesz=2M hugepages=64", None),
        ("default_hugepagesz=1G hugepages=8 hugepagesz=2M hugepages=64", None),
        ("hugepagesz=2048K hugepages=8 hugepagesz=2M hugepages=64", "hugepages=8"),
        ("hugepagesz=2M hugepages=64 hugepagesz=2M hugepages=8", None),
        ("hugepagesz=2M hugepages=64 hugepagesz=2M hugepages=64", None),
        ("quiet", None),
    ],
)
def test_the_kernel_obeys_the_first_number_for_a_size(tmp_path: Path, words: str, obeyed: str | None) -> None:
    assert obeyed_instead(Machine(tmp_path), words.split(), "hugepages=64") == obeyed
