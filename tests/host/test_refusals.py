"""Settings that can never be right are refused, with the variable and what would be valid, before anything changes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import POWER, SYSCTL, setting

from quietcore.errors import QuietcoreError
from quietcore.host.converge import promise


def test_two_roles_that_want_different_things_are_refused(host: FakeHost) -> None:
    promise(host.machine(), "sysctl", SYSCTL)
    with pytest.raises(QuietcoreError, match=r"two roles want different things: sysctl vm.swappiness"):
        promise(host.machine(), "other", [setting("o", "sysctl", "vm.swappiness", "1")])
    assert host.get("/proc/sys/vm/swappiness") == "0"


REFUSED: list[tuple[list[dict[str, Any]], str]] = [
    (
        [setting("s", "sysctl", "net.ipv4.tcp_low_latency", "1", variable="sysctl_settings")],
        r"since kernel 4\.14.*sysctl_settings.*tcp_low_latency: 1",
    ),
    ([setting("s", "sysctl", "kernel.sched_min_granularity_ns", "1")], "left sysctl in kernel 5.13"),
    ([setting("s", "sysctl", "kernel.sched_rt_runtime_us", "-1")], "starve kernel threads"),
    ([setting("s", "sysctl", "kernel.sched_rt_period_us", "0")], "no period of 0"),
    (
        [setting("a", "sysctl", "vm.dirty_bytes", "1"), setting("b", "sysctl", "vm.dirty_ratio", "1")],
        "exclude each other",
    ),
    ([setting("s", "kernel_parameter", "kthread_cpus", "0-1")], "no mainline kernel knows it"),
    ([setting("s", "kernel_parameter", "idle", "poll")], "heat, turbo"),
    ([setting("s", "kernel_parameter", "quiet", 'x" rm')], "not a kernel parameter"),
    (
        [
            setting(
                "s",
                "kernel_parameter",
                "isolcpus",
                "managed_irq,domain,0-2",
                variable="boot_params_isolated_cpus",
            )
        ],
        "CPU 0 and its siblings.*boot_params_isolated_cpus.*found 0-2.*1-5",
    ),
    ([setting("s", "kernel_parameter", "isolcpus", "managed_irq,domain,0-5")], "no CPU for the system"),
    ([setting("s", "kernel_parameter", "nohz_full", "4-9")], "CPU 6-9 does not exist"),
    ([setting("s", "kernel_parameter", "isolcpus", "3-5")], "isolcpus without flags"),
    ([setting("s", "kernel_parameter", "irqaffinity", "1-2")], "boot CPU always takes interrupts"),
    ([setting("s", "kernel_parameter", "irqaffinity", "0-9")], "CPU 6-9 does not exist"),
    (
        [setting("s", "huge_pages", "2048", 9999, variable="huge_pages_count")],
        "huge_pages_count; found 9999 .19998 MiB.; expected at most 750",
    ),
    (
        [setting("s", "huge_pages", "4096", 1)],
        "no huge pages of that size.*4096 KiB; expected 2048 KiB or 1048576 KiB",
    ),
    (
        [setting("s", "value", "/sys/kernel/mm/transparent_hugepage/enabled", "off")],
        "always or madvise or never",
    ),
    ([setting("s", "value", "/etc/passwd", "x")], "not a file of the kernel"),
    ([setting("s", "interrupts", "all", "6-7")], "unknown CPUs"),
    ([setting("s", "unit", "a.service", "maybe")], "not a state of a unit"),
    ([setting("s", "file", "relative", "x")], "not a file"),
    ([setting("s", "file", "/etc/x", 1)], "not a file"),
    ([setting("s", "magic", "x", "y")], "unknown kind of setting"),
    ([{**POWER[0], "options": {"cpus": "4-9"}}], "unknown CPUs"),
    ([SYSCTL[0], SYSCTL[0]], "promised twice"),
    ([{**SYSCTL[0], "why": "one\nline"}], "more than one line"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=[row[1][:30] for row in REFUSED])
@pytest.mark.parametrize("check", [True, False], ids=["check", "run"])
def test_what_can_never_be_right_is_refused_before_anything_changes(
    host: FakeHost, settings: list[dict[str, Any]], message: str, check: bool
) -> None:
    for key in ("net/ipv4/tcp_low_latency", "vm/dirty_bytes", "vm/dirty_ratio", "kernel/sched_rt_runtime_us"):
        host.put(f"/proc/sys/{key}", "1\n")
    before = host.files()
    with pytest.raises(QuietcoreError, match=message):
        promise(host.machine(), "role", [*SYSCTL[1:], *settings], check=check)
    assert host.files() == before
    assert not (host.root / "var/lib/quietcore/journal.jsonl").exists()
    assert not (host.root / "etc/quietcore").exists()


def test_a_governor_that_no_driver_knows_is_refused(host: FakeHost) -> None:
    for cpu in range(6):
        host.put(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", "powersave\n")
        host.put(
            f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_available_governors", "powersave schedutil\n"
        )
    with pytest.raises(
        QuietcoreError, match=r"CPU 3 does not offer this.*found performanse; expected powersave or schedutil"
    ):
        promise(host.machine(), "cpu_power", [{**POWER[0], "wanted": "performanse"}])
