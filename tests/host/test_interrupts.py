"""Interrupts: queues that take turns, cards that come later, irqbalance and its ban list."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from tests.host.fake_host import FakeHost
from tests.host.promises import setting

from quietcore.cli.main import main
from quietcore.errors import QuietcoreError
from quietcore.host.audit import audit
from quietcore.host.converge import apply_all, promise, revert
from quietcore.host.cpulist import format_cpu_list
from quietcore.host.findings import Finding, Verdict

DROP_IN = "/etc/systemd/system/irqbalance.service.d/quietcore.conf"
FILE = "/etc/quietcore/irqbalance.env"
BAN = {"IRQBALANCE_BANNED_CPULIST": "3-5", "IRQBALANCE_BANNED_CPUS": ""}


def spread(cpus: str) -> list[dict[str, Any]]:
    return [
        setting("irq.network", "interrupts", "network", cpus, options={"spread": True}),
        setting("irq.all", "interrupts", "all", "0-2"),
    ]


def add_card(host: FakeHost, name: str, function: str, numbers: range) -> None:
    """A network card with an interrupt for each queue, as its driver starts it: anywhere."""
    everyone = format_cpu_list(range(host.cpus))
    lines = host.get("/proc/interrupts").splitlines()
    for place, number in enumerate(numbers):
        host.put(f"/sys/devices/pci0000:00/{function}/msi_irqs/{number}", "msix\n")
        counts = "          0" * host.cpus
        lines.insert(
            -1, f"{number:4}:{counts}   PCI-MSI-0000:{function[5:]}  {place}-edge      {name}-TxRx-{place}"
        )
        host.put(f"/proc/irq/{number}/smp_affinity_list", everyone + "\n")
        host.put(f"/proc/irq/{number}/smp_affinity", "3f\n")
        host.put(f"/proc/irq/{number}/effective_affinity_list", f"{host.cpus - 1}\n")
    host.put("/proc/interrupts", "\n".join(lines) + "\n")
    link = host.root / f"sys/class/net/{name}/device"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../../devices/pci0000:00/{function}")


def affinity(host: FakeHost, numbers: range) -> list[str]:
    return [host.get(f"/proc/irq/{number}/smp_affinity_list") for number in numbers]


def failed(host: FakeHost) -> dict[str, Finding]:
    return {finding.id: finding for finding in audit(host.machine()) if finding.failed}


def test_queues_take_turns_on_the_irq_cpus(host: FakeHost) -> None:
    add_card(host, "eth1", "0000:01:00.0", range(40, 44))
    add_card(host, "eth2", "0000:02:00.0", range(50, 53))
    before = affinity(host, range(40, 44))
    assert not promise(host.machine(), "irq_affinity", spread("1-2")).failures
    assert affinity(host, range(40, 44)) == ["1", "2", "1", "2"]
    assert affinity(host, range(50, 53)) == ["1", "2", "1"]
    assert host.get("/proc/irq/24/smp_affinity_list") == "0-2"
    assert not promise(host.machine(), "irq_affinity", spread("1-2")).changed
    host.machine().write_value("/proc/irq/41/smp_affinity_list", "1")
    assert failed(host)["irq.network"].found == "41 (eth1-TxRx-1) on 1"
    revert(host.machine())
    assert affinity(host, range(40, 44)) == before


def test_a_card_that_comes_later_is_caught_by_the_next_apply(host: FakeHost) -> None:
    promise(host.machine(), "irq_affinity", spread("2"))
    assert not apply_all(host.machine(), live_only=True, roles=["irq_affinity"]).changed
    add_card(host, "eth1", "0000:01:00.0", range(40, 42))
    assert set(failed(host)) == {"irq.network", "irq.all"}
    assert "new since then" in failed(host)["irq.network"].cause
    outcome = apply_all(host.machine(), live_only=True, roles=["irq_affinity"])
    assert [change.target for change in outcome.changes] == ["irq:40:eth1-TxRx-0", "irq:41:eth1-TxRx-1"]
    assert affinity(host, range(40, 42)) == ["2", "2"]
    assert not failed(host)
    revert(host.machine())
    assert affinity(host, range(40, 42)) == ["0-5", "0-5"]


@pytest.mark.parametrize(
    ("error", "mode"),
    [(errno.EIO, 0o644), (errno.EPERM, 0o444), (errno.EACCES, 0o444)],
    ids=["Linux 6.1", "Linux 6.12", "Linux 6.12, few capabilities"],
)
def test_managed_interrupts_of_a_later_card_are_told_and_left(host: FakeHost, error: int, mode: int) -> None:
    add_card(host, "eth1", "0000:01:00.0", range(40, 42))
    host.immovable, host.immovable_error = {41}, error
    (host.root / "proc/irq/41/smp_affinity").chmod(mode)
    assert not promise(host.machine(), "irq_affinity", spread("2")).failures
    assert affinity(host, range(40, 42)) == ["2", "0-5"]
    (finding,) = [item for item in audit(host.machine()) if item.id == "irq.network"]
    assert finding.verdict is Verdict.OK
    assert "1 cannot be moved, the kernel manages them: 41 (eth1-TxRx-1) on 5 of 0-5" in finding.cause


def test_an_interrupt_that_this_user_may_not_move_is_no_managed_one(host: FakeHost) -> None:
    add_card(host, "eth1", "0000:01:00.0", range(40, 42))
    promise(host.machine(), "irq_affinity", spread("2"))
    host.put("/proc/irq/41/smp_affinity_list", "0-5\n")
    host.put("/proc/irq/41/smp_affinity", "3f\n")
    host.immovable, host.immovable_error = {41}, errno.EACCES
    assert "Permission denied" in failed(host)["irq.network"].cause


def test_apply_of_one_role_leaves_the_others(host: FakeHost, capsys: pytest.CaptureFixture[str]) -> None:
    promise(host.machine(), "sysctl", [setting("s", "sysctl", "vm.swappiness", "0")])
    promise(host.machine(), "irq_affinity", [setting("w", "value", "/proc/sys/vm/swappiness", "0")])
    host.put("/proc/sys/vm/swappiness", "60\n")
    command = ["apply", "--root", str(host.root), "--live", "--quiet", "--role", "irq_affinity"]
    assert main(command) == 0
    assert "60 → 0" in capsys.readouterr().out
    assert main(command) == 0
    assert capsys.readouterr().out == ""
    assert main([*command[:-1], "cpu_power"]) == 0
    command.remove("--quiet")
    assert main([*command[:-1], "cpu_power"]) == 2
    assert (
        "has promised nothing here: --role; found cpu_power; expected irq_affinity, sysctl"
        in capsys.readouterr().err
    )


def test_spread_is_yes_or_no(host: FakeHost) -> None:
    with pytest.raises(QuietcoreError, match="neither spread nor not"):
        promise(
            host.machine(), "irq", [setting("i", "interrupts", "network", "2", options={"spread": "maybe"})]
        )


def banned() -> list[dict[str, Any]]:
    lines = "".join(f"{name}={value}\n" for name, value in BAN.items())
    return [
        setting("irq.bans", "file", FILE, lines),
        setting("irq.drop_in", "file", DROP_IN, f"[Service]\nEnvironmentFile={FILE}\n"),
        setting("irq.balancer", "unit", "irqbalance.service", "on"),
        setting("irq.obeyed", "environment", "irqbalance.service", BAN),
    ]


def restarts(host: FakeHost) -> int:
    return sum(call[1:2] == ("try-restart",) for call in host.calls)


def test_irqbalance_gets_its_bans_at_once_and_loses_them_with_undo(host: FakeHost) -> None:
    host.restarted("irqbalance.service")
    assert not promise(host.machine(), "irq_affinity", banned()).failures
    assert restarts(host) == 1
    assert not failed(host)
    host.calls.clear()
    assert not promise(host.machine(), "irq_affinity", banned()).changed
    assert restarts(host) == 0
    assert not revert(host.machine()).failures
    assert restarts(host) == 1
    assert host.get("/proc/417/environ") == ""
    assert not (host.root / FILE.lstrip("/")).exists()


def test_a_ban_that_is_not_obeyed_is_found(host: FakeHost) -> None:
    promise(host.machine(), "irq_affinity", banned())
    host.put("/proc/417/environ", "IRQBALANCE_BANNED_CPULIST=1\0IRQBALANCE_BANNED_CPUS=\0")
    finding = failed(host)["irq.obeyed"]
    assert (finding.verdict, "IRQBALANCE_BANNED_CPULIST 1" in finding.found) == (Verdict.DRIFT, True)
    host.put("/proc/417/environ", "PATH=/bin\0")
    assert "not set" in failed(host)["irq.obeyed"].found
    host.put("/sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs", "")
    assert failed(host)["irq.obeyed"].verdict is Verdict.MISSING
    host.put("/sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs", "418\n")
    assert failed(host)["irq.obeyed"].found in ("cannot be read", "not running")


@pytest.mark.parametrize("wanted", [{}, "x"])
def test_what_is_no_environment_is_refused(host: FakeHost, wanted: object) -> None:
    with pytest.raises(QuietcoreError, match="not a service's environment"):
        promise(host.machine(), "irq", [setting("e", "environment", "irqbalance.service", wanted)])
