"""Odd states of a real kernel: CPUs off line, a target that refuses, a key that is absent, a closed umask, cgroup v1.

Needs a host that is not tuned yet: `quietcore vhost up --name NAME --threads 2`, QUIETCORE_VHOST=NAME,
pytest -m mutates_host; tests/virtual_host/on_a_new_host does it all. The library under test is copied there; what
holds is read by plain shell. Debian 12 (kernel 6.1, systemd 252) can take CPU 0 off line with `cpu0_hotplug` on its
command line, on Intel's processors, which is what an emulated one with two threads a core says it is; kernels from
6.5 on cannot.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.virtual_host.boots import reboot, wait_for_another_boot
from tests.virtual_host.live_state import INTERRUPTS_COMMAND, cpu_list, interrupts

from quietcore import vhost

pytestmark = [pytest.mark.mutates_host, pytest.mark.slow, pytest.mark.timeout(1500)]

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = "/run/quietcore-under-test"
TOOL = f"PYTHONPATH={LIBRARY} python3 -P -m quietcore"
# The host's own part of the library, as the role host_state brings it.
PARTS = ("__init__.py", "__main__.py", "errors.py", "shortage.py", "host", "cli/__init__.py", "cli/main.py")
MODES = (
    "stat -c '%a %n' /etc/quietcore /etc/quietcore/host.d /etc/quietcore/host.d/* /var/lib/quietcore "
    "/etc/far /etc/far/*"
)
CPUS = "/sys/devices/system/cpu"
GRUB = "/etc/default/grub.d/99-odd-host.cfg"
V1 = "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1 cpu0_hotplug"

Setting = dict[str, Any]


def setting(name: str, kind: str, address: str, wanted: object, **more: Any) -> Setting:
    return {"id": name, "kind": kind, "name": address, "wanted": wanted, "why": "for the test", **more}


def bring(host: vhost.Info) -> None:
    host.exec(f"rm -rf {LIBRARY}; mkdir -p {LIBRARY}/quietcore/cli", timeout=60)
    package = REPOSITORY / "runtime/quietcore"
    for part in PARTS:
        below = part.rpartition("/")[0]
        host.copy([package / part], f"{LIBRARY}/quietcore/{below}")


def python(host: vhost.Info, code: str, umask: str = "022") -> Any:
    """Run Python with the library on the host, and return the JSON that it prints."""
    done = host.exec(f"umask {umask}; PYTHONPATH={LIBRARY} python3 -P -", input_text=code, timeout=300)
    return json.loads(done.stdout)


def promise(host: vhost.Info, role: str, settings: list[Setting], umask: str = "022") -> dict[str, Any]:
    """Promise settings on the host, and return changes, failures, notes and findings."""
    code = f"""
import json
from quietcore.host.cli.outcome import outcome_json
from quietcore.host.converge import promise
from quietcore.host.machine import Machine
print(json.dumps(outcome_json(promise(Machine(), {role!r}, json.loads({json.dumps(settings)!r})))))
"""
    found: dict[str, Any] = python(host, code, umask)
    return found


@pytest.fixture(scope="module")
def odd(booted_host: vhost.Info) -> Iterator[vhost.Info]:
    """The host with the library; whatever a test leaves is put back after it."""
    bring(booted_host)
    # It would give interrupts other CPUs within seconds, as the role irq_affinity says.
    booted_host.exec("systemctl disable --now irqbalance.service", timeout=100)
    yield booted_host
    booted_host.exec(f"{TOOL} revert", timeout=300, check=False)
    booted_host.exec("systemctl enable --now irqbalance.service", timeout=100)


def audit(host: vhost.Info) -> tuple[int, dict[str, dict[str, Any]]]:
    done = host.exec(f"{TOOL} audit --json", timeout=300, check=False)
    return done.returncode, {item["id"]: item for item in json.loads(done.stdout)["findings"]}


def affinities(host: vhost.Info) -> dict[int, set[int]]:
    """Return where interrupts may arrive. Only read: a mask written back would take the place of one that waits."""
    text = host.exec("cd /proc/irq; grep -H . */smp_affinity_list", timeout=100).stdout
    rows = [line.split("/smp_affinity_list:") for line in text.splitlines()]
    return {int(number): cpu_list(cpus) for number, cpus in rows}


def revert(host: vhost.Info) -> None:
    done = host.exec(f"{TOOL} revert", timeout=300)
    assert " 0 failed" in done.stdout, done.stdout


def test_a_closed_umask_closes_nothing_to_the_services(odd: vhost.Info) -> None:
    wanted = [
        setting("far", "file", "/etc/far/x.conf", "x\n"),
        setting("swap", "sysctl", "vm.swappiness", "7"),
    ]
    outcome = promise(odd, "odd", wanted, umask="077")
    assert not outcome["failures"]
    shown = dict(line.split()[::-1] for line in odd.exec(MODES, timeout=60).stdout.splitlines())
    files = {path for path in shown if path.endswith((".json", ".conf"))}
    assert {path: mode for path, mode in shown.items() if mode != ("644" if path in files else "755")} == {}
    # A user that is nobody reads it.
    odd.exec(
        "setpriv --reuid=65534 --regid=65534 --clear-groups cat /etc/quietcore/host.d/odd.json", timeout=60
    )
    revert(odd)
    assert "gone" in odd.exec("test -e /etc/far || echo gone", timeout=60).stdout


def test_what_this_kernel_lacks_refuses_nothing_else(odd: vhost.Info) -> None:
    """`kernel.io_uring_disabled` came with 6.6; an emulated machine has no frequencies to govern."""
    assert odd.exec("uname -r", timeout=60).stdout.startswith("6.1.")
    for required, code in ((False, 0), (True, 1)):
        wanted = [
            setting("absent", "sysctl", "kernel.io_uring_disabled", "2", required=required),
            setting(
                "governor",
                "per_cpu",
                "cpufreq/scaling_governor",
                "performance",
                options={"cpus": "1-2"},
                required=False,
            ),
            setting("swap", "sysctl", "vm.swappiness", "7"),
        ]
        outcome = promise(odd, "odd", wanted)
        assert outcome["exit"] == code, outcome["failures"]
        assert odd.exec("cat /proc/sys/vm/swappiness", timeout=60).stdout.strip() == "7"
        found = audit(odd)
        assert found[0] == code
        assert {name: item["verdict"] for name, item in found[1].items()} == {
            "absent": "unsupported here",
            "governor": "unsupported here",
            "swap": "ok",
        }
    # systemd's own reader of the file passes over the key.
    odd.exec("/usr/lib/systemd/systemd-sysctl", timeout=100)
    revert(odd)


def test_an_interrupt_that_refuses_is_told_and_the_others_move(odd: vhost.Info) -> None:
    before = {item.number: item for item in interrupts(odd.exec(INTERRUPTS_COMMAND, timeout=100).stdout)}
    movable = [number for number, item in before.items() if item.movable]
    network = [number for number in movable if "virtio" in before[number].users and 0 not in {number}]
    assert len(network) >= 2, "the machine has no interrupts to move"
    stubborn = network[-1]
    folder = f"/proc/irq/{stubborn}"
    # Its files refuse every write from here on, as a kernel's may; the others' do not.
    odd.exec(f"mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}", timeout=60)
    try:
        outcome = promise(odd, "odd", [setting("irq", "interrupts", "all", "0-1")])
        (failure,) = outcome["failures"]
        others = [number for number in movable if number != stubborn]
        now = affinities(odd)
        assert {number: now[number] for number in others if not now[number] <= {0, 1}} == {}, outcome
        assert now[stubborn] == before[stubborn].affinity
        assert f"interrupt {stubborn} (" in failure
        assert "mounted read-only" in failure
        assert "disk" not in failure
        assert outcome["exit"] == 1
        managed = [number for number, item in before.items() if not item.movable]
        print(f"{len(others)} moved, {stubborn} refused, managed by the kernel: {managed}")
        code, found = audit(odd)
        assert code == 1
        assert f"interrupt {stubborn} (" in found["irq"]["cause"]
        assert "mounted read-only" in found["irq"]["cause"]
        assert not promise(odd, "odd", [setting("irq", "interrupts", "all", "0-1")])["changed"]
    finally:
        odd.exec(f"umount {folder}", timeout=60)
    assert odd.exec(f"{TOOL} apply --live", timeout=300).returncode == 0
    assert audit(odd)[0] == 0
    revert(odd)
    now = affinities(odd)
    assert {number: now[number] for number in movable} == {
        number: before[number].affinity for number in movable
    }


def test_lscpu_of_a_host_with_a_cpu_off_line_is_read(odd: vhost.Info) -> None:
    """The very command that `quietcore plan --help` recommends, by Debian 12's util-linux 2.38."""
    odd.exec(f"echo 0 > {CPUS}/cpu3/online", timeout=60)
    try:
        odd.exec("lscpu -J -e=CPU,CORE,SOCKET,NODE,ONLINE > /run/lscpu.json", timeout=60)
        text = odd.exec("cat /run/lscpu.json", timeout=60).stdout
        assert '"core": -' in text or '"core": "-"' in text or '"core": null' in text, text
        plan = json.loads(odd.exec(f"{TOOL} plan --json --from /run/lscpu.json", timeout=100).stdout)
        planned = {cpu for cpus in plan["sets"].values() for cpu in cpus}
        assert 3 not in planned
        assert 0 in planned
    finally:
        odd.exec(f"echo 1 > {CPUS}/cpu3/online", timeout=60)


@pytest.fixture(scope="module")
def legacy(odd: vhost.Info) -> Iterator[vhost.Info]:
    """The host booted with cgroup v1 alone, and with a CPU 0 that may go off line."""
    odd.exec(f"echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {V1}\"' > {GRUB}; update-grub", timeout=200)
    line = wait_for_another_boot(odd, reboot(odd))
    assert V1 in line, line
    bring(odd)
    yield odd
    odd.exec(f"rm -f {GRUB}; update-grub", timeout=200)
    wait_for_another_boot(odd, reboot(odd))
    bring(odd)


def test_units_are_found_by_their_named_hierarchy(legacy: vhost.Info) -> None:
    """cgroup v1 has no line `0::`: the unit is in the one of systemd's own hierarchy."""
    group = legacy.exec("cat /proc/$(systemctl show -P MainPID ssh.service)/cgroup", timeout=60).stdout
    assert "0::" not in group, group
    assert ":name=systemd:/system.slice/ssh.service" in group
    code = """
import json
from quietcore.host.machine import Machine
from quietcore.host.threads import processes_of
print(json.dumps(processes_of(Machine(), "ssh.service")))
"""
    pid = int(legacy.exec("systemctl show -P MainPID ssh.service", timeout=60).stdout)
    assert pid in python(legacy, code)
    # A unit's own thread stays where it is: the slices of options are its own.
    outcome = promise(
        legacy, "odd", [setting("user", "threads", "user", "0-1", options={"slices": ["system.slice"]})]
    )
    assert not outcome["failures"]
    allowed = legacy.exec(
        f"sed -n 's/^Cpus_allowed_list:\\s*//p' /proc/{pid}/status", timeout=60
    ).stdout.strip()
    assert allowed == legacy.exec(f"cat {CPUS}/online", timeout=60).stdout.strip()
    revert(legacy)


def test_interrupts_are_read_with_cpu_0_off_line(legacy: vhost.Info) -> None:
    legacy.exec(f"echo 0 > {CPUS}/cpu0/online", timeout=100)
    try:
        head = legacy.exec("head -1 /proc/interrupts", timeout=60).stdout.split()
        assert head[0] == "CPU1"
        code = """
import json
from quietcore.host.kinds.interrupts import read_interrupts
from quietcore.host.machine import Machine
print(json.dumps({item.number: sorted(item.allowed) for item in read_interrupts(Machine())}))
"""
        found = {int(number): set(cpus) for number, cpus in python(legacy, code).items()}
        shown = affinities(legacy)
        assert found
        assert {number: shown[number] for number in found} == found
        outcome = promise(legacy, "odd", [setting("irq", "interrupts", "all", "1-2")])
        assert not outcome["failures"], outcome["failures"]
        revert(legacy)
    finally:
        legacy.exec(f"echo 1 > {CPUS}/cpu0/online", timeout=100)
